"""What a page token is made of: any content, sealed to the list and the filters that gave it.

The seal keeps a token from being used for another list by mistake. It is no secret: whoever makes
a token of their own sees nothing that the list does not show them.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Final

_DIGEST_SIZE: Final = 8


class BadPageToken(ValueError):
    """Not a token of this list with these filters."""


def write(content: bytes, filters: Sequence[str]) -> str:
    """Return the token of some content, in letters that need no quoting in a URL."""
    return base64.urlsafe_b64encode(_digest(filters) + content).decode().rstrip("=")


def read(token: str, filters: Sequence[str]) -> bytes:
    """Return the content of a token. Raises BadPageToken."""
    try:
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        sealed = base64.b64decode(padded, altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise BadPageToken from None
    if sealed[:_DIGEST_SIZE] != _digest(filters):
        raise BadPageToken
    return sealed[_DIGEST_SIZE:]


def _digest(filters: Sequence[str]) -> bytes:
    return hashlib.blake2b("\x00".join(filters).encode(), digest_size=_DIGEST_SIZE).digest()

"""Keeps secrets unreadable where they lie: AES-GCM under keys of a file, which may be exchanged.

A file of keys has one key a line, `name:` and 32 bytes in hex; a key without a name is called
`first`. The first line encrypts; all decrypt. To exchange a key, put a new one in front, wait until
no secret is under the old one any more (`webhooks_resealed` in the log, `secrets.key_id` in the
database), and take the old line away.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
KEYS_MAX: Final = 10
_NONCE_BYTES: Final = 12
_LINE: Final = re.compile(r"((?P<name>[a-z0-9-]{1,32}):)?(?P<key>[0-9a-f]{64})")
_UNNAMED: Final = "first"


class BadKeys(Exception):
    """The file of keys does not fit; the text shows none of them."""


class Unreadable(Exception):
    """A secret that no key here opens: its key is missing, or it is not the one of this place."""


class Sealed(NamedTuple):
    """A secret as it is stored."""

    key_id: str
    content: bytes


@dataclass(frozen=True, repr=False)
class Keys:
    """The keys of a file."""

    current: str
    by_name: Mapping[str, bytes]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the keys of a file. Raises BadKeys."""
        try:
            lines = path.read_text().split()
        except (OSError, UnicodeDecodeError) as error:
            raise BadKeys(f"{path}: {type(error).__name__}") from None
        return cls.parse(lines, str(path))

    @classmethod
    def parse(cls, lines: list[str], where: str) -> Self:
        """Return the keys of some lines, the first of which encrypts. Raises BadKeys."""
        found: dict[str, bytes] = {}
        for number, line in enumerate(lines, start=1):
            parts = _LINE.fullmatch(line)
            name = (parts["name"] or _UNNAMED) if parts else ""
            if parts is None or name in found:
                raise BadKeys(f"{where}, key {number}: not name:{KEY_BYTES} bytes in hex, once")
            found[name] = bytes.fromhex(parts["key"])
        if not 0 < len(found) <= KEYS_MAX:
            raise BadKeys(f"{where}: 1 to {KEYS_MAX} keys are needed")
        return cls(next(iter(found)), found)

    def seal(self, secret: str, place: str) -> Sealed:
        """Encrypt a secret for a place, at which alone it opens."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        cipher = AESGCM(self.by_name[self.current])
        return Sealed(self.current, nonce + cipher.encrypt(nonce, secret.encode(), place.encode()))

    def open(self, sealed: Sealed, place: str) -> str:
        """Return a secret. Raises Unreadable."""
        key = self.by_name.get(sealed.key_id)
        if key is None:
            raise Unreadable(f"there is no key {sealed.key_id}")
        nonce, content = sealed.content[:_NONCE_BYTES], sealed.content[_NONCE_BYTES:]
        try:
            return AESGCM(key).decrypt(nonce, content, place.encode()).decode()
        except (InvalidTag, ValueError):
            raise Unreadable(f"the key {sealed.key_id} does not open it") from None


def place_of(endpoint_id: str, number: int) -> str:
    """Return the place of an endpoint's secret; copied elsewhere it does not open."""
    return f"{endpoint_id}/{number}"

"""Values that only holders of a secret can make: what was altered or moved elsewhere is none."""

import secrets
from hashlib import blake2b
from typing import Final

_MAC_BYTES: Final = 16


class Seal:
    """Seals values under their keys."""

    def __init__(self, secret: bytes, person: bytes) -> None:
        """`person`, at most 16 bytes, names a use: what was sealed for another one is none here."""
        key = blake2b(secret, digest_size=32, person=person).digest()
        # Copied for each value: half of what a keyed hash costs is to begin it.
        self._begun = blake2b(digest_size=_MAC_BYTES, key=key)

    def close(self, key: bytes, body: bytes) -> bytes:
        """Return a body with its seal."""
        return body + self._mac(key, body)

    def open(self, key: bytes, value: bytes) -> bytes | None:
        """Return the body of a value, None if it was not sealed under this key."""
        body, mac = value[:-_MAC_BYTES], value[-_MAC_BYTES:]
        return body if secrets.compare_digest(mac, self._mac(key, body)) else None

    def _mac(self, key: bytes, body: bytes) -> bytes:
        mac = self._begun.copy()
        mac.update(b"%d:%b%b" % (len(key), key, body))
        return mac.digest()

"""Seals and operation ids: what shows that this Tender accepted a command, and for whom.

Kafka knows no API keys. A record that came by SubmitPayment therefore carries the caller as he was
authenticated, and a seal over all of it; an operation id carries a seal too, so that an id that was
never given is told from one whose outcome is not there yet.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Final, NamedTuple

ID_PREFIX: Final = "op_"
_BODY_LENGTH: Final = 52
_NONCE_BYTES: Final = 8
_TIME_BYTES: Final = 6
CORE_BYTES: Final = _TIME_BYTES + _NONCE_BYTES
_OWNER_BYTES: Final = 8
_MAC_BYTES: Final = 8
_NOBODY: Final = bytes(_OWNER_BYTES)
KEY_BYTES_MIN: Final = 16
_MS_MAX: Final = 253_402_300_799_000  # The year 9999: others' records may say any time.


class Accepted(NamedTuple):
    """What an operation id says."""

    core: bytes
    partition: int

    @property
    def accepted_ms(self) -> int:
        """When it was accepted, in ms since 1970."""
        return int.from_bytes(self.core[:_TIME_BYTES])


def new_core(now_ms: int) -> bytes:
    """Return what tells a new operation from all others, in the order of time."""
    return now_ms.to_bytes(_TIME_BYTES) + secrets.token_bytes(_NONCE_BYTES)


def core_of(now_ms: int, topic_place: str) -> bytes:
    """Return the same for a record that somebody else wrote: always the same for one place."""
    digest = hashlib.blake2b(topic_place.encode(), digest_size=_NONCE_BYTES).digest()
    return min(max(now_ms, 0), _MS_MAX).to_bytes(_TIME_BYTES) + digest


def first_id_since(ms: int) -> str:
    """Return the lowest operation id of a time: ids are in the order of time."""
    return ID_PREFIX + _encoded(ms.to_bytes(_TIME_BYTES))


def derived(token: str) -> bytes:
    """Return a key made from the internal token."""
    return hmac.digest(token.encode(), b"tender asynchronous way in", "sha256")


class Seals:
    """Seals with the first key; takes what any of them sealed, so that keys can be changed."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        assert keys
        assert all(len(key) >= KEY_BYTES_MIN for key in keys)
        self._keys = tuple(keys)

    def seal(self, core: bytes, principal: bytes, key: bytes, value: bytes) -> bytes:
        """Return the seal of a command's record."""
        return _seal(self._keys[0], core, principal, key, value)

    def sealed_by(
        self, seal: bytes, core: bytes, principal: bytes, key: bytes, value: bytes
    ) -> int | None:
        """Return which key sealed a record; None for none of ours."""
        for index, own in enumerate(self._keys):
            if hmac.compare_digest(seal, _seal(own, core, principal, key, value)):
                return index
        return None

    def operation_id(
        self, core: bytes, partition: int, tenant_id: str, merchant_id: str, *, by: int = 0
    ) -> str:
        """Return the id of an operation of a tenant, or of a merchant's own key."""
        body = core + partition.to_bytes(2) + _owner(merchant_id)
        return ID_PREFIX + _encoded(body + _id_seal(self._keys[by], body, tenant_id))

    def read_id(self, text: str, tenant_id: str, merchant_id: str) -> Accepted | None:
        """Return what an id says, if it was given to this caller; None for any other text.

        The tenant may see what his merchants' keys submitted, a merchant's key only its own.
        """
        encoded = text.removeprefix(ID_PREFIX)
        if encoded == text or len(encoded) != _BODY_LENGTH or not encoded.isascii():
            return None
        try:
            raw = base64.b32hexdecode(f"{encoded.upper()}====")
        except binascii.Error:
            return None
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if not any(hmac.compare_digest(mac, _id_seal(key, body, tenant_id)) for key in self._keys):
            return None
        core, owner = body[:CORE_BYTES], body[CORE_BYTES + 2 :]
        # Several texts say the same bytes; only one of them was given.
        if (merchant_id and owner != _owner(merchant_id)) or encoded != _encoded(raw):
            return None
        return Accepted(core, int.from_bytes(body[CORE_BYTES : CORE_BYTES + 2]))


def _owner(merchant_id: str) -> bytes:
    if not merchant_id:
        return _NOBODY
    return hashlib.blake2b(merchant_id.encode(), digest_size=_OWNER_BYTES).digest()


def _seal(own: bytes, core: bytes, principal: bytes, key: bytes, value: bytes) -> bytes:
    parts = (core, principal, key, value)
    lengths = b"".join(len(part).to_bytes(4) for part in parts)
    return hmac.digest(own, b"command" + lengths + b"".join(parts), "sha256")


def _id_seal(own: bytes, body: bytes, tenant_id: str) -> bytes:
    return hmac.digest(own, b"operation" + body + tenant_id.encode(), "sha256")[:_MAC_BYTES]


def _encoded(data: bytes) -> str:
    return base64.b32hexencode(data).decode().rstrip("=").lower()

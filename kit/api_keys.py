"""API keys: how a key is made, read and compared. Nobody stores the secret part in the clear."""

import hmac
import re
import secrets
import zlib
from dataclasses import dataclass
from typing import Final

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base32, 5 bits a character.
_KEY_ID_LENGTH: Final = 12
_SECRET_LENGTH: Final = 32  # 160 bits: beyond guessing, and beyond a dictionary.
_CHECKSUM_LENGTH: Final = 7  # 32 bits of CRC: a mistyped key is refused without asking anybody.
_PEPPER_BYTES_MIN: Final = 16  # An empty or short pepper would make the hashes guessable.
_SHAPE: Final = re.compile(
    rf"tdr_([{_ALPHABET}]{{{_KEY_ID_LENGTH}}})_"
    rf"([{_ALPHABET}]{{{_SECRET_LENGTH}}})([{_ALPHABET}]{{{_CHECKSUM_LENGTH}}})"
)
TEXT_LENGTH: Final = len("tdr_") + _KEY_ID_LENGTH + 1 + _SECRET_LENGTH + _CHECKSUM_LENGTH


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as its holder has it; `text` is shown once and never again."""

    key_id: str
    secret: str

    @property
    def text(self) -> str:
        return f"tdr_{self.key_id}_{self.secret}{_checksum(self.key_id, self.secret)}"

    def __repr__(self) -> str:
        return f"ApiKey({self.key_id})"


def generate() -> ApiKey:
    return ApiKey(_random_text(_KEY_ID_LENGTH), _random_text(_SECRET_LENGTH))


def parse(text: str) -> ApiKey | None:
    """Return the parts of a key, or None when the text cannot be one."""
    match = _SHAPE.fullmatch(text)
    if match is None:
        return None
    key_id, secret, checksum = match.groups()
    return ApiKey(key_id, secret) if checksum == _checksum(key_id, secret) else None


def secret_hash(pepper: bytes, secret: str) -> bytes:
    return hmac.digest(pepper, secret.encode(), "sha256")


def matches(pepper: bytes, secret: str, stored_hash: bytes) -> bool:
    return hmac.compare_digest(secret_hash(pepper, secret), stored_hash)


def pepper_from_hex(text: str) -> bytes:
    """Return a pepper, or raise ValueError without a word of what it is."""
    try:
        pepper = bytes.fromhex(text)
    except ValueError:
        raise ValueError("a pepper is written in hexadecimal") from None
    if len(pepper) < _PEPPER_BYTES_MIN:
        raise ValueError(f"a pepper has at least {_PEPPER_BYTES_MIN} bytes")
    return pepper


def _random_text(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _checksum(key_id: str, secret: str) -> str:
    rest = zlib.crc32(f"{key_id}_{secret}".encode())
    characters = []
    for _ in range(_CHECKSUM_LENGTH):
        rest, digit = divmod(rest, 32)
        characters.append(_ALPHABET[digit])
    return "".join(characters)

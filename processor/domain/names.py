"""Names of kinds, states and reasons: text with a fixed set of values."""

from enum import StrEnum


class Name(StrEnum):
    """A text constant; it hashes as text does, while an Enum's own hash is a call into Python."""

    __hash__ = str.__hash__

"""Names of kinds, states and reasons: text with a fixed set of values."""

from enum import StrEnum


class Name(StrEnum):
    """A text constant; it hashes as text does, while an Enum's own hash is a call into Python."""

    __hash__ = str.__hash__


# In the annotations of records, and quoted there: compiled, a class keeps the text of a name and
# forgets a union, and `verify` reads the journal by what the annotations say.
MaybeInt = int | None
MaybeStr = str | None

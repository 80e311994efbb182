"""Finds what could be a card number in a text, so that none is logged or stored in plain.

A run of 13 to 19 digits, perhaps with single blanks or dashes between them, whose check digit is
right (ISO/IEC 7812-1, annex B).
"""

import re
from collections.abc import Iterator
from typing import Final

# Nearly every text ends here.
_MAYBE: Final = re.compile(r"\d(?:[ -]?\d){12}")
# One pattern a length, each tried at every digit that starts a group: a number in front of a card
# number ("2 x 4111 ...") would hide it in one long run that no check digit fits.
_RUNS: Final = [
    re.compile(rf"(?<!\d)(?=(\d(?:[ -]?\d){{{length - 1}}})(?!\d))") for length in range(13, 20)
]

# The first digits that payment card networks issue under. A number that starts otherwise is an
# order number or a clock: one in ten of those has the right check digit too.
_ISSUED: Final = re.compile(
    r"3[04-9]|4|5|6|222[1-9]|22[3-9]|2[3-6]|27[01]|2720",
)
_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_DIGITS_MIN: Final = 13


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where runs with a right check digit start and end; they may overlap."""
    if _MAYBE.search(text):
        for pattern in _RUNS:
            for run in pattern.finditer(text):
                if _passes_check_digit(run[1]):
                    yield run.span(1)


def _passes_check_digit(run: str) -> bool:
    """Say whether a run's last digit is the check digit of the others."""
    digits = [int(character) for character in reversed(run) if character.isdigit()]
    return (sum(digits[::2]) + sum(_DOUBLED[digit] for digit in digits[1::2])) % 10 == 0


def looks_like_one(text: str) -> bool:
    """Say whether a text holds what a card network could have issued."""
    if len(text) < _DIGITS_MIN:
        return False
    return any(
        _ISSUED.match(text[start:end].replace(" ", "").replace("-", ""))
        for start, end in spans(text)
    )

"""Finds what could be a card number in a text, so that none is logged or stored in plain.

A run of 13 to 19 digits, perhaps with single blanks or dashes between them, whose check digit is
right (ISO/IEC 7812-1, annex B). Logs mask whatever could be one: a wrong mask costs nothing. The
edge refuses only what is written as a card number is, because a refusal of one random request_id
in a thousand would cost payments.
"""

import re
from collections.abc import Iterator
from typing import Final

_STRETCH: Final = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,}")

# In one piece, or in the groups that are printed on cards; not inside a hexadecimal number, and not
# across the groups of a UUID.
_WRITTEN: Final = re.compile(
    r"(?<![0-9A-Fa-f])"
    r"(?:\d{13,19}"
    r"|\d{4}(?P<four>[ -])\d{4}(?P=four)\d{4}(?P=four)\d{1,4}(?:(?P=four)\d{1,3})?"
    r"|\d{4}(?P<six>[ -])\d{6}(?P=six)\d{4,5})"
    r"(?![0-9A-Fa-f])"
)

# The first digits that payment card networks issue under. A number that starts otherwise is an
# order number or a clock: one in ten of those has the right check digit too.
_ISSUED: Final = re.compile(
    r"3[04-9]|4|5|6|222[1-9]|22[3-9]|2[3-6]|27[01]|2720",
)
_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_DIGITS_MIN: Final = 13
_DIGITS_MAX: Final = 19


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where runs with a right check digit start and end; they may overlap.

    A run may start and end at every separator: a number in front of a card number ("2 - 4111 ...")
    would else hide it in one long run that no check digit fits.
    """
    for stretch in _STRETCH.finditer(text):
        places = [at for at in range(*stretch.span()) if text[at].isdecimal()]
        sums = _check_sums([int(text[at]) for at in places])
        count = len(places)
        starts = [n for n in range(count) if n == 0 or places[n - 1] != places[n] - 1]
        ends = {n for n in range(1, count + 1) if n == count or places[n - 1] != places[n] - 1}
        for start in starts:
            for end in range(start + _DIGITS_MIN, min(start + _DIGITS_MAX, count) + 1):
                if end in ends and (sums[end % 2][end] - sums[end % 2][start]) % 10 == 0:
                    yield places[start], places[end - 1] + 1


def _check_sums(digits: list[int]) -> tuple[list[int], list[int]]:
    """Return the check sums of the first n digits, for runs that end at even and at odd counts."""
    sums = ([0], [0])
    for n, digit in enumerate(digits):
        sums[(n + 1) % 2].append(sums[(n + 1) % 2][-1] + digit)
        sums[n % 2].append(sums[n % 2][-1] + _DOUBLED[digit])
    return sums


def looks_like_one(text: str) -> bool:
    """Say whether a text holds what a card network could have issued, written as such."""
    if len(text) < _DIGITS_MIN:
        return False
    for written in _WRITTEN.finditer(text):
        digits = written.group().replace(" ", "").replace("-", "")
        sums = _check_sums([int(digit) for digit in digits])
        if sums[len(digits) % 2][-1] % 10 == 0 and _ISSUED.match(digits):
            return True
    return False

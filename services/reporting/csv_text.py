"""Text with commas that spreadsheets read and do not run (RFC 4180, and CWE-1236)."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a cell that begins with one of these for a formula."""


def guarded(text: str) -> str:
    """Return somebody's text as a cell that is text: an apostrophe stands before a formula.

    Numbers of ours are not given to this: they would be text too.
    """
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def lines(rows: Iterable[Sequence[str]]) -> str:
    """Return rows as lines that end with CR LF; cells are quoted where they need it."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return out.getvalue()

"""Page tokens: opaque to callers, good only for the list and the filters that gave them."""

import re
from typing import Final

from kit import page_tokens
from processor.domain import refusals
from processor.domain.payments import Payment
from processor.domain.reads import Page

SIZE_DEFAULT: Final = 50
SIZE_MAX: Final = 200

TEXT_BYTES_MAX: Final = 2 << 20
"""Metadata and descriptions on a page; gRPC clients take 4 MiB unless told otherwise."""

FIRST: Final = "zzzz"
"""Sorts after every id under every collation: where the first page begins."""

_TOKEN_LENGTH_MAX: Final = 256
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


def size(asked: int) -> int:
    """Return how many rows a page may have."""
    if not 0 <= asked <= SIZE_MAX:
        raise refusals.FieldInvalid("page_size", f"Must be 0 to {SIZE_MAX}.")
    return asked or SIZE_DEFAULT


def bounded(page: Page[Payment]) -> Page[Payment]:
    """Return the page cut where callers' free text would make the message too large for them."""
    size = 0
    for place, payment in enumerate(page.rows):
        size += len(payment.metadata.encode()) + len(payment.description.encode())
        if place and size > TEXT_BYTES_MAX:
            return Page(page.rows[:place], page.rows[place - 1].id)
    return page


def token(next_before: str, *filters: str) -> str:
    """Return the token of the page that begins below an id; empty when there is none."""
    if not next_before:
        return ""
    return page_tokens.write(next_before.encode(), filters)


def before(page_token: str, *filters: str) -> str:
    """Return the id below which the page begins."""
    if not page_token:
        return FIRST
    if len(page_token) > _TOKEN_LENGTH_MAX:
        raise refusals.PageTokenInvalid
    try:
        identifier = page_tokens.read(page_token, filters).decode("latin-1")
    except page_tokens.BadPageToken:
        raise refusals.PageTokenInvalid from None
    if not _ID.fullmatch(identifier):
        raise refusals.PageTokenInvalid
    return identifier

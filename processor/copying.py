"""How a page of copied rows and the position of a copy are written down on their way by the mover.

Both are JSON. The mover reads neither: it carries them from one lane to the other.
"""

from typing import Final

import msgspec

from processor.domain.copies import CopiedKey, CopiedLeg, Page
from processor.domain.payments import Payment, Refund
from processor.domain.view import Key, Position


class Unreadable(ValueError):
    """What came is not a page or not a position."""


class _Page(msgspec.Struct, forbid_unknown_fields=True):
    bucket: str
    after: Position | None
    to: Position
    payments: tuple[Payment, ...]
    refunds: tuple[Refund, ...]
    legs: tuple[CopiedLeg, ...]
    keys: list[tuple[Key, int]]


assert _Page.__struct_fields__ == Page._fields

_encode: Final = msgspec.json.Encoder().encode
_decode_page: Final = msgspec.json.Decoder(_Page).decode
_decode_position: Final = msgspec.json.Decoder(Position).decode


def encode_page(page: Page) -> bytes:
    """Return the text of a page."""
    return _encode(_Page(*page[:-1], [(one.key, one.created_at) for one in page.keys]))


def decode_page(text: bytes) -> Page:
    """Return the page of a text. Raises Unreadable."""
    try:
        *head, keys = msgspec.structs.astuple(_decode_page(text))
        return Page._make((*head, tuple([CopiedKey(*one) for one in keys])))
    except msgspec.MsgspecError as error:
        raise Unreadable(str(error)) from error


def encode_position(position: Position | None) -> str:
    """Return the text of a position; empty for none."""
    return _encode(position).decode() if position is not None else ""


def decode_position(text: str) -> Position | None:
    """Return the position of a text, None for an empty one. Raises Unreadable."""
    try:
        return _decode_position(text) if text else None
    except msgspec.MsgspecError as error:
        raise Unreadable(str(error)) from error

"""Reads answers: at fixed places where they look as expected, as messages where they do not."""

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple, TypeVar

from google.protobuf.message import DecodeError, Message

from benchmarks.load.plan import REQUEST_ID_BYTES, Wish
from tender.v1 import payment_pb2

STATES: Final = {number: name[6:] for name, number in payment_pb2.Payment.State.items()}
AUTHORIZED: Final = payment_pb2.Payment.STATE_AUTHORIZED
CAPTURED: Final = payment_pb2.Payment.STATE_CAPTURED
VOIDED: Final = payment_pb2.Payment.STATE_VOIDED
DECLINED: Final = payment_pb2.Payment.STATE_DECLINED

PREFIX_BYTES: Final = 5

Answer = TypeVar("Answer", bound=Message)


class Wrong(Exception):
    """An answer is not one to the request."""


class Seen(NamedTuple):
    """What an answer says of a payment."""

    payment_id: bytes
    payer_id: bytes
    state: int
    amount: int | None
    """None when it was compared with the expected bytes already."""


class Layout:
    """The fields of a Payment in the order and with the lengths that one deployment gives them."""

    def __init__(self, payer_id_bytes: int) -> None:
        self._id = payer_id_bytes
        self._struct = struct.Struct(f"2s{payer_id_bytes}s" * 4 + "sBsB")
        length = bytes([payer_id_bytes])
        self._tags = (b"\x0a" + length, b"\x12" + length, b"\x1a" + length, b"\x22" + length)

    def read(self, data: bytes, at: int, answered_amount: bytes) -> Seen | None:
        """Return what a payment says that begins here; None unless it looks as expected."""
        try:
            (
                tag_id, payment_id, tag_merchant, _, tag_payer, payer_id, tag_settlement, _,
                tag_state, state, tag_method, _,
            ) = self._struct.unpack_from(data, at)  # fmt: skip
        except struct.error:
            return None
        if (
            (tag_id, tag_merchant, tag_payer, tag_settlement) == self._tags
            and tag_state == b"("
            and tag_method == b"0"
            and data.startswith(answered_amount, at + self._struct.size)
        ):
            return Seen(payment_id, payer_id, state, None)
        return None


def unary(layout: Layout, body: bytes, answered_amount: bytes) -> Seen:
    """Return what the answer to a lone authorization, capture or void says of its payment."""
    # Prefix, then field 1 with a length of two bytes.
    seen = layout.read(body, PREFIX_BYTES + 3, answered_amount) if body[5:6] == b"\n" else None
    return seen or of(parsed(body, payment_pb2.AuthorizePaymentResponse).payment)


def parsed(body: bytes, kind: type[Answer]) -> Answer:
    """Return a body, prefix included, as a message; raises Wrong."""
    if len(body) < PREFIX_BYTES or body[0] or int.from_bytes(body[1:5]) != len(body) - 5:
        raise Wrong(f"a body of {len(body)} bytes is not one message")
    try:
        return kind.FromString(body[PREFIX_BYTES:])
    except DecodeError as error:
        raise Wrong(f"the answer cannot be read: {error}") from None


def of(payment: payment_pb2.Payment) -> Seen:
    """Return what a parsed payment says."""
    return Seen(
        payment.id.encode(),
        payment.payer_account_id.encode(),
        payment.state,
        payment.amount.minor_units,
    )


def require(seen: Seen, wish: Wish, state: int) -> bool:
    """Return whether a payment was carried out, and not declined; raises Wrong if it is another."""
    if seen.payer_id != wish.payer_id or seen.amount not in (None, wish.amount):
        raise Wrong(f"asked for {wish}, answered {seen}")
    if seen.state == state:
        return True
    if seen.state == DECLINED:
        return False
    raise Wrong(f"the payment is {STATES.get(seen.state, seen.state)}")


Outcome = tuple[bytes, Seen | str]
"""A request_id with the payment, or with the error of that one command."""


def outcomes(layout: Layout, data: bytes, wishes: Mapping[bytes, Wish]) -> list[Outcome]:
    """Return what a message of outcomes says, in its order. Raises Wrong."""
    found: list[Outcome] = []
    at, end = 0, len(data)
    while at < end:
        # Field 1 and a length of two bytes; in it the id, the answer and the answer's payment.
        begin = at + 3
        request_id = data[begin + 2 : begin + 2 + REQUEST_ID_BYTES]
        wish = wishes.get(request_id)
        place = begin + 2 + REQUEST_ID_BYTES
        seen = None
        if wish is not None and data[place] == 0x12 and data[place + 3] == 0x0A:
            seen = layout.read(data, place + 6, wish.answered_amount)
        if seen is None or data[at + 2] > 0x7F:
            return found + _parsed_outcomes(data[at:])
        found.append((request_id, seen))
        at = begin + (data[at + 1] & 0x7F | data[at + 2] << 7)
    if at != end:
        raise Wrong("the outcomes are cut off")
    return found


def _parsed_outcomes(data: bytes) -> list[Outcome]:
    try:
        message = payment_pb2.StreamPaymentsResponse.FromString(data)
    except DecodeError as error:
        raise Wrong(f"the outcomes cannot be read: {error}") from None
    return [
        (
            one.request_id.encode(),
            of(one.authorized.payment)
            if one.WhichOneof("result") == "authorized"
            else f"{one.WhichOneof('result')} {one.error.code} {one.error.message}",
        )
        for one in message.outcomes
    ]

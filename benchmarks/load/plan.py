"""What the n-th request of a job says: a pure function of its number, in bytes of protobuf."""

import random
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from benchmarks.load.world import CURRENCY, World

AMOUNT_MIN: Final = 200
AMOUNTS: Final = 700
"""From 2.00 to 8.99: all of them take two bytes on the wire."""

DRAWN_AHEAD: Final = 1 << 18
"""Payers are drawn before the load begins, and then come round again in the same order."""

AUTOMATIC: Final = 1
MANUAL: Final = 2

MIX: Final = 0x9E3779B97F4A7C15
WORD: Final = (1 << 64) - 1
REQUEST_ID_BYTES: Final = 36


def text(field: int, value: bytes) -> bytes:
    """Return a field of text or of a message."""
    return bytes([field << 3 | 2]) + varint(len(value)) + value


def number(field: int, value: int) -> bytes:
    """Return a field of a number."""
    return bytes([field << 3]) + varint(value)


def varint(value: int) -> bytes:
    """Return a number as protobuf writes it."""
    octets = []
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*octets, value])


def money(amount: int) -> bytes:
    """Return a Money in the currency of the load."""
    return text(1, CURRENCY.encode()) + number(2, amount)


class Wish(NamedTuple):
    """An authorization as asked for. `payer` and `merchant` are numbers in the world."""

    request_id: bytes
    payer: int
    merchant: int
    amount: int
    payer_id: bytes
    answered_amount: bytes
    """How the answer says the amount."""


class Plan:
    """Makes authorizations. Ids are time-ordered, as the SDK's are, or scattered."""

    def __init__(
        self,
        world: World,
        *,
        seed: int,
        merchants: int | None = None,
        scattered: bool = False,
        started_ms: int | None = None,
    ) -> None:
        """`merchants` bounds how many of the world's merchants are paid."""
        dice = random.Random(seed)
        self._payers = dice.choices(range(world.payers_count), k=DRAWN_AHEAD)
        self._ids, self._id_bytes = world.payers, world.payer_id_bytes
        self._merchants = [text(3, one.id.encode()) for one in world.merchants[:merchants]]
        self._pairs = [
            (amount, text(4, money(amount)), text(8, money(amount)))
            for amount in range(AMOUNT_MIN, AMOUNT_MIN + AMOUNTS)
        ]
        dice.shuffle(self._pairs)
        started = time.time_ns() // 1_000_000 if started_ms is None else started_ms
        self._request_id = _scattered(started, dice) if scattered else _ordered(started)
        self._payer_start = bytes([2 << 3 | 2]) + varint(self._id_bytes)

    def authorize(self, count: int, capture_method: bytes) -> tuple[bytes, Wish]:
        """Return the request with this number and what it says."""
        payer = self._payers[count % DRAWN_AHEAD]
        amount, asked, answered = self._pairs[count % AMOUNTS]
        merchant = count % len(self._merchants)
        request_id = self._request_id(count)
        start = payer * self._id_bytes
        payer_id = self._ids[start : start + self._id_bytes]
        body = b"".join(
            (
                b"\n\x24",
                request_id,
                self._payer_start,
                payer_id,
                self._merchants[merchant],
                asked,
                capture_method,
            )
        )
        return body, Wish(request_id, payer, merchant, amount, payer_id, answered)

    def request_id(self, count: int) -> bytes:
        """Return a request_id; every number is used once, for whatever kind of call."""
        return self._request_id(count)


def _ordered(started_ms: int) -> Callable[[int], bytes]:
    start = b"req_%012x" % (started_ms & 0xFFFFFFFFFFFF)
    return lambda count: start + b"%020x" % count


def _scattered(started_ms: int, dice: random.Random) -> Callable[[int], bytes]:
    """Return ids that come in no order: multiplying by an odd number is one-to-one."""
    start, offset = b"req_", dice.getrandbits(64)
    end = b"%016x" % (started_ms ^ dice.getrandbits(48))
    return lambda count: start + b"%016x" % ((count * MIX + offset) & WORD) + end

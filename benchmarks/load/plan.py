"""What the n-th request of a job says: a pure function of its number, in bytes of protobuf."""

import bisect
import itertools
import random
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from benchmarks.load.world import CURRENCY, World

AMOUNT_MIN: Final = 200
AMOUNTS: Final = 700
"""From 2.00 to 8.99: all of them take two bytes on the wire."""

DRAWN_AHEAD: Final = 1 << 18
"""Payers are drawn before the load begins, and then come round again in the same order."""

AUTOMATIC: Final = 1
MANUAL: Final = 2

ONE_SHARD: Final = "one"
"""Payers and merchants of the first shard."""
WITHIN: Final = "within"
"""Payers of every shard pay merchants of their own."""
ACROSS: Final = "across"
"""Payers of every shard pay merchants of the next one."""

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
        pairing: str = "",
    ) -> None:
        """`merchants` bounds how many of the world's merchants are paid.

        `pairing` says who pays whom where there are several shards: everybody everybody, or one of
        the three below.
        """
        dice = random.Random(seed)
        homes = pairs(world, pairing)
        self._payers = dice.choices(range(homes[-1].payers.stop), k=DRAWN_AHEAD)
        # Of each payer drawn, among which merchants it chooses.
        self._shops = _shops(homes, self._payers) if pairing else []
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
        drawn = count % DRAWN_AHEAD
        payer = self._payers[drawn]
        amount, asked, answered = self._pairs[count % AMOUNTS]
        first, shops = self._shops[drawn] if self._shops else (0, len(self._merchants))
        merchant = first + count % shops
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


class Pair(NamedTuple):
    """Payers who choose among some of the merchants; both by their numbers."""

    payers: range
    merchants: range


def pairs(world: World, pairing: str) -> list[Pair]:
    """Return who pays whom, the payers in their order and none left out in between."""
    if not pairing:
        return [Pair(range(world.payers_count), range(len(world.merchants)))]
    payers = _ranges([home.payers for home in world.homes])
    merchants = _ranges([home.merchants for home in world.homes])
    if pairing == ONE_SHARD:
        return [Pair(payers[0], merchants[0])]
    if pairing == ACROSS:
        merchants = merchants[1:] + merchants[:1]
    else:
        assert pairing == WITHIN, pairing
    return [Pair(*each) for each in zip(payers, merchants, strict=True)]


def _ranges(counts: Sequence[int]) -> list[range]:
    ends = list(itertools.accumulate(counts))
    return [range(end - count, end) for count, end in zip(counts, ends, strict=True)]


def _shops(found: Sequence[Pair], payers: Sequence[int]) -> list[tuple[int, int]]:
    """Return the first merchant and their number for each payer."""
    ends = [pair.payers.stop for pair in found]
    shops = [(pair.merchants.start, len(pair.merchants)) for pair in found]
    return [shops[bisect.bisect(ends, payer)] for payer in payers]


def _ordered(started_ms: int) -> Callable[[int], bytes]:
    start = b"req_%012x" % (started_ms & 0xFFFFFFFFFFFF)
    return lambda count: start + b"%020x" % count


def _scattered(started_ms: int, dice: random.Random) -> Callable[[int], bytes]:
    """Return ids that come in no order: multiplying by an odd number is one-to-one."""
    start, offset = b"req_", dice.getrandbits(64)
    end = b"%016x" % (started_ms ^ dice.getrandbits(48))
    return lambda count: start + b"%016x" % ((count * MIX + offset) & WORD) + end

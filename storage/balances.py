"""Accounts and merchants as their lane last committed them, for reads; see decision 19.

A lane tells what it committed in the order of its commits: entries first, then its head, which says
up to which commit all is told. Whatever goes wrong, it goes on under another *generation*, and
entries of an older one count for nothing.
"""

import asyncio
import itertools
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from processor.domain.accounts import Account
from processor.domain.fees import FeeSchedule
from processor.domain.merchants import Merchant, Terms
from processor.ports import Cached, Told
from storage.redis.sealed import Seal
from storage.redis.tick import Packed, Tick

HEAD_MS: Final = 3_000
"""A head that nobody renews is soon none: its lane is dead, paused or away."""

_VERSION: Final = 1
_encode = msgspec.msgpack.Encoder().encode


class Head(msgspec.Struct, frozen=True, array_like=True):
    """Up to where a lane has told everything."""

    version: int
    generation: bytes
    incarnation: str
    seq: int


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A row as its lane committed it."""

    version: int
    generation: bytes
    is_merchant: bool
    row: Any


_head = msgspec.msgpack.Decoder(Head).decode
_entry = msgspec.msgpack.Decoder(Entry).decode


class _Look:
    """Asks for a row."""

    __slots__ = ("found", "head_key", "is_wanted", "key", "shard")

    def __init__(self, shard: str, row_id: str, found: "asyncio.Future[Cached | None]") -> None:
        self.shard = shard
        self.head_key = _head_key(shard)
        self.key = _key(shard, row_id)
        self.found = found
        self.is_wanted = True


class _Tell:
    """Tells rows; `said` becomes whether they, and all that was told before, were kept."""

    __slots__ = ("is_wanted", "is_whole", "key", "said", "told")

    def __init__(self, told: Told, said: "asyncio.Future[bool]") -> None:
        self.told = told
        self.key = _head_key(told.shard)
        self.said = said
        self.is_wanted = True
        self.is_whole = False


def _head_key(shard: str) -> bytes:
    return b"tender:balances:{%b}" % shard.encode()


def _key(shard: str, row_id: str) -> bytes:
    return b"tender:balances:{%b}:%b" % (shard.encode(), row_id.encode())


class BalanceCache:
    """Rows in Redis; `run` keeps it going until cancelled."""

    name = "balances"
    script = (Path(__file__).parent / "redis/lua/balances.lua").read_text()

    def __init__(
        self, url: str, secret: bytes, *, entry_seconds: int, timeout_seconds: float
    ) -> None:
        """`secret` is the processors' own. Raises BadAddress."""
        self._seal = Seal(secret, b"tender balances")
        self._entry_ms = entry_seconds * 1_000
        # What the node's clock shows more than ours; never too much, as a reply takes time to come.
        self._ahead_ms: int | None = None
        self._tick: Tick[_Look | _Tell] = Tick(url, self, timeout_seconds)
        self._loop = asyncio.get_running_loop()
        self.run = self._tick.run

    @property
    def is_up(self) -> bool:
        """Whether anything may be asked now."""
        return self._tick.is_up

    async def find(self, shard: str, row_id: str) -> Cached | None:
        """Return what is known of a row, None if nothing is or Redis does not answer in time."""
        found: asyncio.Future[Cached | None] = self._loop.create_future()
        look = _Look(shard, row_id, found)
        if not self._tick.ask(look, soon=True):
            return None
        try:
            return await found
        finally:
            look.is_wanted = False

    async def tell(self, told: Told) -> bool:
        """Keep what a lane tells; False when it is unknown whether all of it is kept."""
        said: asyncio.Future[bool] = self._loop.create_future()
        return await said if self._tick.ask(_Tell(told, said)) else False

    # What the tick asks for.

    def pack(self, items: Sequence[_Look | _Tell]) -> Packed:
        looks = [item for item in items if type(item) is _Look]
        tells = [item for item in items if type(item) is _Tell]
        keys: list[bytes] = []
        for look in looks:
            keys += (look.head_key, look.key)
        arguments: list[bytes | int] = [len(looks), len(tells), self._entry_ms, HEAD_MS]
        for item in tells:
            told, time_ms, head = item.told, 0, b""
            if self._ahead_ms is not None:
                time_ms = int(told.held_at * 1_000) + self._ahead_ms
                if told.head is not None:
                    known = Head(_VERSION, told.generation, *told.head)
                    head = self._seal.close(item.key, _encode(known))
            item.is_whole = bool(head) or told.head is None
            values = [self._sealed(told, row_id, row) for row_id, row in told.rows.items()]
            keys += (item.key, *(key for key, _ in values))
            arguments += (b"%016d%016d" % (told.epoch, time_ms), len(values), head)
            arguments += (value for _, value in values)
        return Packed(keys, arguments)

    def heard(self, items: Sequence[_Look | _Tell], reply: Any) -> None:
        now_ms = 0
        found: Iterator[Any] = itertools.repeat(None)
        self._ahead_ms = None
        if reply is not None:
            found, now_ms = iter(reply[0]), reply[2]
            self._ahead_ms = now_ms - math.ceil(time.monotonic() * 1_000)
        for item in items:
            if type(item) is _Look:
                row = next(found)
                if not item.found.done():
                    item.found.set_result(None if row is None else self._read(item, now_ms, *row))
            elif type(item) is _Tell and not item.said.done():
                item.said.set_result(reply is not None and reply[1] == 1 and item.is_whole)

    def _sealed(self, told: Told, row_id: str, row: Account | Merchant) -> tuple[bytes, bytes]:
        key = _key(told.shard, row_id)
        entry = Entry(_VERSION, told.generation, isinstance(row, Merchant), row)
        return key, self._seal.close(key, _encode(entry))

    def _read(
        self, look: _Look, now_ms: int, head: bytes | None, entry: bytes | None, told_ms: bytes
    ) -> Cached | None:
        try:
            body = self._seal.open(look.head_key, head) if head else None
            if body is None or (known := _head(body)).version != _VERSION:
                return None
            row = self._row(look, entry, known.generation) if entry else None
        except (msgspec.MsgspecError, TypeError, ValueError):
            # Of another version, under the same number.
            return None
        age_seconds = max(now_ms - int(told_ms), 0) / 1_000
        return Cached(known.incarnation, known.seq, age_seconds, known.generation, row)

    def _row(self, look: _Look, entry: bytes, generation: bytes) -> Account | Merchant | None:
        body = self._seal.open(look.key, entry)
        if body is None or (known := _entry(body)).version != _VERSION:
            return None
        if known.generation != generation:
            return None
        return _merchant(known.row) if known.is_merchant else Account(*known.row)


def _merchant(fields: Sequence[Any]) -> Merchant:
    """Return a merchant that was written down as a list."""
    row = Merchant(*fields)
    terms = (
        Terms(code, account, FeeSchedule(*fees)) for code, account, fees in row.settlement_terms
    )
    return row._replace(settlement_terms=tuple(terms))

"""Makes the projection anew from the journals, then from the topics, and swaps it in at the end.

Readers keep the old one meanwhile, and the service goes on with it. What it was told until the swap
is in the topics, and is read from there before the swap: so nothing of it is missing afterwards,
and what comes twice changes nothing.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol

import asyncpg

from processor.consumers.delivery import Delivery, EventReader, Unreadable
from processor.consumers.handlers import Refused
from services.reporting import bodies, handler, told
from services.reporting.bodies import JournalRow
from services.reporting.records import Place, Records
from services.reporting.staging import OLD, SCHEMA, Staging
from services.reporting.store import positions

REBUILD_LOCK: Final = 0x72656275696C64
"""Held by the session that rebuilds: one at a time."""
MARGIN_SECONDS: Final = 120.0
"""Topics are read from so long before the journals' ends: clocks differ, by less than 2 s (R18)."""
LEFT_MAX: Final = 2_000
"""Events that may be left for the swap, which holds the service back: a second or so."""
ROUNDS_MAX: Final = 20
SWAP_WAIT_SECONDS_MAX: Final = 30
CONNECT_SECONDS_MAX: Final = 10.0
SAY_SECONDS: Final = 1.0

SCHEMA_VERSIONS: Final = frozenset({1})

_SWAP: Final = f"""
ALTER SCHEMA report RENAME TO {OLD};
ALTER SCHEMA {SCHEMA} RENAME TO report;
GRANT USAGE ON SCHEMA report TO tender_reporting;
GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA report TO tender_reporting;
"""


class Busy(Exception):
    """Another rebuild is under way."""


class Stuck(Exception):
    """What is told comes faster than it is read, or cannot be read; nothing was changed."""


class Head(NamedTuple):
    """The last row of a journal that is read; `as_of` is when there was no later one, in µs."""

    place: Place
    as_of: int


class Journal(Protocol):
    """The journal of one shard, from wherever its rows are, archived ones first."""

    @property
    def shard(self) -> str: ...

    async def head(self) -> Head | None:
        """Return the last row there is now; None for an empty journal."""

    def rows(self, through: int) -> AsyncIterator[Sequence[JournalRow]]:
        """Yield all rows up to a number, in order."""


class Topics(Protocol):
    """The topics from a time on, read in a thread or in this one."""

    def left(self) -> int:
        """Return how many records there are to be read."""

    def read(self) -> Iterator[Sequence[Delivery]]:
        """Yield what follows what was read before, up to the ends as of now."""

    def close(self) -> None:
        """Let go of them."""


class Done(NamedTuple):
    """What a rebuild did, and how long its parts took in s."""

    rows: int
    payments: int
    transfers: int
    events: int
    journal_seconds: float
    fold_seconds: float
    topics_seconds: float

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.journal_seconds + self.fold_seconds + self.topics_seconds


Say = Callable[[str], None]


class Rebuild:
    """One run."""

    def __init__(
        self,
        journals: Sequence[Journal],
        open_topics: Callable[[float], Topics],
        say: Say,
    ) -> None:
        """`open_topics` opens them from a time in s since 1970."""
        self._journals = journals
        self._open_topics = open_topics
        self._say = say
        self._said_at = 0.0
        self._heads: dict[str, Head] = {}
        self._rows = self._payments = self._transfers = self._events = 0
        self._read = EventReader(SCHEMA_VERSIONS)

    async def run(self, owner_url: str) -> Done:
        """Rebuild, as a role that owns the database. Raises Busy or Stuck."""
        connection = await asyncpg.connect(owner_url, timeout=CONNECT_SECONDS_MAX)
        try:
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", REBUILD_LOCK):
                raise Busy("another rebuild is under way")
            return await self._run(connection)
        finally:
            # Whatever was not swapped in goes with the next run.
            await connection.close()

    async def _run(self, connection: "asyncpg.Connection[asyncpg.Record]") -> Done:
        began = time.monotonic()
        staging = Staging(connection)
        await staging.create()
        places = [
            place for journal in self._journals for place in await self._stage(journal, staging)
        ]
        staged = time.monotonic()
        self._say("folding: the newest of each, totals, indexes")
        await staging.fold()
        await staging.note(places)
        await staging.analyze()
        folded = time.monotonic()
        await self._finish(connection, staging, began)
        ended = time.monotonic()
        return Done(
            self._rows,
            self._payments,
            self._transfers,
            self._events,
            staged - began,
            folded - staged,
            ended - folded,
        )

    async def _stage(self, journal: Journal, staging: Staging) -> list[tuple[object, ...]]:
        """Write down what a journal says; return the ends of its histories."""
        head = await journal.head()
        if head is None:
            return []
        self._heads[journal.shard] = head
        ends: list[Place] = []
        async for part in journal.rows(head.place.seq):
            for row in part:
                bodies.collect(row, staging.records)
            self._rows += len(part)
            if staging.is_full:
                ends += self._count(staging.records)
                await staging.flush()
            self._progress(f"shard {journal.shard}: {part[-1].seq:,} of {head.place.seq:,} rows")
        ends += self._count(staging.records)
        await staging.flush()
        return positions(ends)

    def _count(self, records: Records) -> list[Place]:
        """Count what was collected; of its commits only the ends are kept."""
        self._payments += len(records.payments)
        self._transfers += len(records.transfers)
        kept: dict[tuple[str, str], list[Place]] = {}
        for place in records.places:
            ends = kept.setdefault(place[:2], [place, place])
            ends[1] = place
        return [place for ends in kept.values() for place in ends]

    async def _finish(
        self,
        connection: "asyncpg.Connection[asyncpg.Record]",
        staging: Staging,
        began: float,
    ) -> None:
        """Catch up with the topics, and swap while the service waits."""
        since = min((head.as_of / 1e6 for head in self._heads.values()), default=time.time())
        topics = self._open_topics(since - MARGIN_SECONDS)
        try:
            await self._exchange(connection, staging, topics, began)
        finally:
            topics.close()

    async def _exchange(
        self,
        connection: "asyncpg.Connection[asyncpg.Record]",
        staging: Staging,
        topics: Topics,
        began: float,
    ) -> None:
        rounds = 0
        while await asyncio.to_thread(topics.left) > LEFT_MAX or not rounds:
            rounds += 1
            if rounds > ROUNDS_MAX:
                raise Stuck("events come faster than they are read")
            await self._catch_up(staging, topics)
        self._say("swapping")
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{SWAP_WAIT_SECONDS_MAX}s'")
            await connection.execute("SELECT pg_advisory_xact_lock($1)", handler.SWAP_LOCK)
            await self._catch_up(staging, topics)
            await connection.execute(
                "INSERT INTO builds (built_at, seconds, positions) VALUES (now(), $1, $2)",
                time.monotonic() - began,
                json.dumps({shard: head.place for shard, head in sorted(self._heads.items())}),
            )
            await connection.execute(_SWAP)
        await connection.execute(f"DROP SCHEMA {OLD} CASCADE")

    async def _catch_up(self, staging: Staging, topics: Topics) -> None:
        """Take in what the topics have now."""
        parts = topics.read()
        while (part := await asyncio.to_thread(next, parts, None)) is not None:
            records = Records()
            for delivery in part:
                self._collect(delivery, records)
            await staging.write(records)
            self._progress(f"topics: {self._events:,} events")

    def _collect(self, delivery: Delivery, records: Records) -> None:
        """Add an event that no journal had yet; what cannot be read is the service's to park."""
        found = self._read(delivery)
        if isinstance(found, Unreadable):
            return
        event = found.message
        if not follows(told.place_of(event), self._heads.get(event.shard)):
            return
        self._events += 1
        try:
            told.collect(event, records)
        except Refused:
            return

    def _progress(self, text: str) -> None:
        now = time.monotonic()
        if now - self._said_at >= SAY_SECONDS:
            self._said_at = now
            self._say(text)


def follows(place: Place, head: Head | None) -> bool:
    """Say whether a commit follows what was read of its shard's journal.

    What the journal has is true, and is taken in. What was told of a higher number by an earlier
    history was lost: of that history the journal has all that there is.
    """
    if head is None:
        return True
    if place.seq <= head.place.seq:
        return False
    return place.incarnation == head.place.incarnation or place.at >= head.place.at

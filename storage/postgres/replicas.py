"""Reads of one shard from its standbys in turn, and from the primary where they do not serve.

A standby is used while it is known to follow: a probe asks it and the primary a few times a
second, compares their histories, and says how far behind it is. One that fails at a read is left
alone for a while, longer each time. Nothing that is decided rests on any of this.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import asyncpg
import structlog
from google.protobuf.message import Message

from kit import metrics
from kit.read_tokens import ReadToken
from processor.domain import refusals
from processor.domain.reads import AsOf
from processor.ports import Unavailable
from storage.postgres import hosts
from storage.postgres.heads import Heads
from storage.postgres.queries import PostgresQueries, Work
from storage.postgres.snapshot import PostgresSnapshot, Standing

PROBE_SECONDS: Final = 0.25
"""Between two probes: about the staleness that an idle shard's answers show."""
PROBE_SECONDS_MAX: Final = 1.0
"""For one probe's answers; one that takes longer is no server to read from."""
OPEN_SECONDS_MAX: Final = 0.25
"""To open a snapshot on a standby; the primary answers sooner than one that hangs."""
READ_SECONDS_MAX: Final = 1.5
"""For the read itself; half of what a caller has, so that the primary has the other half."""
CATCH_UP_SECONDS_MAX: Final = 0.01
"""For a standby to reach a token: a commit arrives within a few ms where all is well."""
CATCH_UP_PAUSE_SECONDS: Final = 0.002
STALENESS_SECONDS_MAX: Final = 5.0
REST_SECONDS_MIN: Final = 0.25
REST_SECONDS_MAX: Final = 10.0

# Nothing from a server that was promoted: it is the primary, whatever its URL is given as.
_HEAD: Final = """
SELECT coalesce(max(seq), 0), coalesce((array_agg(hash))[1], '')
  FROM (SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1) AS newest
HAVING pg_is_in_recovery()
"""
# The newest row, and those that standbys have as theirs.
_COMPARED: Final = """
SELECT seq, hash FROM journal WHERE seq = ANY($1::bigint[])
UNION ALL
(SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1)
"""

_LOST: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresError,
)

log = structlog.get_logger()


class NotHere(Exception):
    """This standby does not answer this read; `cause` is a label of the metrics."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class _Row(NamedTuple):
    seq: int
    hash: bytes


class _Need(NamedTuple):
    """What a read needs of a standby."""

    after: ReadToken | None
    seq: int
    staleness_seconds_max: float
    alone: bool

    async def standing(self, snapshot: PostgresSnapshot) -> Standing:
        """Say whether a snapshot has it."""
        if (await snapshot.newest()).seq < self.seq:
            return Standing.BEYOND
        return Standing.REACHED if self.after is None else await snapshot.standing(self.after)


class Replica:
    """One standby: its connections for reads, one for probes, and what is known of it."""

    def __init__(self, url: str, shard: str, name: str) -> None:
        self.name = name
        self.queries = PostgresQueries(url, shard)
        self.probe = Probe(url)
        self.follows = False
        self._meter = metrics.replica_meter(shard, name)
        self._rests_until = 0.0
        self._failures = 0

    @property
    def is_usable(self) -> bool:
        """Whether it follows, as far as is known, and does not rest after a failure."""
        return self.follows and time.monotonic() >= self._rests_until

    def failed(self) -> None:
        """Leave it alone for a while, twice as long after each failure in a row."""
        rest = REST_SECONDS_MIN * 2 ** min(self._failures, 10)
        self._failures += 1
        self._rests_until = time.monotonic() + min(rest, REST_SECONDS_MAX)

    def succeeded(self) -> None:
        """Take note of a read that it answered."""
        self._failures = 0

    def note(self, row: _Row | None, *, follows: bool, head: int, staleness: float | None) -> None:
        """Take note of what a probe found; no row when it did not answer."""
        if follows != self.follows:
            log.info("replica_follows" if follows else "replica_lost", replica=self.name)
            # It is back: what failed while it was away says nothing any more.
            self._failures, self._rests_until = 0, 0.0
        self.follows = follows
        self._meter.up.set(int(follows))
        if row is not None:
            self._meter.lag_seq.set(max(head - row.seq, 0))
        if staleness is not None:
            self._meter.lag_seconds.set(staleness)

    async def close(self) -> None:
        """Close its connections."""
        self.probe.end()
        await self.queries.close()


class Probe:
    """One connection that asks a server for journal rows; made anew after any failure."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    async def rows(self, query: str, *arguments: Any) -> Sequence[_Row] | None:
        """Return rows, None if the server does not answer in time."""
        try:
            async with asyncio.timeout(PROBE_SECONDS_MAX):
                if self._connection is None or self._connection.is_closed():
                    self._connection = await self._connected()
                return [_Row(*row) for row in await self._connection.fetch(query, *arguments)]
        except _LOST:
            self.end()
            return None

    async def _connected(self) -> hosts.Connection:
        named = {"application_name": "tender_probe"}
        if len(hosts.each(self._url)) == 1:
            return await asyncpg.connect(
                self._url, timeout=PROBE_SECONDS_MAX, server_settings=named
            )
        found = await hosts.find_primary(
            self._url, timeout_seconds=PROBE_SECONDS_MAX, patience_seconds=0, server_settings=named
        )
        return found.connection

    def end(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


class ReplicatedQueries:
    """Reads of one shard. Implements processor.queries.Queries."""

    def __init__(
        self,
        primary_url: str,
        replica_urls: Sequence[str],
        shard: str,
        *,
        staleness_seconds_max: float = STALENESS_SECONDS_MAX,
        known_seq: Callable[[], int] = lambda: 0,
    ) -> None:
        """`known_seq` returns a commit that this process has answered for: readers see it too."""
        self.primary = PostgresQueries(primary_url, shard)
        self.replicas = [
            Replica(url, shard, str(number)) for number, url in enumerate(replica_urls, start=1)
        ]
        self._shard = shard
        self._probe = Probe(primary_url)
        self._primary_answers = True
        self._heads = Heads()
        self._staleness_seconds_max = staleness_seconds_max
        self._known_seq = known_seq
        self._turn = 0

    async def run(self) -> None:
        """Probe the standbys until cancelled."""
        while self.replicas:
            await self.probe_once()
            await asyncio.sleep(PROBE_SECONDS)

    async def probe_once(self) -> None:
        """Ask every standby for its newest commit, then the primary whether it has the same."""
        answers = await asyncio.gather(*(each.probe.rows(_HEAD) for each in self.replicas))
        newest = [rows[0] if rows else None for rows in answers]
        asked_at = time.monotonic()
        found = await self._probe.rows(_COMPARED, [row.seq for row in newest if row is not None])
        self._primary_answers = found is not None
        if found is not None:
            self._heads.note(max((row.seq for row in found), default=0), asked_at)
        now = time.monotonic()
        for replica, row in zip(self.replicas, newest, strict=True):
            if found is None:
                # Nothing new is known of its history; whether it answers is.
                follows = replica.follows and row is not None
            else:
                follows = row is not None and (row.seq == 0 or row in found)
            staleness = None if row is None else self._heads.staleness(row.seq, now)
            replica.note(row, follows=follows, head=self._heads.seq, staleness=staleness)

    async def read(
        self, work: Work, after: ReadToken | None = None, *, alone: bool = False
    ) -> tuple[Message, AsOf]:
        """Return what work finds in a snapshot with the commit `after`, and how new that is.

        `alone` says that one statement finds it. Raises Unavailable, ReadTokenElsewhere,
        ReadTokenAhead, HistoryLost or what work raises.
        """
        if after is not None and after.shard != self._shard:
            # What moved here came with all that its shard had committed.
            if not await self.primary.has_taken_from(after.shard):
                raise refusals.ReadTokenElsewhere(shard=self._shard)
            after = None
        cause = "away" if self.replicas else "none"
        late: list[Replica] = []
        need = _Need(after, self._known_seq(), self._staleness_seconds_max, alone)
        for replica in self._in_turn():
            try:
                return await self._read_from(replica, work, need)
            except NotHere as skipped:
                cause = skipped.cause
                if cause == "lagging":
                    late.append(replica)
        try:
            answer = await self.primary.read(work, after, alone=alone)
        except Unavailable:
            # An answer whose age is told is better than none.
            for replica in late:
                try:
                    return await self._read_from(replica, work, _Need(after, 0, math.inf, alone))
                except NotHere:
                    continue
            raise
        metrics.READS.labels(self._shard, "primary", cause).inc()
        return answer

    def _in_turn(self) -> Sequence[Replica]:
        usable = [replica for replica in self.replicas if replica.is_usable]
        self._turn += 1
        turn = self._turn % len(usable) if usable else 0
        return usable[turn:] + usable[:turn]

    async def _read_from(self, replica: Replica, work: Work, need: _Need) -> tuple[Message, AsOf]:
        """Return a standby's answer; raises NotHere."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(OPEN_SECONDS_MAX) as bound:
                async with self._caught_up(replica, need) as snapshot:
                    seq = (await snapshot.newest()).seq
                    staleness = self._heads.staleness(seq, time.monotonic())
                    if staleness is None or staleness > need.staleness_seconds_max:
                        raise NotHere("lagging")
                    bound.reschedule(loop.time() + READ_SECONDS_MAX)
                    found = await work(snapshot)
        except refusals.BucketElsewhere as error:
            # It may have come already, as the primary knows.
            raise NotHere("behind") from error
        except (TimeoutError, Unavailable) as error:
            replica.failed()
            log.warning("replica_failed", replica=replica.name, reason=type(error).__name__)
            raise NotHere("away") from error
        replica.succeeded()
        metrics.READS.labels(self._shard, "replica", "").inc()
        return found, AsOf(seq, staleness)

    @asynccontextmanager
    async def _caught_up(self, replica: Replica, need: _Need) -> AsyncIterator[PostgresSnapshot]:
        """Open a snapshot with the commits that are needed, waiting a little; raises NotHere."""
        give_up_at = time.monotonic() + CATCH_UP_SECONDS_MAX
        while True:
            async with replica.queries.snapshot(alone=need.alone) as snapshot:
                standing = await need.standing(snapshot)
                if standing is Standing.REACHED:
                    yield snapshot
                    return
            # Whether a token's history is lost is for the primary to say.
            if standing is Standing.ELSEWHERE:
                raise NotHere("history")
            if time.monotonic() >= give_up_at:
                raise NotHere("behind")
            await asyncio.sleep(CATCH_UP_PAUSE_SECONDS)

    async def close(self) -> None:
        """Close all connections."""
        self._probe.end()
        for replica in self.replicas:
            await replica.close()
        await self.primary.close()

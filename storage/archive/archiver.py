"""Keeps the journal of one shard in files, and deletes rows that nobody needs any more.

Beside the relay, in its process: it reads the same rows under the same rights. A range is a file,
is read back and its chain walked, and only then noted; rows go only once the database itself finds
that they are noted and that relay and couriers are past them. Bucket moves are asked for at the
shards that copy.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import structlog

from kit import metrics
from storage.archive import manifest, ranges
from storage.archive.manifest import Held, Manifest, ago
from storage.archive.ports import ArchiveAway, Damaged, Files
from storage.archive.ranges import Range

RANGE_ROWS_MAX: Final = 10_000
RANGE_BYTES_MAX: Final = 32 << 20
"""Of bodies in a file, which is in memory as a whole, twice for a moment."""
READ_ROWS: Final = 500
"""In one statement: some tens of MiB at most."""
RANGE_ROWS_MIN: Final = 1_000
"""Fewer wait for others, but no longer than RANGE_SECONDS_MAX."""
RANGE_SECONDS_MAX: Final = 3_600.0
AFTER_SECONDS: Final = 300.0
"""A row is archived when it is so old: a failover may take back younger ones."""
DELETE_ROWS: Final = 500
"""In one statement, a few ms."""
DELETE_PAUSE_SECONDS: Final = 0.05
LOOK_SECONDS: Final = 30.0
EVERYTHING: Final = 1 << 62

log = structlog.get_logger()


class Wishes(NamedTuple):
    """What is archived and what is kept; times in s."""

    retention_seconds: float
    after_seconds: float = AFTER_SECONDS
    range_rows_min: int = RANGE_ROWS_MIN
    range_rows_max: int = RANGE_ROWS_MAX


class Did(NamedTuple):
    """What a pass did."""

    ranges: int
    archived: int
    deleted: int


class Archiver:
    """The archiver of one shard."""

    def __init__(self, shard: str, dsns: Mapping[str, str], files: Files, wishes: Wishes) -> None:
        """`dsns` are of all shards by name: those that copy buckets from this one are asked."""
        self._shard = shard
        self._dsns = dsns
        self._files = files
        self._wishes = wishes
        self._application = f"tender-archive-{shard}"
        self._trouble = ""

    @property
    def trouble(self) -> str:
        """Why nothing is archived now; empty while all is well, or another one has the shard."""
        return self._trouble

    async def run(self) -> None:
        """Archive and delete until cancelled."""
        while True:
            try:
                did = await self.once()
                self._note("")
                if did is not None and (did.ranges or did.deleted):
                    log.info("journal_archived", shard=self._shard, **did._asdict())
            except (ArchiveAway, Damaged) as error:
                self._note(str(error))
            await asyncio.sleep(LOOK_SECONDS * random.uniform(0.8, 1.2))

    def _note(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            log.warning("archive_trouble", shard=self._shard, trouble=trouble)
        self._trouble = trouble
        metrics.ARCHIVE_TROUBLE.labels(self._shard).set(1 if trouble else 0)

    async def once(self) -> Did | None:
        """Do what there is to do; None while another archiver has the shard.

        Raises ArchiveAway or Damaged.
        """
        async with manifest.opened(self._dsns[self._shard], self._application) as found:
            if not await found.take():
                return None
            count = rows = 0
            while (one := await self._next(found)) is not None:
                await self._keep(found, one)
                count, rows = count + 1, rows + len(one.rows)
            deleted = await self._delete(found)
            await self._measure(found)
        return Did(count, rows, deleted)

    async def _next(self, found: Manifest) -> Range | None:
        """Return the next range that is to be kept."""
        last = await found.last()
        after = last.last_seq if last is not None else 0
        if last is not None:
            still = await found.hash_of(last.last_seq)
            if still is not None and still != last.last_hash:
                raise Damaged(
                    f"shard {self._shard}: row {last.last_seq} is not the one that was archived:"
                    " its history was rolled back"
                )
        bounds = await found.bounds()
        older_than = ago(bounds.now, self._wishes.after_seconds)
        previous_hash, rows = b"", list[ranges.Row]()
        while len(rows) <= self._wishes.range_rows_max:
            place = rows[-1].seq if rows else after
            before, part = await found.rows(place, older_than, READ_ROWS)
            previous_hash = previous_hash or before
            rows += part
            size = sum(len(row.body) for row in rows)
            if len(part) < READ_ROWS or size > RANGE_BYTES_MAX:
                break
        if not rows:
            return None
        if rows[0].seq != after + 1:
            raise Damaged(f"shard {self._shard}: row {after + 1} of the journal is not there")
        chosen = ranges.cut(rows, self._wishes.range_rows_max, RANGE_BYTES_MAX)
        age = bounds.now.timestamp() - rows[0].created_at / 1e6
        is_enough = len(chosen) < len(rows) or len(rows) >= self._wishes.range_rows_min
        if not is_enough and age < self._wishes.after_seconds + RANGE_SECONDS_MAX:
            return None
        return Range(ranges.FORM, self._shard, previous_hash, tuple(chosen))

    async def _keep(self, found: Manifest, one: Range) -> None:
        """Write a range, read it back, and note it."""
        content = await asyncio.to_thread(ranges.encoded, one)
        sha256 = await asyncio.to_thread(ranges.digest, content)
        await asyncio.to_thread(self._files.put, one.name, content)
        await asyncio.to_thread(_read_back, self._files, one.name, sha256)
        await found.note(one, len(content), sha256)
        metrics.ARCHIVE_ROWS.labels(self._shard).inc(len(one.rows))

    async def _delete(self, found: Manifest) -> int:
        bounds = await found.bounds()
        older_than = ago(bounds.now, self._wishes.retention_seconds)
        if bounds.first_at is None or bounds.first_at >= older_than:
            return 0
        through = min((it.through for it in await self.moves()), default=EVERYTHING)
        total = 0
        while deleted := await found.delete(through, older_than, DELETE_ROWS):
            total += deleted
            await asyncio.sleep(DELETE_PAUSE_SECONDS)
        return total

    async def moves(self) -> Sequence[Held]:
        """Return what other shards still copy from this one's journal. Raises ArchiveAway."""
        held: list[Held] = []
        for shard, dsn in self._dsns.items():
            if shard != self._shard:
                async with manifest.opened(dsn, self._application) as other:
                    held += [
                        Held(f"{it.holder} to {shard}", it.through)
                        for it in await other.copies_of(self._shard)
                    ]
        return held

    async def _measure(self, found: Manifest) -> None:
        bounds, last = await found.bounds(), await found.last()
        archived = last.last_seq if last is not None else 0
        metrics.ARCHIVE_ROWS_BEHIND.labels(self._shard).set((bounds.last_seq or 0) - archived)
        in_table = 0
        if bounds.first_seq is not None and bounds.last_seq is not None:
            in_table = bounds.last_seq - bounds.first_seq + 1
        metrics.JOURNAL_ROWS.labels(self._shard).set(in_table)


def _read_back(files: Files, name: str, sha256: bytes) -> None:
    ranges.check(name, ranges.decoded(name, files.get(name), sha256))

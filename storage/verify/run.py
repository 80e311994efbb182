"""Puts the checks together: one snapshot, one reading of the journal with the tables beside it."""

from collections.abc import Awaitable, Callable, Sequence

from storage.archive.manifest import Manifest, Noted
from storage.archive.ports import Damaged, Files
from storage.archive.reader import ArchiveReader
from storage.verify.accounts import AccountsCheck, MerchantsCheck
from storage.verify.buckets import BucketsCheck
from storage.verify.journal import Anchor, ChainCheck, JournalRow, Lane
from storage.verify.legs import LegsCheck
from storage.verify.payments import PaymentsCheck
from storage.verify.report import Head, Report
from storage.verify.requests import RequestsCheck
from storage.verify.tables import (
    HAS_ARCHIVE,
    JOURNAL_ROWS_PER_CHUNK,
    SELECT_FIRST,
    SELECT_HEAD,
    SELECT_JOURNAL,
    SELECT_LANES,
    Connection,
    chunks,
    snapshot,
)
from storage.verify.transfers import MarksCheck, RefundsCheck, TransfersCheck

Progress = Callable[[str, int, int], None]
"""Told the phase, how much of it is done, and how much there is."""


class ArchiveNeeded(Exception):
    """Rows of the journal are not in its table, and no archive was given to read them from."""


async def verify(
    dsn: str,
    on_progress: Progress | None = None,
    *,
    anchors: tuple[Anchor, ...] = (),
    archive: Files | None = None,
) -> Report:
    """Check everything in one read-only snapshot, while the lane may go on writing.

    A login that may only read (tender_reader) is enough. Better on a replica: a snapshot that
    stays open long keeps a primary from cleaning up. An anchor is a journal row that is known from
    before (a former report's head): with one, a journal that was cut off or written anew shows.
    Rows that were archived are read from there, so that everything is folded from the first one
    on. Raises ArchiveNeeded, or ArchiveAway.
    """
    async with snapshot(dsn) as connection:
        noted: Sequence[Noted] = ()
        if await connection.fetchval(HAS_ARCHIVE):
            noted = await Manifest(connection).ranges()
        # The end of each range as the database knows it: a file that was exchanged shows.
        ends = tuple(Anchor(one.last_seq, one.last_hash) for one in noted)
        run = await Run.open(connection, on_progress or _silent, (*ends, *anchors))
        await run.read_archive(archive, noted)
        await run.read_journal()
        return await run.finish()


class Run:
    """One run over one snapshot."""

    def __init__(
        self,
        connection: Connection,
        on_progress: Progress,
        chain: ChainCheck,
        payments: PaymentsCheck,
        requests: RequestsCheck,
    ) -> None:
        self._connection = connection
        self._on_progress = on_progress
        self._chain = chain
        self._payments = payments
        self._requests = requests
        self._accounts = AccountsCheck()
        self._merchants = MerchantsCheck()
        self._marks = MarksCheck(self._accounts.came_after)
        self._buckets = BucketsCheck(chain.tally, chain.lane.shard)

    @classmethod
    async def open(
        cls, connection: Connection, on_progress: Progress, anchors: tuple[Anchor, ...]
    ) -> "Run":
        """Open a cursor for each table."""
        lanes = [Lane(*record) for record in await connection.fetch(SELECT_LANES)]
        lane = lanes[0] if lanes else Lane("", 0, "")
        chain = ChainCheck(lane, anchors)
        if len(lanes) > 1:
            chain.tally.breach(f"lanes shard={lanes[1].shard}: is a second one in this database")
        payments = await PaymentsCheck.open(connection)
        run = cls(connection, on_progress, chain, payments, await RequestsCheck.open(connection))
        run._legs = await LegsCheck.open(connection, payments, run._accounts)
        run._transfers = await TransfersCheck.open(connection, run._accounts, payments, run._legs)
        run._refunds = await RefundsCheck.open(connection, payments)
        return run

    _legs: LegsCheck
    _transfers: TransfersCheck
    _refunds: RefundsCheck

    async def read_archive(self, archive: Files | None, noted: Sequence[Noted]) -> None:
        """Walk the rows before those of the table."""
        through: int = await self._connection.fetchval(SELECT_FIRST) - 1
        if through == 0 or not noted:
            return
        if archive is None:
            raise ArchiveNeeded(f"rows 1 to {through:,} of the journal are archived")
        try:
            async for part in ArchiveReader(archive, noted).rows(0, through):
                for before, found in part:
                    await self._batch(
                        JournalRow(
                            found.seq,
                            found.epoch,
                            found.incarnation,
                            found.body,
                            before,
                            found.hash,
                            found.created_at,
                        )
                    )
                self._on_progress("archive", part[-1][1].seq, through)
        except Damaged as error:
            # What cannot be read is missing, and the rest is checked all the same.
            self._chain.tally.breach(f"archive: {error}")

    async def read_journal(self) -> None:
        """Walk the journal; each batch pulls the rows that it wrote."""
        total: int = await self._connection.fetchval(SELECT_HEAD)
        async for chunk in chunks(self._connection, SELECT_JOURNAL, JOURNAL_ROWS_PER_CHUNK):
            for record in chunk:
                await self._batch(JournalRow(*record))
            self._on_progress("journal", chunk[-1]["seq"], total)

    async def _batch(self, journaled: JournalRow) -> None:
        body, seq = self._chain.step(journaled), journaled.seq
        if body is None:
            return
        self._buckets.batch(body.buckets, seq)
        self._buckets.copied(body.copied.positions if body.copied else ())
        # Accounts before what moves their money, payments before what adds up to them.
        self._accounts.batch(body, seq)
        self._merchants.batch(body)
        await self._payments.batch(body, seq)
        await self._payments.copied(body.copied.payments if body.copied else ())
        await self._legs.batch(body, seq, journaled.created_at)
        await self._transfers.batch(body, seq)
        self._legs.compare_moved(seq)
        await self._refunds.batch(body, seq)
        await self._requests.batch(body, seq, journaled.created_at)

    async def finish(self) -> Report:
        """Read what no batch pulled, compare the books, and report."""
        head = self._chain.finish()
        phases: dict[str, Callable[[], Awaitable[None]]] = {
            "payments": self._payments.read_rest,
            "transfers": self._transfers.finish,
            "refunds": self._refunds.finish,
            "sums": self._payments.finish,
            "requests": lambda: self._requests.finish(self._connection),
            "accounts": lambda: self._accounts.finish(
                self._connection, self._payments.held, self._payments.last_payments
            ),
            "legs": lambda: self._legs.finish(self._connection, self._accounts.clearing),
            "marks": lambda: self._marks.finish(self._connection),
            "merchants": lambda: self._merchants.finish(self._connection),
            "buckets": lambda: self._buckets.finish(self._connection),
        }
        for done, (phase, finish) in enumerate(phases.items()):
            self._on_progress(phase, done, len(phases))
            await finish()
        self._on_progress("done", len(phases), len(phases))
        return self._report(head)

    def _report(self, head: Head) -> Report:
        accounts, payments, transfers = self._accounts, self._payments, self._transfers
        tallies = [
            self._chain.tally,
            accounts.totals,
            transfers.sides,
            accounts.floors,
            self._requests.tally,
            payments.amounts,
            payments.steps,
            accounts.posted,
            accounts.held,
            transfers.chained,
            transfers.lists,
            payments.lists,
            accounts.lists,
            self._marks.tally,
            accounts.images,
            self._merchants.images,
            payments.images,
            transfers.records.tally,
            self._refunds.records.tally,
            self._legs.records,
            self._legs.clearing,
        ]
        return Report(head, [tally.check() for tally in tallies])


def _silent(_phase: str, _done: int, _total: int) -> None:
    """Tell nobody."""

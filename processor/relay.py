"""Publishes a shard's journal: in order, at least once, and no position before its acknowledgement.

What is handed to the publisher and not acknowledged is bounded; while it is full the journal is not
read. Whatever goes wrong ends a session: the next one begins at the stored position (record 0022).
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import structlog

from kit import metrics
from processor.events.messages import told_of
from processor.events.ports import Away, Busy, Journal, Publisher, Releases, Row
from processor.events.rows import BadRow

ROWS_MAX: Final = 32
"""Read at a time; a row has at most 1 MiB of commands, a tenth of that when it is stored."""

OUTSTANDING_MAX: Final = 50_000
"""Events that are not acknowledged; a payment has five or six, of some 500 bytes."""

IDLE_SECONDS_MIN: Final = 0.005
IDLE_SECONDS_MAX: Final = 0.04
"""Between two looks at a journal in which nothing is new, growing while that stays so."""

FULL_SECONDS: Final = 0.005
"""Between two looks for acknowledgements while too much is outstanding."""

STORE_SECONDS: Final = 0.2
"""Between two stored positions; what is not stored is said again after a death."""

HEARTBEAT_SECONDS: Final = 1.0
"""Between two signs of life while there is no position to store."""

MEASURE_SECONDS: Final = 1.0
RELEASE_SECONDS: Final = 0.1
"""Between two questions whether another shard's relay is past what it released."""

BACKOFF_SECONDS_MIN: Final = 0.25
BACKOFF_SECONDS_MAX: Final = 5.0
STEADY_SECONDS: Final = 10.0
"""A session that lasted so long was a good one: the next one comes soon."""

log = structlog.get_logger()


class Relay:
    """The relay of one shard; `run` keeps it going until cancelled."""

    def __init__(
        self,
        shard: str,
        owner: str,
        journal: Journal,
        publisher: Callable[[int], Publisher],
        releases: Releases,
    ) -> None:
        """`publisher` makes one whose first row follows a position."""
        self._shard = shard
        self._owner = owner
        self._journal = journal
        self._new_publisher = publisher
        self._releases = releases
        self._loop = asyncio.get_running_loop()
        self._meter = metrics.RelayMeter(shard)
        self._trouble = ""
        self._is_stopping = False
        self._stored = self._opened_at = 0

    @property
    def trouble(self) -> str:
        """Why nothing is published now; empty while all is well, or another relay has the shard."""
        return self._trouble

    def stop(self) -> None:
        """Read no further row, and end once what is outstanding is acknowledged."""
        self._is_stopping = True

    async def run(self) -> None:
        """Publish until stopped or cancelled."""
        delay = BACKOFF_SECONDS_MIN
        while not self._is_stopping:
            began = self._loop.time()
            try:
                await self._serve()
            except Busy:
                self._note("")
                delay = BACKOFF_SECONDS_MIN
            except (Away, BadRow) as error:
                self._note(str(error))
            finally:
                self._meter.owner.set(0)
                with suppress(Away):
                    await self._journal.close()
            if self._loop.time() - began > STEADY_SECONDS:
                delay = BACKOFF_SECONDS_MIN
            if not self._is_stopping:
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, BACKOFF_SECONDS_MAX)

    def _note(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            log.warning("relay_trouble", shard=self._shard, trouble=trouble)
        self._trouble = trouble
        self._meter.trouble.set(1 if trouble else 0)

    async def _serve(self) -> None:
        """Publish until something goes wrong; the journal is ours meanwhile."""
        self._stored = self._opened_at = await self._journal.open(self._owner)
        self._meter.owner.set(1)
        log.info("relay_opened", shard=self._shard, position=self._stored)
        publisher = self._new_publisher(self._stored)
        # A commit takes longer than publishing a row: nothing waits for it.
        keeping = asyncio.create_task(self._keep(publisher))
        try:
            await self._publish(publisher, keeping)
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            publisher.close()
            # What is acknowledged need not be said again, whatever ended this.
            with suppress(Away):
                if publisher.acknowledged > self._stored:
                    await self._journal.store(publisher.acknowledged)

    async def _publish(self, publisher: Publisher, keeping: asyncio.Task[None]) -> None:
        position, idle = self._stored, IDLE_SECONDS_MIN
        coming = self._begin_to_read(position)
        try:
            while not self._is_stopping:
                rows = await coming
                if rows:
                    # The next ones are read while these are published.
                    coming = self._begin_to_read(rows[-1].seq)
                for row in rows:
                    if row.seq != position + 1:
                        raise Away(f"row {position + 1} of the journal is not there")
                    await self._publish_one(publisher, keeping, row)
                    position = row.seq
                    await asyncio.sleep(0)
                _look(publisher, keeping)
                if rows:
                    idle = IDLE_SECONDS_MIN
                    continue
                await asyncio.sleep(idle)
                idle = min(idle * 1.5, IDLE_SECONDS_MAX)
                coming = self._begin_to_read(position)
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        while publisher.outstanding:
            _look(publisher, keeping)
            await asyncio.sleep(FULL_SECONDS)

    def _begin_to_read(self, position: int) -> asyncio.Task[Sequence[Row]]:
        """Read what is behind a position, beside whatever else is done."""
        return asyncio.create_task(self._journal.rows(position, ROWS_MAX))

    async def _publish_one(
        self, publisher: Publisher, keeping: asyncio.Task[None], row: Row
    ) -> None:
        told = told_of(row)
        for source, number in told.releases:
            while not await self._releases.is_told(source, number):
                _look(publisher, keeping)
                await asyncio.sleep(RELEASE_SECONDS)
        while publisher.outstanding >= OUTSTANDING_MAX:
            _look(publisher, keeping)
            await asyncio.sleep(FULL_SECONDS)
        publisher.publish(row.seq, told.messages)
        self._meter.events.inc(len(told.messages))
        _look(publisher, keeping)

    async def _keep(self, publisher: Publisher) -> None:
        """Store how far acknowledgements are, and measure what is behind, beside publishing."""
        stored_at = measured_at = self._loop.time()
        while True:
            await asyncio.sleep(STORE_SECONDS)
            now = self._loop.time()
            acknowledged = publisher.acknowledged
            if acknowledged > self._stored or now - stored_at >= HEARTBEAT_SECONDS:
                await self._journal.store(acknowledged)
                self._stored, stored_at = acknowledged, now
            if now - measured_at >= MEASURE_SECONDS:
                measured_at = now
                await self._measure(publisher, acknowledged)

    async def _measure(self, publisher: Publisher, acknowledged: int) -> None:
        behind = await self._journal.behind(acknowledged)
        self._meter.rows_behind.set(behind.rows)
        self._meter.seconds_behind.set(behind.seconds)
        self._meter.outstanding.set(publisher.outstanding)
        if self._trouble and (acknowledged > self._opened_at or not behind.rows):
            log.info("relay_well", shard=self._shard)
            self._note("")


def _look(publisher: Publisher, keeping: asyncio.Task[None]) -> None:
    """Take acknowledgements in, and end like what stores positions, if that has ended."""
    publisher.poll()
    if keeping.done():
        keeping.result()

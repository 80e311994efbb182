"""What a lane does beside its beats: expire untouched holds, forget old keys, anchor the head."""

import time
from collections.abc import Callable
from typing import Final

import structlog

from kit import metrics
from processor.clock import LaneClock
from processor.domain import commands
from processor.ports import LaneStorage

log = structlog.get_logger()

ITEMS_MAX: Final = 500
"""Accounts and keys that one round looks at."""
ANCHOR_SECONDS: Final = 60.0
"""The journal's head goes to the log this often: kept outside Postgres, it shows a truncation."""


class Housekeeping:
    """Looks for work in rounds and hands it to the lane as commands like any other (R10)."""

    def __init__(
        self,
        storage: LaneStorage,
        submit: Callable[[commands.Command], None],
        *,
        shard: str,
        round_seconds: float,
        retention_seconds: int,
    ) -> None:
        self._storage = storage
        self._submit = submit
        self._shard = shard
        self._meter = metrics.lane_meter(shard)
        self._round_seconds = round_seconds
        self._retention_us = retention_seconds * 1_000_000
        self._looked_at = self._anchored_at = 0.0
        self._anchored_seq = 0

    async def tick(self, clock: LaneClock, seq: int, head: bytes) -> None:
        """Do a round if it is time for one. Raises Unavailable."""
        now = time.monotonic()
        if now - self._looked_at < self._round_seconds:
            return
        self._looked_at = now
        await self._look(clock)
        if seq != self._anchored_seq and now - self._anchored_at >= ANCHOR_SECONDS:
            self._anchored_at, self._anchored_seq = now, seq
            log.info("journal_anchor", shard=self._shard, seq=seq, hash=head.hex())

    async def _look(self, clock: LaneClock) -> None:
        now = clock.now()
        due = await self._storage.due(now, now - self._retention_us, ITEMS_MAX)
        skew = clock.compare(due.clock)
        self._meter.clock_skew.set(skew / 1_000_000)
        if not clock.trusted:
            log.error("clock_skew", skew_seconds=skew / 1_000_000)
            return
        if due.accounts_with_expired_holds:
            self._submit(commands.ExpireHolds(tuple(due.accounts_with_expired_holds)))
        if due.old_keys:
            self._submit(commands.DeleteRequestKeys(tuple(due.old_keys)))
            self._looked_at = 0.0  # There is more: go on at the next tick.

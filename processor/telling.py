"""Tells the cache of balances what a lane commits: behind its commits, in their order."""

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Final

from processor.domain.accounts import Account
from processor.domain.merchants import Merchant
from processor.ports import BalanceCache, Batch, Ownership, Told

PAUSE_SECONDS: Final = 0.02
"""Between two looks at what was committed; what changed several times meanwhile is told once."""

RENEW_SECONDS: Final = 0.5
"""Between two heads of an idle lane."""

ROWS_PER_CALL_MAX: Final = 250
ROWS_WAITING_MAX: Final = 10_000
"""Past them the cache is too slow for this lane, and is begun anew."""

Rows = Mapping[str, Account | Merchant]


class Teller:
    """Tells what is committed during one takeover, for as long as `run` goes."""

    def __init__(self, cache: BalanceCache, ownership: Ownership, seq: int) -> None:
        self._cache = cache
        self._ownership = ownership
        self._seq = seq
        self._held_at = time.monotonic()
        self._rows: dict[str, Account | Merchant] = {}
        self._generation = b""
        self._is_new = True
        self._renewed_at = 0.0
        self._begin_anew()

    def committed(self, batch: Batch) -> None:
        """Take note of a commit."""
        self._seq = batch.seq
        self.held()
        if batch.buckets is not None:
            # What leaves is another lane's to tell, and what stays comes with its next change.
            self._begin_anew()
            return
        rows = self._rows
        for account in batch.accounts:
            rows[account.row.id] = account.row
        for merchant in batch.merchants:
            rows[merchant.row.id] = merchant.row

    def held(self) -> None:
        """Take note that the lane was just found to be the owner's still."""
        self._held_at = time.monotonic()

    async def run(self) -> None:
        """Tell, until cancelled."""
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            if not self._cache.is_up or len(self._rows) > ROWS_WAITING_MAX:
                self._begin_anew()
            elif self._rows or time.monotonic() - self._renewed_at >= RENEW_SECONDS:
                await self._tell()

    async def _tell(self) -> None:
        shard, epoch, _, incarnation = self._ownership
        if self._is_new:
            # The cache learns what time it is there: without, it takes no head.
            self._is_new = False
            await self._cache.tell(Told(shard, epoch, self._generation, {}, None, 0.0))
        generation, rows, self._rows = self._generation, self._rows, {}
        self._renewed_at = time.monotonic()
        head, held_at = (incarnation, self._seq), self._held_at
        parts = _parts(rows)
        for number, part in enumerate(parts, 1):
            if generation is not self._generation:
                return
            whole = head if number == len(parts) else None
            if not await self._cache.tell(Told(shard, epoch, generation, part, whole, held_at)):
                self._begin_anew()

    def _begin_anew(self) -> None:
        """Let all that was told count for nothing: some of it may be missing."""
        self._rows = {}
        self._is_new = True
        self._generation = secrets.token_bytes(8)
        self._renewed_at = 0.0


def _parts(rows: Rows) -> Sequence[Rows]:
    """Return the rows in calls of a bounded size, at least one."""
    items = list(rows.items())
    starts = range(0, max(len(items), 1), ROWS_PER_CALL_MAX)
    return [dict(items[start : start + ROWS_PER_CALL_MAX]) for start in starts]

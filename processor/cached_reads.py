"""Reads of one account or merchant from the cache of balances, where that is certain."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from google.protobuf.message import Message

from kit import metrics
from kit.read_tokens import ReadToken
from processor.domain.accounts import Account
from processor.domain.merchants import Merchant
from processor.domain.reads import AsOf
from processor.ports import BalanceCache, Cached


class Missed(Exception):
    """The cache does not have it; Postgres does."""


_MISS: Final = Missed()


class CachedSnapshot:
    """The part of a Snapshot that the cache has. What is found belongs to one generation.

    `head` is known once something was found.
    """

    def __init__(self, cache: BalanceCache, shard: str, accept: Callable[[Cached], bool]) -> None:
        self._cache = cache
        self._shard = shard
        self._accept = accept
        self.oldest: Cached | None = None

    async def head(self) -> str:
        """Return the read token of what was found; raises Missed before."""
        if self.oldest is None:
            raise _MISS
        return str(ReadToken(self._shard, self.oldest.incarnation, self.oldest.seq))

    async def account(self, account_id: str) -> Account:
        """Return an account, or raise Missed."""
        row = await self._find(account_id)
        if not isinstance(row, Account):
            raise _MISS
        return row

    async def merchant(self, merchant_id: str) -> Merchant:
        """Return a merchant, or raise Missed."""
        row = await self._find(merchant_id)
        if not isinstance(row, Merchant):
            raise _MISS
        return row

    async def _find(self, row_id: str) -> Account | Merchant | None:
        found = await self._cache.find(self._shard, row_id)
        if found is None or found.row is None or not self._accept(found):
            raise _MISS
        if self.oldest is None:
            self.oldest = found
        elif found.generation != self.oldest.generation:
            raise _MISS
        return found.row


class CachedReads:
    """Reads of one shard from the cache."""

    def __init__(
        self,
        cache: BalanceCache,
        shard: str,
        *,
        staleness_seconds_max: float,
        incarnation: Callable[[], str],
    ) -> None:
        """`incarnation` says under which one the lane is held here; empty if it is not."""
        self._cache = cache
        self._shard = shard
        self._staleness_seconds_max = staleness_seconds_max
        self._incarnation = incarnation
        self._hits = metrics.READS.labels(shard, "cache", "")

    async def read(
        self, work: Callable[[Any], Awaitable[Message]], after: ReadToken | None
    ) -> tuple[Any, AsOf] | None:
        """Return what work finds in the cache, which has the commit `after`, and how new it is.

        None when it is not certain; raises what work raises.
        """
        snapshot = CachedSnapshot(self._cache, self._shard, lambda found: self._fits(found, after))
        try:
            answer = await work(snapshot)
        except Missed:
            return None
        oldest = snapshot.oldest
        if oldest is None:
            return None
        self._hits.inc()
        return answer, AsOf(oldest.seq, oldest.age_seconds)

    def _fits(self, found: Cached, after: ReadToken | None) -> bool:
        if found.age_seconds > self._staleness_seconds_max:
            return False
        held = self._incarnation()
        if held and held != found.incarnation:
            return False
        return after is None or (
            after[:2] == (self._shard, found.incarnation) and after.seq <= found.seq
        )

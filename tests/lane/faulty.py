"""A shard that fails on command: before or after it has committed, or by refusing the data."""

from collections.abc import Callable, Sequence

from processor.domain.copies import Page
from processor.domain.view import Item, Position
from processor.ports import (
    Ambiguous,
    Batch,
    Conflict,
    Due,
    Fenced,
    LaneStorage,
    Loaded,
    Opened,
    Ownership,
    Rejected,
    Route,
)


class FaultyStore:
    """Passes everything on to a real store, except the next applies that are told to fail."""

    def __init__(self, store: LaneStorage) -> None:
        self._store = store
        self.lose_before = 0
        self.lose_after = 0
        self.conflicts = 0
        self.fences = 0
        self.rejects: Callable[[Batch], bool] = lambda _: False
        self.applies = 0
        self.checks = 0

    async def open(self, owner: str, *, evict: bool) -> Opened:
        return await self._store.open(owner, evict=evict)

    async def load(self, items: Sequence[Item]) -> Loaded:
        return await self._store.load(items)

    def prepare(self, ownership: Ownership, batch: Batch) -> None:
        self._store.prepare(ownership, batch)

    async def apply(self, ownership: Ownership, batch: Batch) -> None:
        self.applies += 1
        if self.lose_before:
            self.lose_before -= 1
            raise Ambiguous("lost before the commit")
        if self.conflicts:
            self.conflicts -= 1
            raise Conflict("told to conflict")
        if self.fences:
            self.fences -= 1
            raise Fenced("told to be fenced")
        if self.rejects(batch):
            raise Rejected("told to reject")
        await self._store.apply(ownership, batch)
        if self.lose_after:
            self.lose_after -= 1
            raise Ambiguous("lost after the commit")

    async def check(self, ownership: Ownership) -> None:
        self.checks += 1
        await self._store.check(ownership)

    async def due(self, now: int, keys_older_than: int, limit: int) -> Due:
        return await self._store.due(now, keys_older_than, limit)

    async def routes(self) -> Sequence[Route]:
        return await self._store.routes()

    async def legs(self, destination: str, after: int, limit: int) -> Sequence[tuple[int, str]]:
        return await self._store.legs(destination, after, limit)

    async def hash_of(self, seq: int) -> bytes | None:
        return await self._store.hash_of(seq)

    async def close(self) -> None:
        await self._store.close()

    async def accounts_in(self, region: str, bucket: str, since: int) -> Sequence[str]:
        return await self._store.accounts_in(region, bucket, since)

    async def copy_page(self, region: str, bucket: str, after: Position | None) -> Page:
        return await self._store.copy_page(region, bucket, after)

    async def has_users(self, region: str, buckets: Sequence[str], since: int) -> bool:
        return await self._store.has_users(region, buckets, since)

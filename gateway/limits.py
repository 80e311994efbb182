"""Holds callers to rates: so many calls a second of a tenant, a method, a terminal.

Each gateway decides by itself and at once. What it let in it reports to Redis, where all gateways'
calls are counted together, and a moment later it knows what the others let in. So a limit may be
passed for a moment by what came to several gateways at the same time, and is held on average; while
Redis is away each gateway holds its callers to the whole limit.
"""

import asyncio
import math
from collections.abc import Sequence
from typing import Final

from gateway import methods
from gateway.errors import Refused
from gateway.identity import Identity
from kit import metrics
from kit.rate_limits import BadLimits, RateLimit
from storage.redis.rates import RateStore, key_of

BUCKETS_MAX: Final = 20_000
"""In memory; past them those that count nothing any more are forgotten, then the oldest."""

BEHIND_BURSTS_MAX: Final = 10
"""How far gateways may pass a limit together before the rest is forgiven."""


class Bucket:
    """What one tenant, or a part of it, may do under a limit."""

    __slots__ = ("_full_at", "_is_queued", "_loop", "_unreported", "burst", "key", "worth")

    def __init__(self, limit: RateLimit, key: bytes, loop: asyncio.AbstractEventLoop) -> None:
        self.key = key
        self.worth = 1 / limit.per_second
        self.burst = limit.burst
        self._loop = loop
        self._full_at = 0.0
        self._unreported = 0
        self._is_queued = False

    @property
    def behind_max(self) -> float:
        return BEHIND_BURSTS_MAX * self.burst * self.worth

    def wait_seconds(self, now: float) -> float:
        """Return after which time one more call is let in; 0 when it is now."""
        return max(self._full_at - now - (self.burst - 1) * self.worth, 0.0)

    def take(self, now: float) -> None:
        """Count a call that is let in."""
        self._full_at = max(self._full_at, now) + self.worth
        self._unreported += 1

    def is_empty(self, now: float) -> bool:
        return self._full_at <= now and not self._is_queued

    def queue(self, store: RateStore) -> None:
        """Let the other gateways know soon."""
        if self._is_queued:
            return
        self._is_queued = store.sync(self)
        if not self._is_queued:
            self._unreported = 0

    def report(self) -> int:
        count, self._unreported = self._unreported, 0
        self._is_queued = False
        return count

    def learn(self, behind: float | None) -> None:
        self._is_queued = False
        if behind is not None:
            self._full_at = self._loop.time() + behind + self._unreported * self.worth


class Limits:
    """All limits of this gateway."""

    def __init__(self, limits: Sequence[RateLimit], store: RateStore | None) -> None:
        """Without a store this gateway counts alone. Raises BadLimits."""
        for limit in limits:
            for name in set(limit.methods) - set(methods.BY_NAME):
                raise BadLimits(f"{limit.name}: there is no method {name}")
        self._by_method: Final = {
            name: [limit for limit in limits if not limit.methods or name in limit.methods]
            for name in methods.BY_NAME
        }
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._buckets: dict[tuple[str, str, str, str], Bucket] = {}
        self._refused = {limit.name: metrics.RATE_LIMITED.labels(limit.name) for limit in limits}

    def admit(self, method: str, caller: Identity) -> None:
        """Count a call, or refuse it: under all limits that apply, or none. Raises Refused."""
        limits = self._by_method[method]
        if not limits:
            return
        now = self._loop.time()
        taken: list[Bucket] = []
        tenant_id = caller.principal.tenant_id
        for limit in limits:
            if limit.tenants and tenant_id not in limit.tenants:
                continue
            bucket = self._bucket(limit, tenant_id, method, caller.key_id, now)
            wait = bucket.wait_seconds(now)
            if wait > 0:
                self._refused[limit.name].inc()
                delay = math.ceil(wait * 1_000)
                raise Refused("RATE_LIMITED", metadata={"limit": limit.name}, retry_delay_ms=delay)
            taken.append(bucket)
        for bucket in taken:
            bucket.take(now)
            if self._store is not None:
                bucket.queue(self._store)

    async def run(self) -> None:
        """Stay in touch with the other gateways until cancelled."""
        if self._store is not None:
            await self._store.run()

    def _bucket(
        self, limit: RateLimit, tenant_id: str, method: str, key_id: str, now: float
    ) -> Bucket:
        name = (
            limit.name,
            tenant_id,
            method if "method" in limit.per else "",
            key_id if "terminal" in limit.per else "",
        )
        bucket = self._buckets.get(name)
        if bucket is None:
            if len(self._buckets) >= BUCKETS_MAX:
                self._make_room(now)
            bucket = self._buckets[name] = Bucket(limit, key_of(*name), self._loop)
        return bucket

    def _make_room(self, now: float) -> None:
        left = {name: one for name, one in self._buckets.items() if not one.is_empty(now)}
        # The oldest half, if there is nothing better: not one at a time, for each costs a walk.
        excess = max(len(left) - BUCKETS_MAX // 2, 0)
        self._buckets = dict(list(left.items())[excess:])

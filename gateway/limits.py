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

    is_wanted: Final = True
    __slots__ = ("_full_at", "_loop", "_unreported", "burst", "is_queued", "key", "limit", "worth")

    def __init__(self, limit: RateLimit, key: bytes, loop: asyncio.AbstractEventLoop) -> None:
        self.key = key
        self.limit = limit.name
        self.worth = 1 / limit.per_second
        self.burst = limit.burst
        self._loop = loop
        self._full_at = 0.0
        self._unreported = 0
        self.is_queued = False

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
        return self._full_at <= now and not self.is_queued

    def queue(self, store: RateStore) -> None:
        """Let the other gateways know soon; for a bucket that is not queued already."""
        self.is_queued = store.sync(self)
        if not self.is_queued:
            self._unreported = 0

    def report(self) -> int:
        count, self._unreported = self._unreported, 0
        self.is_queued = False
        return count

    def learn(self, behind: float | None) -> None:
        self.is_queued = False
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
        # By method, tenant and key, those under which its calls count.
        self._known: dict[tuple[str, str, str], Sequence[Bucket]] = {}
        self._refused = {limit.name: metrics.RATE_LIMITED.labels(limit.name) for limit in limits}

    def admit(self, method: str, caller: Identity) -> None:
        """Count a call, or refuse it: under all limits that apply, or none. Raises Refused."""
        limits = self._by_method[method]
        if not limits:
            return
        now = self._loop.time()
        buckets = self._buckets_of(limits, method, caller, now)
        for bucket in buckets:
            wait = bucket.wait_seconds(now)
            if wait > 0:
                self._refused[bucket.limit].inc()
                delay = math.ceil(wait * 1_000)
                raise Refused(
                    "RATE_LIMITED", metadata={"limit": bucket.limit}, retry_delay_ms=delay
                )
        for bucket in buckets:
            bucket.take(now)
            if not bucket.is_queued and self._store is not None:
                bucket.queue(self._store)

    async def run(self) -> None:
        """Stay in touch with the other gateways until cancelled."""
        if self._store is not None:
            await self._store.run()

    def _buckets_of(
        self, limits: Sequence[RateLimit], method: str, caller: Identity, now: float
    ) -> Sequence[Bucket]:
        """Return what a call counts under; the same each time, so it is looked for once."""
        tenant_id = caller.principal.tenant_id
        name = (method, tenant_id, caller.key_id)
        known = self._known.get(name)
        if known is None:
            if len(self._buckets) + len(limits) > BUCKETS_MAX:
                self._make_room(now)
            applying = [one for one in limits if not one.tenants or tenant_id in one.tenants]
            known = [self._bucket(one, tenant_id, method, caller.key_id) for one in applying]
            if len(self._known) >= BUCKETS_MAX:
                self._known.clear()
            self._known[name] = known
        return known

    def _bucket(self, limit: RateLimit, tenant_id: str, method: str, key_id: str) -> Bucket:
        name = (
            limit.name,
            tenant_id,
            method if "method" in limit.per else "",
            key_id if "terminal" in limit.per else "",
        )
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = Bucket(limit, key_of(*name), self._loop)
        return bucket

    def _make_room(self, now: float) -> None:
        left = {name: one for name, one in self._buckets.items() if not one.is_empty(now)}
        # The oldest half, if there is nothing better: not one at a time, for each costs a walk.
        excess = max(len(left) - BUCKETS_MAX // 2, 0)
        self._buckets = dict(list(left.items())[excess:])
        self._known.clear()

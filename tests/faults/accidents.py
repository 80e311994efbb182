"""How each fault is done to a running stack, and undone."""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import redis

from deploy.local.stack import Stack
from tests.acceptance.conftest import samples
from tests.faults.plan import Kind

PAUSE_SECONDS = 4.0
"""Longer than a lease, so that the lane is taken over meanwhile."""

REDIS_AWAY_SECONDS = 2.0
REPLICA_HELD_SECONDS = 3.0
REDIS_SECONDS_MAX = 2.0
LANE_OPEN = "tender_lane_open"


@dataclass(frozen=True)
class Done:
    """What was done, and whose lanes must have moved for it."""

    kind: Kind
    target: str
    shards: frozenset[str] = frozenset()


class Accidents:
    """Faults of one stack."""

    def __init__(self, stack: Stack, dice: random.Random) -> None:
        self._stack = stack
        self._processors = {"processor": stack.endpoints.processor_metrics}
        self._dice = dice
        self._kinds: dict[Kind, Callable[[], Awaitable[Done]]] = {
            Kind.PROCESSOR_KILL: self._kill_processor,
            Kind.PROCESSOR_PAUSE: self._pause_processor,
            Kind.REPLICA: self._hurt_replica,
            Kind.REDIS_KILL: self._kill_redis,
            Kind.REDIS_FLUSH: self._flush_redis,
            Kind.REDIS_HANG: self._hang_redis,
        }

    async def cause(self, kind: Kind) -> Done:
        """Cause a fault and mend it; whatever recovers by itself may still be about to."""
        return await self._kinds[kind]()

    async def _send(self, name: str, number: signal.Signals, *, stay_down: bool = False) -> None:
        await asyncio.to_thread(self._stack.kill, name, number, stay_down=stay_down)

    # Processors.

    async def _busy_processor(self) -> tuple[str, frozenset[str]]:
        """Return a processor that holds lanes, and which."""
        held = {
            name: await asyncio.to_thread(_lanes_of, metrics)
            for name, metrics in self._processors.items()
        }
        name = self._dice.choice(sorted(name for name, shards in held.items() if shards))
        return name, held[name]

    async def _kill_processor(self) -> Done:
        name, shards = await self._busy_processor()
        await self._send(name, signal.SIGKILL)
        return Done(Kind.PROCESSOR_KILL, name, shards)

    async def _pause_processor(self) -> Done:
        name, shards = await self._busy_processor()
        await self._send(name, signal.SIGSTOP)
        await asyncio.sleep(PAUSE_SECONDS)
        await self._send(name, signal.SIGCONT)
        return Done(Kind.PROCESSOR_PAUSE, name, shards)

    # Replicas.

    async def _hurt_replica(self) -> Done:
        name = self._dice.choice([name for name in self._stack.names() if "replica" in name])
        if self._dice.random() < 0.5:
            await self._send(name, signal.SIGKILL)
        else:
            await self._send(name, signal.SIGSTOP)
            await asyncio.sleep(REPLICA_HELD_SECONDS)
            await self._send(name, signal.SIGCONT)
        return Done(Kind.REPLICA, name)

    # Redis.

    async def _kill_redis(self) -> Done:
        await self._send("valkey", signal.SIGKILL)
        return Done(Kind.REDIS_KILL, "valkey")

    async def _hang_redis(self) -> Done:
        await self._send("valkey", signal.SIGSTOP)
        await asyncio.sleep(REDIS_AWAY_SECONDS)
        await self._send("valkey", signal.SIGCONT)
        return Done(Kind.REDIS_HANG, "valkey")

    async def _flush_redis(self) -> Done:
        def flush() -> None:
            url = self._stack.endpoints.redis_url
            with redis.Redis.from_url(url, socket_timeout=REDIS_SECONDS_MAX) as client:
                client.flushall()

        await asyncio.to_thread(flush)
        return Done(Kind.REDIS_FLUSH, "valkey")


def _lanes_of(metrics: str) -> frozenset[str]:
    """Return the shards whose lanes a processor says it holds; none if it does not answer."""
    try:
        found = samples(metrics, LANE_OPEN)
    except OSError:
        return frozenset()
    return frozenset(one.labels["shard"] for one in found if one.value == 1)

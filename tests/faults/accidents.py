"""How each fault is done to a running stack, and undone."""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg
import redis

from deploy.local import processes
from deploy.local.roles import Roles
from deploy.local.stack import Stack
from tests.acceptance.conftest import samples
from tests.faults.plan import Kind

PAUSE_SECONDS = 4.0
"""Longer than a lease, so that the lane is taken over meanwhile."""

REDIS_AWAY_SECONDS = 2.0
REPLICA_HELD_SECONDS = 3.0
REDIS_SECONDS_MAX = 2.0
PROMOTION_SECONDS_MAX = 30.0
MEMBERS_SECONDS_MAX = 60.0
"""For an old primary to come back as a copy of the new one."""

CONNECT_SECONDS_MAX = 5.0
STREAMING = """
SELECT count(*) FROM pg_stat_replication
WHERE state = 'streaming' AND application_name <> 'pg_basebackup'
"""
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
        self._processors = {each.name: each.metrics for each in stack.endpoints.processors}
        self._roles = Roles(stack.options.data_dir.resolve(), stack.options)
        self._dice = dice
        self._kinds: dict[Kind, Callable[[], Awaitable[Done]]] = {
            Kind.PROCESSOR_KILL: self._kill_processor,
            Kind.PROCESSOR_PAUSE: self._pause_processor,
            Kind.PRIMARY_KILL: self._kill_primary,
            Kind.OLD_PRIMARY: self._bring_old_primary_back,
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

    # Postgres servers.

    async def _kill_primary(self) -> Done:
        server, name, shards = self._primary()
        await self._send(name, signal.SIGKILL)
        await self._promoted(server, name)
        return Done(Kind.PRIMARY_KILL, name, shards)

    async def _bring_old_primary_back(self) -> Done:
        """It hangs, another one is promoted, and then it would go on where it stopped."""
        server, name, shards = self._primary()
        members = processes.identify(processes.family(self._stack.child(name).pid))
        await self._send(name, signal.SIGSTOP)
        await self._promoted(server, name)
        processes.send(members, signal.SIGCONT)
        return Done(Kind.OLD_PRIMARY, name, shards)

    def _primary(self) -> tuple[int, str, frozenset[str]]:
        """Choose the primary of a server whose members are all there, and name its shards."""
        alive = self._stack.alive()
        servers = [
            server
            for server in range(self._stack.options.servers)
            if all(alive.get(name, False) for name in self._roles.members(server))
        ]
        server = self._dice.choice(servers or [0])
        places = self._stack.options.layout().places()
        shards = frozenset(place.name for place in places if place.server == server)
        return server, self._roles.primary(server), shards

    async def _promoted(self, server: int, before: str) -> None:
        async with asyncio.timeout(PROMOTION_SECONDS_MAX):
            while self._roles.primary(server) == before:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def await_members(self) -> None:
        """Wait until every server has all its standbys: a fault meets a stack that is well."""
        names = [
            name
            for server in range(self._stack.options.servers)
            for name in self._roles.members(server)
        ]
        async with asyncio.timeout(MEMBERS_SECONDS_MAX):
            while True:
                alive = await asyncio.to_thread(self._stack.alive)
                if all(alive.get(name, False) for name in names) and await self._all_stream():
                    return
                await asyncio.sleep(0.2)

    async def _all_stream(self) -> bool:
        for shard in self._stack.endpoints.shards[: self._stack.options.servers]:
            try:
                connection = await asyncpg.connect(shard.owner_url, timeout=CONNECT_SECONDS_MAX)
            except (OSError, TimeoutError, asyncpg.PostgresError):
                return False
            try:
                if await connection.fetchval(STREAMING) < self._stack.options.replicas:
                    return False
            finally:
                await connection.close()
        return True

    async def _hurt_replica(self) -> Done:
        server = self._dice.randrange(self._stack.options.servers)
        name = self._dice.choice(list(self._roles.standbys(server)))
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

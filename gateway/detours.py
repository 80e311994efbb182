"""Commands that went to a lane which does not own their bucket: they wait, and go where it is.

The map is a hint, and a bucket that moves is nobody's for a moment. A caller notices neither.
"""

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from gateway import methods, routing
from gateway.commands import Command
from gateway.errors import Refused
from gateway.topology import Topology
from kit import metrics
from tender.v1 import lane_pb2

DETOURS_MAX: Final = 20_000
"""Commands that wait so at a time: what lanes may have in flight. More are refused."""

PAUSE_SECONDS: Final = 0.03
"""Between two askings of lanes that know of no better one; a bucket is frozen for some tenths."""

TOLD_AHEAD_SECONDS: Final = 0.1
"""A command is given up so long before its deadline, while its caller still listens."""

HOPS_BEFORE_ASKING_AROUND: Final = 3
"""A bucket that moves is back by then; if not, the maps are wrong, and some other lane has it."""

_ELSEWHERE: Final = "BUCKET_ELSEWHERE"


class Lane(Protocol):
    """Where a command goes on."""

    def resume(self, command: Command) -> None: ...


class _Detour(NamedTuple):
    """A command, who refused it, and what was known then."""

    command: Command
    refused_by: str
    hint: str
    map_version: int
    since: float


class Detours:
    """Bounded; `run` sends commands on until cancelled."""

    def __init__(self, topology: Topology, lane: Callable[[str], Lane], region: str) -> None:
        """`lane` returns the lane of a shard by its name."""
        self._topology = topology
        self._lane = lane
        self._region = region
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Detour] = []
        self._filled = asyncio.Event()
        self._map_changed = asyncio.Event()
        self._is_closed = False

    def take(self, command: Command, refused_by: str, refusal: lane_pb2.Refusal) -> None:
        """Take a command over from a lane that refused it for its bucket."""
        metrics.GATEWAY_DETOURS.inc()
        if self._is_closed or len(self._waiting) >= DETOURS_MAX:
            command.refused(_ELSEWHERE)
            return
        command.hops += 1
        hint = refusal.metadata.get("shard", "")
        self._waiting.append(
            _Detour(command, refused_by, hint, self._topology.version, self._loop.time())
        )
        self._filled.set()

    def look_again(self) -> None:
        """The topology has changed."""
        self._map_changed.set()

    def close(self) -> None:
        """Refuse what waits, and all that comes."""
        self._is_closed = True
        waiting, self._waiting = self._waiting, []
        for detour in waiting:
            detour.command.refused(_ELSEWHERE)

    async def run(self) -> None:
        """Send on what waits until cancelled."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            waiting, self._waiting = self._waiting, []
            for detour in waiting:
                self._go_on(detour)
            if self._waiting:
                self._filled.set()
                await self._pause()

    async def _pause(self) -> None:
        self._map_changed.clear()
        try:
            async with asyncio.timeout(PAUSE_SECONDS / 3):
                await self._map_changed.wait()
        except TimeoutError:
            return

    def _go_on(self, detour: _Detour) -> None:
        """Send a command to a lane that may have its bucket, or let it wait."""
        command, now = detour.command, self._loop.time()
        if now + TOLD_AHEAD_SECONDS >= command.deadline:
            command.refused(_ELSEWHERE)
            return
        shard = self._shard_of(detour)
        is_news = shard != detour.refused_by and (
            command.hops == 1 or self._topology.version > detour.map_version
        )
        if is_news or now - detour.since >= PAUSE_SECONDS:
            self._lane(shard).resume(command)
        else:
            self._waiting.append(detour)

    def _shard_of(self, detour: _Detour) -> str:
        """Return the shard to ask: the map's, if another; else what the refusing lane believes.

        A lane that owned the bucket knows where it went before any map says so. When nobody has
        it, all are asked in turn: only its owner takes it, so that costs time alone.
        """
        mapped, is_lost = self._mapped(detour), detour.command.hops > HOPS_BEFORE_ASKING_AROUND
        if mapped != detour.refused_by and not is_lost:
            return mapped
        hinted = detour.hint
        if hinted and hinted != mapped and self._topology.holder(hinted) is not None:
            return hinted
        shards = sorted(self._topology.shards)
        return shards[detour.command.hops % len(shards)] if is_lost and shards else mapped

    def _mapped(self, detour: _Detour) -> str:
        """Return the map's shard; the one that refused while the map says nothing of use."""
        if len(self._topology.shards) < 2:
            return detour.refused_by
        command = detour.command
        request = methods.BY_NUMBER[command.method].request.FromString(command.request)
        place = routing.ROUTES[command.method](request, self._region)
        try:
            return self._topology.shard_of(place)
        except Refused:
            return detour.refused_by

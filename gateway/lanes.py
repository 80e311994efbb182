"""All lanes that a gateway knows: which one a request goes to, and a client for each."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import grpc

from gateway import routing
from gateway.commands import Command
from gateway.detours import Detours
from gateway.errors import Refused
from gateway.lane_client import LaneClient
from gateway.lane_stream import Way
from gateway.topology import Topology
from kit import metrics

RETIRE_SECONDS_MAX: Final = 10.0
"""For what is under way to the only lane when it turns out to be one of several."""


class Lanes:
    """A client per shard, made when it is first needed; `run` keeps them going until cancelled.

    As long as no map names several shards there is one lane, and nothing is looked at to find it.
    """

    def __init__(
        self,
        topology: Topology,
        channels: Mapping[str, grpc.aio.Channel],
        token: str,
        *,
        region: str,
        in_flight_max: int,
        tenant_max: int = 0,
    ) -> None:
        """`channels` by the processors' targets; the bounds are those of each lane."""
        self._topology = topology
        self._channels = channels
        self._token = token
        self._region = region
        self._in_flight_max = in_flight_max
        self._tenant_max = tenant_max
        self._group: asyncio.TaskGroup | None = None
        self._running: dict[str, asyncio.Task[None]] = {}
        self._clients: dict[str, LaneClient] = {}
        self._turn = 0
        self._detours = Detours(topology, self._client, region)
        self.only: LaneClient | None = self._client("")

    # Which one.

    def lane_of(self, method: int, request: Any) -> LaneClient:
        """Return the lane that a valid request belongs to; raises Refused."""
        if self.only is not None:
            if method in routing.WITH_REGION and request.region:
                self._require_region(request.region)
            return self.only
        place = routing.ROUTES[method](request, self._region)
        return self._client(self._topology.shard_of(place))

    def incarnation_of(self, shard: str) -> str:
        """Return which incarnation a shard's lane has, as it says itself; empty if unknown."""
        client = self._clients.get(shard)
        return "" if client is None else client.incarnation

    def _require_region(self, region: str) -> None:
        if region in (self._topology.regions or {self._region}):
            return
        if not self._topology.regions and self._topology.holder("") is None:
            raise Refused("SHARD_UNAVAILABLE")  # No processor has said yet which there are.
        raise Refused("REGION_UNKNOWN")

    def _client(self, shard: str) -> LaneClient:
        client = self._clients.get(shard)
        if client is None:
            client = self._clients[shard] = LaneClient(
                lambda: self._find(shard),
                self._token,
                shard=shard,
                in_flight_max=self._in_flight_max,
                tenant_max=self._tenant_max,
                redirect=self._detours.take,
            )
            self._start(shard, client)
        return client

    def _find(self, shard: str) -> Way | None:
        holder = self._topology.holder(shard)
        if holder is None:
            if shard:
                return None
            # Nobody said anything: with one lane any processor may have it, so each has its turn.
            self._turn += 1
            holder = list(self._channels)[self._turn % len(self._channels)]
        return Way(self._channels[holder], self._topology.pipe(holder))

    def look_again(self) -> None:
        """The topology has changed."""
        if len(self._topology.shards) > 1 and self.only is not None:
            self.only = None
            self._retire("")
        for shard in self._topology.shards if self.only is None else ():
            self._client(shard)
        for client in self._clients.values():
            client.look_again()
        self._detours.look_again()

    # What goes to several.

    def require_calm(self) -> None:
        """Refuse a read while every lane is without room for authorizations; raises Refused."""
        refused: Refused | None = None
        for client in self._clients.values():
            try:
                client.require_calm()
            except Refused as error:
                refused = error
            else:
                return
        if refused is not None:
            raise refused

    async def submit_as_room_comes(self, commands: Sequence[Command]) -> None:
        """Send commands of a bulk call, those of each lane in their order."""
        if self.only is not None:
            await self.only.submit_as_room_comes(commands)
            return
        by_lane: dict[LaneClient, list[Command]] = {}
        for command in commands:
            by_lane.setdefault(command.lane, []).append(command)
        await asyncio.gather(*(lane.submit_as_room_comes(own) for lane, own in by_lane.items()))

    # How they are kept going.

    async def run(self) -> None:
        """Keep every client going until cancelled."""
        try:
            async with asyncio.TaskGroup() as self._group:
                for shard, client in self._clients.items():
                    self._start(shard, client)
                self._group.create_task(self._detours.run())
                await asyncio.get_running_loop().create_future()
        finally:
            self._group = None

    def _start(self, shard: str, client: LaneClient) -> None:
        if self._group is not None:
            self._running[shard] = self._group.create_task(client.run())

    def _retire(self, shard: str) -> None:
        """Let a client finish what is under way, and end it.

        A processor that has several lanes takes nothing from one that names none, so that there is
        nothing to finish: its callers shall come again at once.
        """
        client, running = self._clients.pop(shard), self._running.pop(shard, None)
        if self._group is None or running is None:
            _tell_no_more_of(shard)
            return

        async def finish() -> None:
            await client.drain(RETIRE_SECONDS_MAX if client.is_of_use else 0)
            running.cancel()
            _tell_no_more_of(shard)

        self._group.create_task(finish())

    async def drain(self, timeout_seconds: float) -> None:
        """Take no more commands and wait until those in flight are answered."""
        self._detours.close()
        await asyncio.gather(*(one.drain(timeout_seconds) for one in self._clients.values()))


def _tell_no_more_of(shard: str) -> None:
    """A lane that nobody looks for any more is not one that is not reached."""
    metrics.GATEWAY_LANE_CONNECTED.remove(shard)

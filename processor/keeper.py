"""Keeps this process's share of the lanes: opens those that fall to it, hands others over."""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from kit import metrics
from processor import sharing
from processor.lane import Lane
from processor.peers import RemotePeers

log = structlog.get_logger()

LOOK_SECONDS: Final = 0.1
"""Between two looks while nobody says anything new: what is left then is a matter of time."""

HANDOVER_SECONDS_MAX: Final = 0.1
"""For what waits in a lane that another one takes; what is left goes to that one undecided."""


class Keeper:
    """Acts on `sharing`, for as long as `run` goes; `stop` leaves the lanes to the others."""

    def __init__(
        self,
        name: str,
        lanes: Mapping[str, Lane],
        others: RemotePeers,
        *,
        changed: asyncio.Event,
        end_streams: Callable[[str], None],
        steady_seconds: float,
    ) -> None:
        """`name` is what this process tells of itself; `changed` is set when others say news.

        The lanes are those that this process may hold, each running and not pursued yet.
        A peer heard for `steady_seconds` is handed what belongs with it.
        `end_streams` is told the shard of each lane that is given up, once it is.
        """
        self._name = name
        self._lanes = lanes
        self._others = others
        self._changed = changed
        self._end_streams = end_streams
        self._steady_seconds = steady_seconds
        self._moving: set[str] = set()
        self._held: set[str] = set()
        self._orphaned_since: dict[str, float] = {}
        self._last_holder: dict[str, str] = {}
        self._lost_at: dict[str, float] = {}

    async def run(self) -> None:
        """Look at every lane, whenever something changes, until cancelled."""
        await self._others.first_words()
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                self._look(group)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._changed.wait()

    async def stop(self, running: Mapping[str, "asyncio.Task[None]"], drain_seconds: float) -> None:
        """Give all lanes up for good; `running` has the task of each lane. After `run` has ended.

        Somebody who takes them over also takes what waits in them; without, it is decided here.
        """
        grace = min(drain_seconds, HANDOVER_SECONDS_MAX) if self._peers() else drain_seconds
        async with asyncio.TaskGroup() as group:
            for shard, lane in self._lanes.items():
                group.create_task(self._stop_one(shard, lane, running[shard], grace))

    async def _stop_one(
        self, shard: str, lane: Lane, running: "asyncio.Task[None]", grace_seconds: float
    ) -> None:
        if lane.is_open and self._peers():
            metrics.lane_meter(shard).handovers.inc()
        await lane.stop(grace_seconds)
        await lane.given_up()
        self._end_streams(shard)
        await running

    def _peers(self) -> list[sharing.Peer]:
        """Return those who are heard and stay; our own name is ours, whoever tells it."""
        return [
            peer for peer in self._others.heard() if peer.name != self._name and not peer.is_leaving
        ]

    def _look(self, group: asyncio.TaskGroup) -> None:
        now = time.monotonic()
        peers = [peer for peer in self._others.heard() if peer.name != self._name]
        for shard, lane in self._lanes.items():
            if shard in self._moving:
                continue
            if lane.is_open:
                self._keep(group, shard, lane, peers, now)
            elif (holder := sharing.holder(shard, peers)) is not None:
                self._leave_to(group, shard, lane, holder)
            else:
                self._seek(shard, lane, peers, now)

    def _keep(
        self,
        group: asyncio.TaskGroup,
        shard: str,
        lane: Lane,
        peers: list[sharing.Peer],
        now: float,
    ) -> None:
        self._held.add(shard)
        self._lost_at.pop(shard, None)
        self._orphaned_since.pop(shard, None)
        if sharing.should_hand_over(shard, self._name, peers, now, self._steady_seconds):
            log.info("lane_handed_over", shard=shard)
            metrics.lane_meter(shard).handovers.inc()
            self._held.discard(shard)
            self._give_up(group, shard, lane, HANDOVER_SECONDS_MAX)

    def _leave_to(
        self,
        group: asyncio.TaskGroup,
        shard: str,
        lane: Lane,
        holder: sharing.Peer,
    ) -> None:
        self._orphaned_since.pop(shard, None)
        self._last_holder[shard] = holder.name
        if shard in self._held or self._lost_at.pop(shard, None) is not None:
            self._held.discard(shard)
            log.warning("lane_taken", shard=shard, by=holder.name)
        if lane.is_pursued:
            self._give_up(group, shard, lane, 0.0)

    def _seek(self, shard: str, lane: Lane, peers: list[sharing.Peer], now: float) -> None:
        orphaned_seconds = now - self._orphaned_since.setdefault(shard, now)
        if shard in self._held:
            self._held.discard(shard)
            self._lost_at[shard] = now
        if lane.is_pursued or sharing.should_open(shard, self._name, peers, orphaned_seconds):
            lost_seconds = now - self._lost_at.get(shard, -math.inf)
            lane.pursue(
                self._cause(shard, peers),
                # One that listens to nobody cannot say who is not heard.
                evicts=self._others.are_any
                and sharing.should_evict(orphaned_seconds, lost_seconds),
            )

    def _cause(self, shard: str, peers: list[sharing.Peer]) -> str:
        last = self._last_holder.get(shard)
        if last is None:
            return "unheld"
        return "handed_over" if any(peer.name == last for peer in peers) else "owner_lost"

    def _give_up(
        self, group: asyncio.TaskGroup, shard: str, lane: Lane, grace_seconds: float
    ) -> None:
        async def give_up() -> None:
            try:
                await lane.give_up(grace_seconds)
                self._end_streams(shard)
            finally:
                self._moving.discard(shard)

        self._moving.add(shard)
        group.create_task(give_up())

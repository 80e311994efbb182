"""Carries legs to the lanes of other shards: in order, again until they are taken, none skipped.

One courier per lane, for as long as the lane is held. It begins where each destination says that it
is, so that it needs to remember nothing; what it notes down is for readers.
"""

import asyncio
import itertools
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from kit import metrics
from processor.domain.commands import AcknowledgeLegs
from processor.entries import Entry, Reply
from processor.ports import (
    CARRY_SECONDS_MAX,
    LEGS_PER_CALL_MAX,
    LaneStorage,
    Peers,
    SentLeg,
    Unavailable,
)

log = structlog.get_logger()

LEGS_BYTES_MAX: Final = 512 << 10
"""In a call; with any one more it stays below what a lane's servicer receives."""
LEGS_IN_MEMORY_MAX: Final = 3_000
"""Per destination; the rest is read when its turn comes."""
BACKOFF_SECONDS_MIN: Final = 0.02
BACKOFF_SECONDS_MAX: Final = 1.0
"""Between calls to a peer that is away, or does not get on."""
ACKNOWLEDGE_SECONDS: Final = 0.2
"""Between two notes of how far a destination is: each is a row of the journal."""
REPLY_SECONDS_MAX: Final = 1.0
"""A reply waits so long for peers to have what it says."""


class _Route:
    """The way to one destination."""

    def __init__(self, destination: str) -> None:
        self.destination = destination
        self.sent = 0  # Number of the last leg that is committed here.
        self.position = -1  # Number of the last one taken there; -1 until it is asked.
        self.acknowledged = 0  # Up to where that is noted down.
        self.is_away = False
        self.waiting_since = 0.0  # As metrics show it, by the wall clock; 0 when nothing waits.
        self.shown_position = -1
        self.fresh: deque[tuple[int, bytes]] = deque()
        self.grown = asyncio.Event()

    def add(self, number: int, leg: bytes) -> None:
        """Remember a leg, unless there are too many: then those from here on are read."""
        self.sent = number
        self.grown.set()
        fresh = self.fresh
        if len(fresh) < LEGS_IN_MEMORY_MAX and (not fresh or fresh[-1][0] == number - 1):
            fresh.append((number, leg))

    def has_taken(self, number: int) -> bool:
        """Say whether the destination has a leg, or cannot be asked."""
        return self.is_away or self.position >= number


class _Waiting:
    """A reply that waits until every peer that can be reached has the legs sent so far."""

    def __init__(self, routes: Sequence[_Route], then: Callable[[], None]) -> None:
        self._wanted = [(route, route.sent) for route in routes]
        self._then: Callable[[], None] | None = then
        self._timer = asyncio.get_running_loop().call_later(REPLY_SECONDS_MAX, self.end)

    @property
    def is_over(self) -> bool:
        return self._then is None or all(route.has_taken(sent) for route, sent in self._wanted)

    def end(self) -> None:
        then, self._then = self._then, None
        self._timer.cancel()
        if then is not None:
            then()


class Courier:
    """Carries what a lane sends, one call at a time to each destination."""

    def __init__(
        self, storage: LaneStorage, peers: Peers, shard: str, submit: Callable[[Entry], None]
    ) -> None:
        self._storage = storage
        self._peers = peers
        self._shard = shard
        self._meter = metrics.lane_meter(shard)
        self._submit = submit
        self._routes: dict[str, _Route] = {}
        self._new: list[_Route] = []
        self._has_new = asyncio.Event()
        self._moved = asyncio.Event()
        self._waiting: list[_Waiting] = []
        self._closed = False

    def sent(self, legs: Sequence[SentLeg]) -> None:
        """Take over legs that are committed."""
        for leg in legs:
            self._route(leg.destination).add(leg.number, leg.text.encode())
        self._show_pending()

    def when_carried(self, then: Callable[[], None]) -> None:
        """Call back once every peer within reach has all that was sent, or after a second."""
        waiting = _Waiting(list(self._routes.values()), then)
        if self._closed:
            waiting.end()
        else:
            self._waiting.append(waiting)
            self._end_waiting()

    async def run(self) -> None:
        """Carry until cancelled. Raises Unavailable when the lane's own storage is away."""
        try:
            for known in await self._storage.routes():
                route = self._route(known.destination)
                route.sent = max(route.sent, known.sent)
                route.acknowledged = known.acknowledged
            async with asyncio.TaskGroup() as group:
                group.create_task(self._acknowledge())
                while True:
                    for route in self._new:
                        group.create_task(self._carry(route))
                    self._new.clear()
                    self._has_new.clear()
                    await self._has_new.wait()
        finally:
            self._closed = True
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                one.end()

    def _route(self, destination: str) -> _Route:
        route = self._routes.get(destination)
        if route is None:
            route = self._routes[destination] = _Route(destination)
            self._new.append(route)
            self._has_new.set()
        return route

    async def _carry(self, route: _Route) -> None:
        """Carry to one destination, until cancelled or until it knows more than we ever sent."""
        delay = BACKOFF_SECONDS_MIN
        while True:
            before = route.position
            if before < 0:
                position = await self._call(route, 0, ())
            else:
                position = await self._call(route, before + 1, await self._next(route))
            if (
                position is not None
                and position > route.sent
                and await self._is_beyond(route, position)
            ):
                return
            if position is not None:
                route.position = position
                self._moved.set()
            self._end_waiting()
            self._show_pending()
            if position is not None and position > before:
                delay = BACKOFF_SECONDS_MIN
                continue
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, BACKOFF_SECONDS_MAX)

    async def _call(self, route: _Route, first: int, legs: Sequence[bytes]) -> int | None:
        """Return the destination's position, None when it is away."""
        try:
            async with asyncio.timeout(CARRY_SECONDS_MAX):
                position = await self._peers.carry(self._shard, route.destination, first, legs)
        except (Unavailable, TimeoutError) as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise asyncio.CancelledError from error  # The peer failed as we were to stop.
            if not route.is_away:
                log.info("legs_wait", destination=route.destination, reason=repr(error))
            route.is_away = True
            return None
        route.is_away = False
        return position

    async def _next(self, route: _Route) -> list[bytes]:
        """Return the next legs, from memory if they are there; waits until there are any."""
        while route.sent <= route.position:
            route.grown.clear()
            await route.grown.wait()
        after, fresh = route.position, route.fresh
        while fresh and fresh[0][0] <= after:
            fresh.popleft()
        if fresh and fresh[0][0] == after + 1:
            found = [leg for _, leg in itertools.islice(fresh, LEGS_PER_CALL_MAX)]
        else:
            stored = await self._storage.legs(route.destination, after, LEGS_PER_CALL_MAX)
            assert [number for number, _ in stored] == [
                *range(after + 1, after + 1 + len(stored))
            ], "numbers have no gap"
            found = [text.encode() for _, text in stored]
        size = 0
        for count, leg in enumerate(found):
            size += len(leg)
            if count and size > LEGS_BYTES_MAX:
                return found[:count]
        return found

    async def _is_beyond(self, route: _Route, position: int) -> bool:
        """Say whether a destination has legs that this shard does not know to have sent (R12)."""
        stored = {one.destination: one.sent for one in await self._storage.routes()}
        if position <= max(route.sent, stored.get(route.destination, 0)):
            return False
        # Numbers would be used twice, and the destination would take the second for the first.
        self._meter.legs_stopped.inc()
        log.error(
            "legs_history_lost",
            destination=route.destination,
            position=position,
            sent=route.sent,
        )
        route.is_away = True
        self._end_waiting()
        return True

    async def _acknowledge(self) -> None:
        while True:
            await self._moved.wait()
            self._moved.clear()
            for route in self._routes.values():
                if route.position > route.acknowledged:
                    self._note(route)
            await asyncio.sleep(ACKNOWLEDGE_SECONDS)

    def _note(self, route: _Route) -> None:
        before, route.acknowledged = route.acknowledged, route.position

        def reply(answer: Reply) -> None:
            if answer.reason:  # The queue is full, say: again with the next one.
                route.acknowledged = before
                self._moved.set()

        self._submit(Entry(AcknowledgeLegs(route.destination, route.position), reply))

    def _end_waiting(self) -> None:
        over = [one for one in self._waiting if one.is_over]
        if over:
            self._waiting = [one for one in self._waiting if one not in over]
            for one in over:
                one.end()

    def _show_pending(self) -> None:
        now, pending, since = time.time(), 0, 0.0
        for route in self._routes.values():
            waits = route.sent - max(route.position, 0)
            if waits <= 0:
                route.waiting_since = 0.0
                continue
            pending += waits
            if not route.waiting_since or route.position > route.shown_position:
                route.waiting_since = now
            route.shown_position = route.position
            since = min(since or now, route.waiting_since)
        self._meter.legs_pending.set(pending)
        self._meter.legs_waiting_since.set(since)

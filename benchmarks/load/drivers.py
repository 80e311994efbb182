"""Drivers of unary calls: a closed loop that keeps calls in flight, an open one that keeps time."""

import asyncio
import random
from array import array
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from benchmarks.http2.connection import Connection, Reply
from benchmarks.load.answers import Wrong
from benchmarks.load.record import RESOURCE_EXHAUSTED, Recorder, clock
from benchmarks.load.session import Session, Target
from benchmarks.load.workloads import Ask, Workload

TICK_SECONDS: Final = 0.001
"""How exactly an open loop keeps its times; being late counts against the server."""

LATE_SECONDS: Final = 0.005
"""A call that leaves later than this was sent late: the generator itself was held up."""

PAUSE_SECONDS: Final = 0.05
"""After a call that was refused: the next one at once would only measure refusing."""

WAITING_MAX: Final = 200_000
"""Calls that are due but have no connection to go out on; more are dropped and are errors."""


class Driver(Protocol):
    """Makes calls until it is told to stop."""

    @property
    def session(self) -> Session:
        """Where they go out."""

    @property
    def in_flight(self) -> int:
        """Calls that are not answered yet."""

    def start(self) -> None:
        """Begin, the connections being open."""

    def stop(self) -> None:
        """Begin no more calls."""

    def give_up(self) -> None:
        """Note what was never answered, the connections being closed."""

    def facts(self) -> dict[str, Any]:
        """Return what else there is to report."""


class Closed:
    """As soon as a call is answered the next one begins: shows how much the server can do."""

    def __init__(
        self,
        target: Target,
        workload: Workload,
        recorder: Recorder,
        *,
        in_flight: int,
        connections: int,
    ) -> None:
        self.session = Session(target, self._replied, self._opened)
        self.in_flight = 0
        self._workload, self._recorder = workload, recorder
        self._per_connection = max(1, in_flight // connections)
        self._again: deque[Ask] = deque()
        self._running = False

    def start(self) -> None:
        self._running = True
        for connection in self.session.connections:
            self._opened(connection)

    def stop(self) -> None:
        self._running = False

    def give_up(self) -> None:
        for ask in self._again:
            self._recorder.unknown(ask.request_id)

    def facts(self) -> dict[str, Any]:
        return {}

    def _opened(self, connection: Connection) -> None:
        while (
            self._running and connection.has_room and (connection.in_flight < self._per_connection)
        ):
            self._begin(connection)

    def _begin(self, connection: Connection) -> None:
        ask = self._again.popleft() if self._again else self._workload.next()
        self.in_flight += 1
        connection.call(ask.path, ask.body, (ask, clock()))

    def _replied(self, connection: Connection, token: tuple[Ask, float], reply: Reply) -> None:
        ask, began = token
        self.in_flight -= 1
        if reply.untouched:
            self._again.append(ask)
        elif settled(self._recorder, ask, reply):
            if self._recorder.measuring:
                self._recorder.latencies.append(clock() - began)
        else:
            later(PAUSE_SECONDS, lambda: self._opened(connection))
            return
        if self._running and connection.has_room:
            self._begin(connection)


class Open:
    """Calls begin when a schedule says so, answered or not: shows how long callers wait.

    The schedule is drawn beforehand, and a latency runs from the time that it names: a server that
    stalls, and a generator that is late, show in every call that was due meanwhile.
    """

    def __init__(
        self,
        target: Target,
        workload: Workload,
        recorder: Recorder,
        *,
        rate: float,
        seconds: float,
        seed: int,
    ) -> None:
        self.session = Session(target, self._replied, self._opened)
        self.in_flight = 0
        self._workload, self._recorder = workload, recorder
        self._offsets = arrivals(rate, seconds, seed)
        self._next = 0
        self._started = 0.0
        self._due: deque[tuple[Ask, float, bool]] = deque()
        self._turn = 0
        self._running = False
        self._offered = self._late = 0
        self._latest = 0.0

    def start(self) -> None:
        self._running = True
        self._started = clock()
        self._tick()

    def stop(self) -> None:
        self._running = False

    def give_up(self) -> None:
        for ask, _, _ in self._due:
            self._recorder.error("never sent: no connection had room")
            self._recorder.unknown(ask.request_id)

    def facts(self) -> dict[str, Any]:
        return {"offered": self._offered, "late": self._late, "latest_ms": self._latest * 1e3}

    def _tick(self) -> None:
        if not self._running:
            return
        now = clock()
        offsets, at, recorder = self._offsets, self._next, self._recorder
        measuring = recorder.measuring
        while at < len(offsets) and self._started + offsets[at] <= now:
            due = self._started + offsets[at]
            at += 1
            if measuring:
                self._offered += 1
                delay = now - due
                self._latest = max(self._latest, delay)
                self._late += delay > LATE_SECONDS
            if len(self._due) < WAITING_MAX:
                self.in_flight += 1
                self._due.append((self._workload.next(), due, measuring))
            else:
                recorder.error("dropped: no connection had room")
        self._next = at
        self._send()
        asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def _send(self) -> None:
        connections = self.session.connections
        full = 0
        while self._due and full < len(connections):
            self._turn += 1
            connection = connections[self._turn % len(connections)]
            if not connection.has_room:
                full += 1
                continue
            full = 0
            token = self._due.popleft()
            connection.call(token[0].path, token[0].body, token)

    def _opened(self, connection: Connection) -> None:
        if self._running:
            self._send()

    def _replied(
        self, connection: Connection, token: tuple[Ask, float, bool], reply: Reply
    ) -> None:
        ask, due, measured = token
        if reply.untouched:
            self._due.appendleft(token)
            return
        self.in_flight -= 1
        if reply.status == RESOURCE_EXHAUSTED and self._recorder.sheds:
            self._recorder.refused(ask.request_id, clock() - due)
        elif settled(self._recorder, ask, reply) and measured:
            self._recorder.latencies.append(clock() - due)
            if self._recorder.windowed:
                self._recorder.dues.append(due)
        if self._due:
            self._send()


def later(seconds: float, action: Callable[[], None]) -> None:
    """Do something after a while."""
    asyncio.get_running_loop().call_later(seconds, action)


def settled(recorder: Recorder, ask: Ask, reply: Reply) -> bool:
    """Say whether a call was carried out as asked for; count it as an error if it was not."""
    if reply.status != 0:
        recorder.error(f"grpc-status {reply.status}: {reply.message}")
        recorder.unknown(ask.request_id)
        return False
    try:
        return ask.settle(reply.body)
    except Wrong as wrong:
        recorder.error(f"wrong answer: {wrong}")
        recorder.unknown(ask.request_id)
        return False


def arrivals(rate: float, seconds: float, seed: int) -> "array[float]":
    """Return when calls are due, in seconds from the start: as from many independent callers."""
    dice = random.Random(seed)
    found = array("d")
    at = dice.expovariate(rate)
    while at < seconds:
        found.append(at)
        at += dice.expovariate(rate)
    return found

"""Sends commands to their lanes behind all others, as many as are answered soon, until decided."""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar

from gateway import errors, reasons
from gateway.commands import Command as Carried
from gateway.errors import Refused
from gateway.intake import commands
from gateway.intake.hand import Hand, Item
from gateway.intake.reading import Command, Unreadable
from gateway.intake.window import Window
from kit import faults, metrics
from tender.v1 import lane_pb2

Place = TypeVar("Place")

COMMAND_SECONDS_MAX: Final = 30.0
"""For one sending: a lane that is taken over meanwhile answers within that."""
PORTION_MAX: Final = 50
PORTION_SECONDS: Final = 0.002
"""So many at a time and no faster: reading a message keeps the processor from its callers."""
TRUST_SECONDS: Final = 5.0
"""After the last word of the brokers, half of what the group waits for a member: nothing is sent
later that somebody else may be sending."""
RETRY_SECONDS_MIN: Final = 0.05
RETRY_SECONDS_MAX: Final = 2.0
ERRORS_MAX: Final = 5
"""Of ours, before a command goes to the dead letters."""
INTERNAL: Final = "INTERNAL"


class Lane(Protocol):
    """Where commands of a shard go."""

    def send(self, command: Carried, timeout_seconds: float) -> None: ...


class Lanes(Protocol):
    """The lanes of all shards."""

    def lane_of(self, method: int, request: Any) -> Lane:
        """Return the lane that a valid request belongs to; raises Refused."""


class Carrier(Generic[Place]):
    """`run` sends until cancelled; each command that is decided is told once."""

    def __init__(self, lanes: Lanes, commands_max: int) -> None:
        """`commands_max` may be under way to each lane."""
        self._lanes = lanes
        self._commands_max = commands_max
        self._hand: Hand[Place] = Hand()
        self._tell: Callable[[Item[Place]], None] = _nobody
        self._queues: dict[Lane, deque[Item[Place]]] = {}
        self._windows: dict[Lane, Window] = {}
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._trusted_until = 0.0

    def begin(self, hand: Hand[Place], tell: Callable[[Item[Place]], None]) -> None:
        """Hear what is in hand, and who is told."""
        self._hand, self._tell = hand, tell

    def trust_from(self, now: float) -> None:
        """The brokers have just said which partitions are ours."""
        self._trusted_until = now + TRUST_SECONDS
        self._wake.set()

    def start(self, item: Item[Place]) -> None:
        """Take a command: it goes once those of its key before it are decided."""
        read = item.read
        assert isinstance(read, Command)
        if item.is_dropped:
            return
        if read.error:
            self._refuse(item, read.error)
        elif self._hand.begin(item):
            self._queue(item)

    async def run(self) -> None:
        """Send what waits, as there is room, until cancelled."""
        with metrics.INTAKE_UNDER_WAY.watching_count(
            lambda: sum(window.under_way for window in self._windows.values())
        ):
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self._send_some():
                    await asyncio.sleep(PORTION_SECONDS)
                    self._wake.set()

    def _send_some(self) -> bool:
        """Send a portion to each lane; say whether more could be sent soon."""
        has_more = False
        if self._loop.time() >= self._trusted_until:
            return False
        for lane, queue in tuple(self._queues.items()):
            window = self._windows[lane]
            for _ in range(min(PORTION_MAX, window.room, len(queue))):
                item = queue.popleft()
                if item.is_dropped:
                    self._go_on(item)
                else:
                    self._send(lane, window, item)
            has_more = has_more or (bool(queue) and window.room > 0)
            if not queue:
                del self._queues[lane]
        return has_more

    def _queue(self, item: Item[Place]) -> None:
        read = item.read
        assert isinstance(read, Command)
        if item.is_dropped:
            self._go_on(item)
            return
        try:
            lane = self._lanes.lane_of(read.asked.kind.number, read.asked.request)
        except Refused as refused:
            if _may_change(refused.reason):
                self._again(item, refused.reason)
            else:
                self._refuse(item, refused.encoded())
                self._go_on(item)
            return
        if lane not in self._windows:
            self._windows[lane] = Window(self._commands_max)
        self._queues.setdefault(lane, deque()).append(item)
        self._wake.set()

    def _send(self, lane: Lane, window: Window, item: Item[Place]) -> None:
        assert isinstance(item.read, Command)
        sent: _Carried[Place] = _Carried(
            item.read.asked.kind.number, item.read.request, item.read.caller.principal, 0
        )
        sent.carrier, sent.item, sent.window = self, item, window
        item.sent_at = self._loop.time()
        try:
            lane.send(sent, COMMAND_SECONDS_MAX)
        except Refused as refused:
            self._again(item, refused.reason)
        else:
            window.sent()

    # What comes back.

    def heard(
        self, window: Window, item: Item[Place], outcome: lane_pb2.Outcome | None, reason: str
    ) -> None:
        """A command was answered, or refused on its way."""
        now = self._loop.time()
        window.answered(now - item.sent_at, now)
        self._wake.set()
        if item.is_dropped:
            self._go_on(item)
            return
        try:
            self._judge(item, outcome, reason)
        except Exception as error:  # Of ours; a client's commands must not suffer by it.
            faults.record("operations", "outcome", error)
            self._fail(item)

    def _judge(self, item: Item[Place], outcome: lane_pb2.Outcome | None, reason: str) -> None:
        assert isinstance(item.read, Command)
        if outcome is not None and outcome.HasField("response"):
            payment = commands.answered(item.read.asked, outcome.response)
            item.outcome = item.read.outcome(payment)
            self._tell(item)
            self._go_on(item)
            return
        if outcome is not None:
            reason = outcome.refusal.reason
        if reason == INTERNAL:
            self._fail(item)
        elif _may_change(reason):
            self._again(item, reason)
        else:
            assert outcome is not None
            self._refuse(item, errors.encoded_refusal(outcome.refusal))
            self._go_on(item)

    def _refuse(self, item: Item[Place], status: bytes) -> None:
        assert isinstance(item.read, Command)
        item.is_refused = True
        item.outcome = item.read.outcome(commands.refused(item.read.asked, status))
        self._tell(item)

    def _again(self, item: Item[Place], reason: str) -> None:
        """Try a command once more, later; all of its key wait for it."""
        item.tries += 1
        metrics.INTAKE_RETRIES.labels(reason).inc()
        longest = min(RETRY_SECONDS_MAX, RETRY_SECONDS_MIN * 2.0 ** min(item.tries - 1, 16))
        self._loop.call_later(longest * random.uniform(0.5, 1.0), self._queue, item)

    def _fail(self, item: Item[Place]) -> None:
        """Something of ours failed: perhaps it does not the next time."""
        item.errors += 1
        if item.errors < ERRORS_MAX:
            self._again(item, INTERNAL)
            return
        self._go_on(item)
        item.read = Unreadable(INTERNAL, "it failed inside each time; the logs say how")
        self._tell(item)

    def _go_on(self, item: Item[Place]) -> None:
        following = self._hand.end(item)
        if following is not None:
            self._queue(following)


class _Carried(Carried, Generic[Place]):
    """A command whose outcome is told to its carrier."""

    __slots__ = ("carrier", "item", "window")
    is_bulk = True
    is_background = True

    carrier: Carrier[Place]
    item: Item[Place]
    window: Window

    def answered(self, outcome: lane_pb2.Outcome) -> None:
        self.carrier.heard(self.window, self.item, outcome, "")

    def refused(self, reason: str) -> None:
        self.carrier.heard(self.window, self.item, None, reason)


def _may_change(reason: str) -> bool:
    """Say whether a refusal says nothing of the command, so that it goes another time."""
    row = reasons.REASONS[reason]
    return row.undecided or not row.final


def _nobody(_item: Item[Place]) -> None:
    raise AssertionError("begin comes first")

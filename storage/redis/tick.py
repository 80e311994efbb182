"""Asks Redis with one script call per turn of the event loop for all that waits, in a few ms.

A call that is not answered in time is given up, and its items go on without an answer. After some
of those in a row, or one error, nothing is asked any more until a probe was answered in time:
whoever uses this goes on without Redis then, at once.
"""

import asyncio
import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

import structlog

from kit import metrics
from storage.redis import address, nodes
from storage.redis.link import Answered, LinkLost
from storage.redis.nodes import Nodes, NotFound

ITEMS_MAX: Final = 500
"""Of one call: about a ms of the node's only thread."""

WAITING_MAX: Final = 10_000
"""Items; past them nothing more is asked."""

FAILURES_MAX: Final = 3
"""Calls in a row without an answer in time, until nothing is asked any more."""

PACE_SECONDS: Final = 0.001
"""From one call to the next while there is much to ask; after a pause a call leaves at once."""

LINGER_SECONDS: Final = 0.01
"""For items that nobody waits for: a call costs about as much as thirty items."""

CONNECT_SECONDS_MAX: Final = 1.0
"""For finding the node, logging in and loading the script. Nobody waits for it."""

PROBE_SECONDS_MIN: Final = 0.1
PROBE_SECONDS_MAX: Final = 2.0
"""Between two probes, growing from the one to the other while they fail."""

STEADY_SECONDS: Final = 5.0
"""Whoever was of use for so long is probed soon again."""

log = structlog.get_logger()


class Item(Protocol):
    """Something to ask for, or to tell."""

    @property
    def key(self) -> bytes: ...
    @property
    def is_wanted(self) -> bool:
        """Whether it is still to be asked; else it is left out and never heard of."""


I = TypeVar("I", bound=Item)  # noqa: E741
I_contra = TypeVar("I_contra", bound=Item, contravariant=True)


class Packed(NamedTuple):
    """Items as the script takes them, and what needs no script, which costs Redis twice as much."""

    keys: Sequence[bytes]
    arguments: Iterable[bytes | int]
    commands: Sequence[bytes] = ()
    """Sent as they are before the script, which is not called without keys."""


class Role(Protocol[I_contra]):
    """What items mean."""

    name: str
    script: str

    def pack(self, items: Sequence[I_contra]) -> Packed:
        """Write items down for the script, which may be called with them in any grouping."""

    def heard(self, items: Sequence[I_contra], reply: Any) -> None:
        """Take the script's reply in; None when there is none. Must not raise."""


_FAILED: Final = (OSError, LinkLost, Answered, NotFound, TimeoutError)


class Tick(Generic[I]):
    """One role's way to Redis; `run` keeps it going until cancelled."""

    def __init__(
        self,
        url: str,
        role: Role[I],
        timeout_seconds: float,
        *,
        linger_seconds: float = LINGER_SECONDS,
    ) -> None:
        """`timeout_seconds` is the longest that an item waits for its call. Raises BadAddress.

        `linger_seconds` is how long one that nobody waits for may wait for others.
        """
        self._linger = linger_seconds
        self._address = address.parse(url)
        self._role = role
        self._timeout = timeout_seconds
        self._digest = hashlib.sha1(role.script.encode(), usedforsecurity=False).hexdigest()
        self._waiting: list[I] = []
        # Set when a call is to leave: at once, or by the timer when what waits can wait.
        self._go = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._is_up = False
        self._failures = 0
        self._meter = metrics.RedisMeter(role.name)

    @property
    def is_up(self) -> bool:
        """Whether anything may be asked now."""
        return self._is_up

    def ask(self, item: I, *, soon: bool = False) -> bool:
        """Ask for an item with the next call, `soon` if somebody waits for it.

        Returns False when it cannot be asked.
        """
        if not self._is_up or len(self._waiting) >= WAITING_MAX:
            self._meter.skipped.inc()
            return False
        self._waiting.append(item)
        if soon or len(self._waiting) >= ITEMS_MAX:
            self._go.set()
        elif self._timer is None:
            self._timer = self._loop.call_later(self._linger, self._go.set)
        return True

    async def run(self) -> None:
        """Find a node and ask it, and another one when it is lost, until cancelled."""
        delay = PROBE_SECONDS_MIN
        failure = ""
        while True:
            try:
                found = await self._find()
            except _FAILED as error:
                failure = self._note_down(failure, error)
            else:
                since = self._loop.time()
                failure = await self._use(found, failure)
                if self._loop.time() - since > STEADY_SECONDS:
                    delay = PROBE_SECONDS_MIN
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, PROBE_SECONDS_MAX)

    async def _find(self) -> Nodes:
        """Return links that have just shown that they answer in time."""
        async with asyncio.timeout(CONNECT_SECONDS_MAX):
            found = await nodes.find(self._address, self._role.script, self._digest, self._go.set)
            try:
                pinged = asyncio.ensure_future(found.ping())
                if not await _in_time(pinged, self._timeout):
                    pinged.cancel()
                    raise TimeoutError
                await pinged
            except BaseException:
                found.close()
                raise
        return found

    async def _use(self, found: Nodes, failure: str) -> str:
        """Ask until the links are lost; return why, for the log."""
        if failure:
            log.info("redis_back", role=self._role.name)
        self._is_up, self._failures = True, 0
        self._meter.up.set(1)
        try:
            while True:
                await self._go.wait()
                self._stand_still()
                if found.is_lost:
                    raise LinkLost("while nothing was asked")
                started = self._loop.time()
                await self._ask_waiting(found)
                if len(self._waiting) >= ITEMS_MAX:
                    self._go.set()
                elif self._go.is_set():
                    await asyncio.sleep(max(started + PACE_SECONDS - self._loop.time(), 0))
        except _FAILED as error:
            return self._note_down("", error)
        finally:
            self._is_up = False
            self._meter.up.set(0)
            found.close()
            left = [item for item in self._waiting if item.is_wanted]
            self._waiting = []
            self._stand_still()
            if left:
                self._role.heard(left, None)

    def _stand_still(self) -> None:
        """Wait for something to ask again."""
        self._go.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _ask_waiting(self, found: Nodes) -> None:
        items = [item for item in self._waiting[:ITEMS_MAX] if item.is_wanted]
        del self._waiting[:ITEMS_MAX]
        if self._waiting and self._timer is None:
            self._timer = self._loop.call_later(self._linger, self._go.set)
        if not items:
            return
        groups = _grouped(items) if found.has_slots else {0: items}
        calls = {slot: found.call(slot, *self._role.pack(own)) for slot, own in groups.items()}
        started = self._loop.time()
        try:
            in_time = await _in_time(_together(list(calls.values())), self._timeout)
        finally:
            # Also when this is cancelled: nobody is left waiting.
            lost = self._give_out(groups, calls)
        if lost is not None:
            self._meter.errors.inc()
            raise lost
        if in_time:
            self._failures = 0
            self._meter.answered.inc()
            self._meter.seconds.observe(self._loop.time() - started)
            return
        self._failures += 1
        self._meter.timeouts.inc()
        if self._failures >= FAILURES_MAX:
            raise TimeoutError

    def _give_out(
        self, groups: Mapping[int, list[I]], calls: Mapping[int, "asyncio.Future[Any]"]
    ) -> BaseException | None:
        """Give each group its reply, or none; return what went wrong, if anything did."""
        lost: BaseException | None = None
        for slot, call in calls.items():
            reply = None
            if call.done() and not call.cancelled():
                error = call.exception()
                lost = error or lost
                reply = None if error else call.result()
            self._role.heard(groups[slot], reply)
        return lost

    def _note_down(self, failure: str, error: BaseException) -> str:
        now = type(error).__name__
        if now != failure:
            # An error of the node's may quote what was sent; its first word says enough.
            word = str(error).partition(" ")[0] if isinstance(error, Answered) else ""
            log.warning("redis_down", role=self._role.name, failure=now, answered=word)
        return now


def _grouped(items: Sequence[I]) -> dict[int, list[I]]:
    groups: dict[int, list[I]] = {}
    for item in items:
        groups.setdefault(nodes.slot_of(item.key), []).append(item)
    return groups


def _together(calls: "list[asyncio.Future[Any]]") -> "asyncio.Future[Any]":
    return calls[0] if len(calls) == 1 else asyncio.gather(*calls)


async def _in_time(replies: "asyncio.Future[Any]", seconds: float) -> bool:
    """Say whether replies came in time; those that came while this process was busy did."""
    await asyncio.wait([replies], timeout=seconds)
    # The time may be over because this process was busy: let it read what has come.
    for _ in range(2):
        if not replies.done():
            await asyncio.sleep(0)
    if replies.done():
        replies.exception()
        return True
    replies.cancel()
    return False

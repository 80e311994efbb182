"""Carries the topic `commands` to the lanes, and what became of each to the topic of outcomes.

Many commands are under way at once. A partition's offset passes a record only once its outcome is
in the store and in the topic, so that whatever dies, the record comes again; its request_id lets it
have one effect, and the store lets it have one outcome, also where a second look would see another.
"""

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from gateway.intake.carrying import INTERNAL, Carrier
from gateway.intake.hand import Hand, Item
from gateway.intake.ports import DeadLetter, Delivery, Outbox, Parking, Source, SourceGone, Store
from gateway.intake.reading import Command, Reader, Unreadable
from gateway.intake.seals import first_id_since
from kit import failpoints, faults, logs, metrics
from kit.operations import Message, Position, Row, Sent

Place = TypeVar("Place")
Result = TypeVar("Result")

CONSUMER: Final = "operations"
"""As other consumers of events are named, in logs, metrics and dead letters."""
POLL_SECONDS_MAX: Final = 0.1
POLL_COUNT_MAX: Final = 500
"""Records at a time: some ms of reading them, and one look into the store."""
IN_HAND_MAX: Final = 5_000
IN_HAND_BYTES_MAX: Final = 64 << 20
"""Read and not done; with more nothing further is read: reading a spike takes CPU from callers, and
no more of it is needed than lanes do in a second. The commands of a shard that is away are among
them, so that it takes many to keep others waiting."""
FULL_SECONDS_MAX: Final = 1.0
"""How long it is waited for room before the group is shown that this member lives."""
PUBLISHED_AT_ONCE_MAX: Final = 500
PUBLISH_PAUSE_SECONDS: Final = 0.05
"""After what was decided is told, so that more gathers: each portion is a commit on the database
server that callers' commits are waiting for too, and nobody waits for these."""
RETRY_SECONDS_MIN: Final = 0.05
RETRY_SECONDS_MAX: Final = 2.0
FORGET_SECONDS: Final = 60.0
FORGET_ROWS_MAX: Final = 1_000

ANSWERED: Final = "intake.answered"
STORED: Final = "intake.stored"
PUBLISHED: Final = "intake.published"
FINISHED: Final = "intake.finished"
FAIL_POINTS: Final = (ANSWERED, STORED, PUBLISHED, FINISHED)
"""Where it may die: a lane has answered, its outcome is stored, is published, is noted as done."""

_SCHEMA: Final = (("event-type", b"command_outcome"), ("schema-version", b"1"))

_log = logs.logger()


class Worker(Generic[Place]):
    """One member of the group; `run` works until cancelled."""

    def __init__(
        self,
        open_source: Callable[[], Awaitable[Source[Place]]],
        read: Reader,
        carrier: Carrier[Place],
        outbox: Outbox,
        store: Store,
        parking: Parking[Place],
        *,
        topic: str,
        retention_ms: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`open_source` opens a member of the group, or raises SourceGone."""
        self._open_source = open_source
        self._read_record = read
        self._carrier = carrier
        self._outbox = outbox
        self._store = store
        self._parking = parking
        self._topic = topic
        self._retention_ms = retention_ms
        self._clock = clock
        self._meter = metrics.consumer_meter(CONSUMER)
        self._hand: Hand[Place] = Hand()
        self._arrived: deque[Item[Place]] = deque()
        self._decided: deque[Item[Place]] = deque()
        self._has_arrived = asyncio.Event()
        self._has_decided = asyncio.Event()
        self._has_room = asyncio.Event()
        # How far partitions are, as far as the store was not told yet.
        self._positions: dict[int, Position] = {}
        self._problems: dict[str, str] = {}

    @property
    def problem(self) -> str:
        """What keeps it from going on, for health and people; empty if nothing does."""
        return "; ".join(f"{what}: {said}" for what, said in sorted(self._problems.items()))

    async def run(self) -> None:
        """Carry commands until cancelled."""
        self._carrier.begin(self._hand, self._on_decided)
        try:
            with metrics.INTAKE_IN_HAND.watching_count(lambda: self._hand.count):
                async with asyncio.TaskGroup() as group:
                    for part in (self._read, self._admit, self._publish, self._forget):
                        group.create_task(part())
                    group.create_task(self._carrier.run())
        finally:
            await self._parking.close()

    # Reading.

    async def _read(self) -> None:
        failures = 0
        while True:
            source: Source[Place] | None = None
            try:
                source = await self._open_source()
                while True:
                    await self._step(source)
                    failures = 0
            except SourceGone as gone:
                failures += 1
                self._note("brokers", str(gone))
                await asyncio.sleep(_delay(failures))
            finally:
                if source is not None:
                    self._finish(source)
                    self._hand.drop_all()
                    await source.close()

    async def _step(self, source: Source[Place]) -> None:
        """Note what is done, and read on if there is room."""
        self._finish(source)
        is_full = self._hand.count >= IN_HAND_MAX or self._hand.size >= IN_HAND_BYTES_MAX
        if is_full:
            self._has_room.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FULL_SECONDS_MAX):
                    await self._has_room.wait()
                return
            polled = await source.poll(1, 0.0, source.owned)
        else:
            polled = await source.poll(POLL_COUNT_MAX, POLL_SECONDS_MAX, frozenset())
        self._carrier.trust_from(asyncio.get_running_loop().time())
        self._hand.drop(polled.gone)
        self._note("brokers", polled.problem)
        items = [
            Item(each, self._read_one(each, source.number(each.partition)))
            for each in polled.deliveries
        ]
        self._hand.add(items)
        self._arrived.extend(items)
        if items:
            self._has_arrived.set()
        metrics.INTAKE_OLDEST.set(self._hand.oldest_ms() / 1_000)
        self._meter.show_lags(
            {(self._topic, source.number(at)): lag for at, lag in polled.lags.items()}
        )

    def _read_one(self, delivery: Delivery[Place], number: int) -> Command | Unreadable:
        try:
            return self._read_record(delivery, number)
        except Exception as error:  # Of ours; what was sent must never stop the others.
            error_id = faults.record(CONSUMER, "read", error)
            return Unreadable(INTERNAL, f"it could not be looked at, logged as {error_id}")

    def _finish(self, source: Source[Place]) -> None:
        """Let offsets pass what is done."""
        owned = source.owned
        moved = {at: item for at, item in self._hand.advance().items() if at in owned}
        if not moved:
            return
        source.finish({at: item.delivery.offset + 1 for at, item in moved.items()})
        for place, item in moved.items():
            if isinstance(item.read, Command) and item.read.is_sealed:
                number = source.number(place)
                self._positions[number] = Position(
                    number, item.delivery.offset + 1, item.read.accepted_ms
                )
        failpoints.reach(FINISHED)

    async def _admit(self) -> None:
        """Let go on what was read: to its lane, to its outcome that is known, or to the letters."""
        while True:
            await self._has_arrived.wait()
            arrived, self._arrived = list(self._arrived), deque()
            self._has_arrived.clear()
            for start in range(0, len(arrived), POLL_COUNT_MAX):
                await self._admit_all(arrived[start : start + POLL_COUNT_MAX])

    async def _admit_all(self, items: Sequence[Item[Place]]) -> None:
        ids = tuple(item.read.operation_id for item in items if isinstance(item.read, Command))
        known = await self._until("database", lambda: self._store.find(ids))
        for item in items:
            if not isinstance(item.read, Command):
                continue
            if outcome := known.get(item.read.operation_id):
                item.outcome, item.is_stored = outcome, True
                metrics.INTAKE_COMMANDS.labels("repeated").inc()
                self._on_decided(item)
            else:
                self._carrier.start(item)
        now = self._clock()
        letters = [
            (item, DeadLetter(item.delivery, item.read.cause, item.read.text, now))
            for item in items
            if isinstance(item.read, Unreadable)
        ]
        if letters:
            await self._park(letters)

    async def _park(self, letters: Sequence[tuple[Item[Place], DeadLetter[Place]]]) -> None:
        """Store dead letters; until they are, their partitions' offsets stay before them."""
        left = list(letters)
        failures = 0
        while left:
            problems = await self._parking.park([letter for _, letter in left])
            for (item, letter), problem in zip(left, problems, strict=True):
                if not problem:
                    self._meter.count_parked(self._topic, letter.cause)
                    _log.warning("command_parked", cause=letter.cause, text=letter.text)
                    self._hand.done(item)
            left = [each for each, problem in zip(left, problems, strict=True) if problem]
            self._note("dead letters", next(filter(None, problems), ""))
            if left:
                failures += 1
                await asyncio.sleep(_delay(failures))
        self._has_room.set()

    # Outcomes.

    def _on_decided(self, item: Item[Place]) -> None:
        """An outcome is known, or the record is a dead letter."""
        if isinstance(item.read, Unreadable):
            self._arrived.append(item)
            self._has_arrived.set()
            return
        self._decided.append(item)
        self._has_decided.set()

    async def _publish(self) -> None:
        while True:
            await self._has_decided.wait()
            self._has_decided.clear()
            while self._decided:
                count = min(len(self._decided), PUBLISHED_AT_ONCE_MAX)
                items = [self._decided.popleft() for _ in range(count)]
                await self._publish_all([item for item in items if not item.is_dropped])
            await asyncio.sleep(PUBLISH_PAUSE_SECONDS)

    async def _publish_all(self, items: Sequence[Item[Place]]) -> None:
        """Store outcomes, tell them, and only then let their records be done."""
        failpoints.reach(ANSWERED)
        rows: dict[str, Row] = {}
        outcomes: dict[str, bytes] = {}
        for item in items:
            assert isinstance(item.read, Command)
            identifier = item.read.operation_id
            outcomes[identifier] = item.outcome
            if not item.is_stored:
                rows[identifier] = _row(item, item.read)
        positions, self._positions = self._positions, {}
        stored = await self._until(
            "database",
            lambda: self._store.put(tuple(rows.values()), tuple(positions.values())),
        )
        failpoints.reach(STORED)
        outcomes |= stored
        await self._tell(outcomes)
        failpoints.reach(PUBLISHED)
        now = self._clock()
        for item in items:
            assert isinstance(item.read, Command)
            self._hand.done(item)
            metrics.INTAKE_AGE.observe(max(now - item.read.accepted_ms / 1_000, 0.0))
        refused = sum(row.is_refused for row in rows.values())
        metrics.INTAKE_COMMANDS.labels("refused").inc(refused)
        metrics.INTAKE_COMMANDS.labels("done").inc(len(rows) - refused)
        self._has_room.set()

    async def _tell(self, outcomes: dict[str, bytes]) -> None:
        left = [
            Message(identifier.encode(), outcome, _SCHEMA)
            for identifier, outcome in outcomes.items()
        ]
        failures = 0
        while left:
            sent: Sequence[Sent] = await self._outbox.send(left)
            left = [message for message, one in zip(left, sent, strict=True) if one.problem]
            self._note("outcomes", next((one.problem for one in sent if one.problem), ""))
            if left:
                failures += 1
                await asyncio.sleep(_delay(failures))

    async def _forget(self) -> None:
        """Delete outcomes past their retention, now and then."""
        while True:
            await asyncio.sleep(FORGET_SECONDS * random.uniform(0.5, 1.0))
            before = first_id_since(int(self._clock() * 1_000) - self._retention_ms)
            # While the database is away others say so, and this has time.
            with contextlib.suppress(ConnectionError):
                deleted = FORGET_ROWS_MAX
                while deleted == FORGET_ROWS_MAX:
                    deleted = await self._store.forget(before, FORGET_ROWS_MAX)
                    await asyncio.sleep(RETRY_SECONDS_MIN)

    # What is away.

    async def _until(self, what: str, ask: Callable[[], Awaitable[Result]]) -> Result:
        """Ask until there is an answer."""
        failures = 0
        while True:
            try:
                answer = await ask()
            except ConnectionError as away:
                failures += 1
                self._note(what, str(away))
                await asyncio.sleep(_delay(failures))
            else:
                self._note(what, "")
                return answer

    def _note(self, what: str, problem: str) -> None:
        before = self._problems.get(what, "")
        if problem == before:
            return
        if problem:
            self._problems[what] = problem
            _log.warning("consumer_waits", consumer=CONSUMER, on=what, reason=problem)
        else:
            del self._problems[what]
            _log.info("consumer_goes_on", consumer=CONSUMER, on=what)
        self._meter.waiting.set(1 if self._problems else 0)


def _row(item: Item[Place], command: Command) -> Row:
    principal = command.caller.principal
    return Row(
        command.operation_id,
        principal.tenant_id,
        principal.merchant_id,
        command.accepted_ms,
        item.is_refused,
        item.outcome,
    )


def _delay(failures: int) -> float:
    longest = min(RETRY_SECONDS_MAX, RETRY_SECONDS_MIN * 2.0 ** min(failures - 1, 16))
    return longest * random.uniform(0.5, 1.0)

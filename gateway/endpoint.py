"""One public method that is one command or one query, from the bytes of a request to its answer.

Answers are bytes too: what the lane encoded goes to the caller without being parsed at all.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from google.protobuf.message import DecodeError

from gateway import access, errors, methods, validation
from gateway.commands import Command
from gateway.errors import Refused
from gateway.identity import Identity, KeyDirectory
from gateway.limits import Limits
from gateway.replays import Replays, Ticket
from kit import faults, metrics
from tender.v1 import lane_pb2

SERVER: Final = "gateway"
MESSAGE_BYTES_MAX: Final = 64 * 1024
READS_MAX: Final = 1_000  # Of a method at a time; commands are bounded where they wait.


class Answer(NamedTuple):
    """What a caller gets: a response message, serialized."""

    response: bytes
    # Whether it is the stored answer of an earlier call with the same request_id.
    replayed: bool


class Lane(Protocol):
    """Where single commands of a shard go."""

    def require_room(self, method: int, principal: lane_pb2.Principal) -> None: ...
    def submit(
        self,
        method: int,
        request: bytes,
        principal: lane_pb2.Principal,
        timeout_seconds: float,
        ticket: Ticket | None = None,
    ) -> asyncio.Future[lane_pb2.Outcome]: ...
    def send(self, command: Command, timeout_seconds: float) -> None: ...


class Lanes(Protocol):
    """The lanes of all shards."""

    @property
    def only(self) -> Lane | None:
        """The lane, while there is one; then none has to be looked for."""

    def lane_of(self, method: int, request: Any) -> Any:
        """Return the lane that a valid request belongs to; raises Refused."""

    def require_calm(self) -> None: ...
    async def submit_as_room_comes(self, commands: Sequence[Command]) -> None: ...


class Queries(Protocol):
    """Where reads go."""

    async def read(
        self,
        method: int,
        request: Any,
        data: bytes,
        principal: lane_pb2.Principal,
        timeout_seconds: float,
    ) -> bytes: ...


class Service(Protocol):
    """Where calls go that a service behind Kafka answers."""

    async def call(
        self, method: str, request: bytes, principal: lane_pb2.Principal, timeout_seconds: float
    ) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Backends:
    """What carries calls out, and the longest that each kind may take."""

    directory: KeyDirectory
    lanes: Lanes
    queries: Queries
    write_timeout_seconds: float
    read_timeout_seconds: float
    # Without it every call goes to its lane.
    replays: Replays | None = None
    # Without them callers are held to no rate.
    limits: Limits | None = None
    # Services behind Kafka, by name; those that are not here are not installed.
    services: Mapping[str, Service] = field(default_factory=dict)


class Endpoint:
    """A unary method as a transport sees it: who may call it, and how a call is answered."""

    def __init__(self, route: methods.Route) -> None:
        self.route = route
        self.meter = metrics.RpcMeter(SERVER, route.name)

    async def answer(
        self, data: bytes, caller: Identity, seconds_left: float | None
    ) -> Answer | Refused:
        """Answer a call or refuse it; raises only CancelledError, when its caller left.

        Nothing that goes wrong inside reaches the caller but an error id. `seconds_left` is what
        remains of the caller's deadline, None without one.
        """
        started = time.perf_counter()
        try:
            answer = await self.carry_out(data, caller, seconds_left)
        except BaseException as error:
            seconds = time.perf_counter() - started
            if is_departure(error):
                self.meter.observe("CANCELLED", seconds)
                raise
            refused = as_refusal(error, self.route.name)
            self.meter.observe(refused.code.name, seconds)
            return refused
        self.meter.observe("OK", time.perf_counter() - started)
        return answer

    async def carry_out(self, data: bytes, caller: Identity, seconds_left: float | None) -> Answer:
        raise NotImplementedError


class SingleEndpoint(Endpoint):
    """A method that is one command or one query."""

    def __init__(self, method: methods.Method, backends: Backends) -> None:
        super().__init__(method)
        self._number = method.number
        self._parse = method.request.FromString
        self._is_restricted = access.RULES[method.number]
        self._timeout_seconds_max = (
            backends.read_timeout_seconds if method.is_read else backends.write_timeout_seconds
        )
        self._lanes = backends.lanes
        self._limits = backends.limits
        self._read = backends.queries.read

    def _checked(self, data: bytes, caller: Identity) -> tuple[Any, bytes]:
        """Return the request, and its bytes to send on; raises Refused."""
        if len(data) > MESSAGE_BYTES_MAX:
            raise Refused("MESSAGE_TOO_LARGE")
        try:
            request = self._parse(data)
        except DecodeError:
            raise Refused("MESSAGE_MALFORMED") from None
        validation.validate(self._number, request)
        changed = self._is_restricted(request, caller)
        return request, request.SerializeToString() if changed else data

    def _room_and_request(self, data: bytes, caller: Identity) -> tuple[Lane, Any, bytes]:
        """Return the lane, which has room, the request, and its bytes to send; raises Refused."""
        if self._limits is not None:
            self._limits.admit(self.route.name, caller)
        only = self._lanes.only
        if only is not None:
            # First of all: what is refused for want of room is not even read.
            only.require_room(self._number, caller.principal)
        request, data = self._checked(data, caller)
        lane: Lane = self._lanes.lane_of(self._number, request)
        if only is None:
            lane.require_room(self._number, caller.principal)
        return lane, request, data

    def _timeout_seconds(self, seconds_left: float | None) -> float:
        return timeout_seconds(seconds_left, self._timeout_seconds_max)


class CommandEndpoint(SingleEndpoint):
    """A method that changes something."""

    def __init__(self, method: methods.Method, backends: Backends) -> None:
        super().__init__(method, backends)
        self._replays = backends.replays

    async def carry_out(self, data: bytes, caller: Identity, seconds_left: float | None) -> Answer:
        lane, request, data = self._room_and_request(data, caller)
        # Only this call waits on the future: if it is cancelled, the command goes on without it.
        outcome = await lane.submit(
            self._number,
            data,
            caller.principal,
            self._timeout_seconds(seconds_left),
            self._ticket(request, data, caller),
        )
        return answer_of(outcome)

    def _ticket(self, request: Any, data: bytes, caller: Identity) -> Ticket | None:
        if self._replays is None:
            return None
        return self._replays.ticket(self._number, request.request_id, data, caller.principal)

    def start(
        self,
        data: bytes,
        caller: Identity,
        seconds_left: float | None,
        deliver: "Callable[[Answer | Refused], None]",
    ) -> "CalledBack | None":
        """Answer a call as `answer` does, by a callback and without a task; it is called once.

        Returns the command while it is under way. `deliver` may be called before this returns,
        and must not raise.
        """
        started = time.perf_counter()
        try:
            timeout = self._timeout_seconds(seconds_left)
            lane, request, data = self._room_and_request(data, caller)
            command = CalledBack(self._number, data, caller.principal, 0)
            command.ticket = self._ticket(request, data, caller)
            command.endpoint, command.started, command.deliver = self, started, deliver
            lane.send(command, timeout)
        except (Exception, asyncio.CancelledError) as error:
            refused = as_refusal(error, self.route.name)
            self.meter.observe(refused.code.name, time.perf_counter() - started)
            deliver(refused)
            return None
        return command


class CalledBack(Command):
    """A command whose caller waits for a callback."""

    __slots__ = ("deliver", "endpoint", "started")
    deliver: Callable[[Answer | Refused], None] | None
    endpoint: CommandEndpoint
    started: float

    def answered(self, outcome: lane_pb2.Outcome) -> None:
        try:
            answer = answer_of(outcome)
        except Exception as error:
            self._end(as_refusal(error, self.endpoint.route.name))
            return
        deliver, self.deliver = self.deliver, None
        if deliver is not None:
            self.endpoint.meter.observe("OK", time.perf_counter() - self.started)
            deliver(answer)

    def refused(self, reason: str) -> None:
        self._end(Refused(reason))

    def leave(self) -> None:
        """Nobody waits any more; the command goes on without its caller."""
        if self.deliver is not None:
            self.deliver = None
            self.endpoint.meter.observe("CANCELLED", time.perf_counter() - self.started)

    def _end(self, refused: Refused) -> None:
        deliver, self.deliver = self.deliver, None
        if deliver is not None:
            seconds = time.perf_counter() - self.started
            self.endpoint.meter.observe(refused.code.name, seconds)
            deliver(refused)


class QueryEndpoint(SingleEndpoint):
    """A method that reads."""

    def __init__(self, method: methods.Method, backends: Backends) -> None:
        super().__init__(method, backends)
        self._under_way = 0

    async def carry_out(self, data: bytes, caller: Identity, seconds_left: float | None) -> Answer:
        if self._limits is not None:
            self._limits.admit(self.route.name, caller)
        self._lanes.require_calm()
        request, data = self._checked(data, caller)
        timeout = self._timeout_seconds(seconds_left)
        if self._under_way >= READS_MAX:
            raise Refused("GATEWAY_BUSY")
        self._under_way += 1
        try:
            response = await self._read(self._number, request, data, caller.principal, timeout)
        finally:
            self._under_way -= 1
        return Answer(response, replayed=False)


def timeout_seconds(seconds_left: float | None, seconds_max: float) -> float:
    """Return what is left of the caller's deadline, at most the server's own maximum."""
    if seconds_left is None or seconds_left > seconds_max:
        return seconds_max
    if seconds_left <= 0:
        raise Refused("DEADLINE_PASSED")
    return seconds_left


def answer_of(outcome: lane_pb2.Outcome) -> Answer:
    """Return the answer that an outcome holds; raises Refused."""
    if outcome.HasField("response"):
        return Answer(outcome.response, outcome.replayed)
    raise refusal_of(outcome)


def refusal_of(outcome: lane_pb2.Outcome) -> Refused:
    """Return the refusal of an outcome without a response."""
    if not outcome.HasField("refusal"):
        raise AssertionError("the lane answered with neither a response nor a refusal")
    return errors.from_refusal(outcome.refusal)


def is_departure(error: BaseException) -> bool:
    """Say whether a call ended because nobody waits for its answer any more."""
    if isinstance(error, asyncio.CancelledError):
        return not faults.cancelled_from_within()
    return not isinstance(error, Exception)


def as_refusal(error: BaseException, method: str) -> Refused:
    """Translate what ended a call that somebody waits for, for an answer and not to be raised.

    This is the last wall: a transport would send the text of an exception to the caller.
    """
    if isinstance(error, Refused):
        # Whoever keeps it would else keep, in a circle, the call that it ended; and a connection
        # with a thousand of those takes no more calls.
        error.__traceback__ = None
        return error
    if isinstance(error, asyncio.CancelledError):
        return Refused("OUTCOME_UNKNOWN")
    return Refused("INTERNAL", metadata={"error_id": faults.record(SERVER, method, error)})

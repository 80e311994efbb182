"""StreamPayments: commands in, outcomes out, neither side able to make the gateway's memory grow.

A stream is read only while few of its commands are unanswered or their outcomes unread. What is not
read stays with the sender: the transport's flow control holds it back.
"""

import asyncio
import random
from collections import deque
from typing import Final, Protocol

from gateway import access, bulk, endpoint, methods
from gateway.bulk import BulkCommand, Outcomes
from gateway.endpoint import Backends
from gateway.errors import Refused
from gateway.identity import Identity
from kit import metrics
from tender.v1 import lane_pb2

# While so much of a stream is unanswered or unread, it is not read; one message may pass the bound.
STREAM_COMMANDS_MAX: Final = 1_000
STREAM_BYTES_MAX: Final = 2 * 1024 * 1024
# The same for all streams of a connection.
CONNECTION_COMMANDS_MAX: Final = 4_000
CONNECTION_BYTES_MAX: Final = 8 * 1024 * 1024
# For all streams of the gateway: past it, nothing new is read while outcomes are left unread.
ALL_BYTES_MAX: Final = 256 * 1024 * 1024
STREAMS_MAX: Final = 500
_OUTCOME_BYTES_EXPECTED: Final = 1024  # Until a stream's own outcomes tell.
OUTCOME_BYTES_MAX: Final = (
    768 * 1024
)  # Of a message; with any one outcome more it stays below 1 MiB.
# A key is looked at with every message, and on a silent stream as often as this.
KEY_CHECK_SECONDS: Final = 5.0
# Streams are ended in order now and then, so that they spread over the gateways there are. The
# jitter keeps those that were opened together from ending together.
STREAM_SECONDS_MAX: Final = 900.0
_STREAM_SECONDS_JITTER: Final = 0.2


class Wire(Protocol):
    """A stream as a transport carries it."""

    async def read(self) -> bytes | None:
        """Return the next message; None when the caller has ended its side."""

    async def write(self, message: bytes) -> None:
        """Return when the transport has taken the message over."""


class Gone(Exception):
    """The caller left in the middle of a write."""


class _Connection:
    """What the streams of one connection hold together."""

    __slots__ = ("moved", "streams")

    def __init__(self) -> None:
        self.streams: set[_Stream] = set()
        # Something was written, so that there may be room.
        self.moved = asyncio.Event()

    @property
    def has_room(self) -> bool:
        return (
            sum(stream.commands_held for stream in self.streams) < CONNECTION_COMMANDS_MAX
            and sum(stream.bytes_held for stream in self.streams) < CONNECTION_BYTES_MAX
        )


class _Held:
    """What all streams hold together, as of the last time that each took note of it."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        self.bytes = 0


class _StreamCommand(BulkCommand):
    """A command of a stream."""

    __slots__ = ("stream",)
    stream: "_Stream"

    def answered(self, outcome: lane_pb2.Outcome) -> None:
        if (outcomes := self.stream.settle(self)) is not None:
            outcomes.add(self, outcome)

    def refused(self, reason: str) -> None:
        if (outcomes := self.stream.settle(self)) is not None:
            outcomes.add_error(self.request_id, Refused(reason).encoded())


class _Stream:
    """One open stream."""

    def __init__(
        self,
        backends: Backends,
        held: "_Held",
        connection: _Connection,
        wire: Wire,
        key_text: str,
    ) -> None:
        self._held = held
        self._held_bytes_noted = 0
        self._lanes = backends.lanes
        self._backends = backends
        self._directory = backends.directory
        self._timeout_seconds = backends.write_timeout_seconds
        self._connection = connection
        self._wire = wire
        self._key_text = key_text
        self._caller: Identity | None = None
        self._loop = asyncio.get_running_loop()
        lifetime = STREAM_SECONDS_MAX * (1 - _STREAM_SECONDS_JITTER * random.random())
        self.ends_at = self._loop.time() + lifetime
        # From when a command is read until its outcome is written.
        self.commands_held = 0
        self._unanswered = 0
        self._unanswered_bytes = 0
        self._unwritten: deque[Outcomes] = deque()
        self._written_bytes = 0
        self._outcome_bytes = _OUTCOME_BYTES_EXPECTED
        self._stirred = asyncio.Event()
        self._is_read_to_the_end = False
        self._is_over = False
        self._reader: asyncio.Task[None] | None = None
        self._verdict: Refused | None = None

    @property
    def bytes_held(self) -> int:
        """What is held now, and what the outcomes of unanswered commands will take."""
        unwritten = sum(outcomes.size for outcomes in self._unwritten)
        expected = self._unanswered * self._outcome_bytes
        return self._unanswered_bytes + expected + unwritten + self._written_bytes

    def _note_held(self, held_bytes: int) -> None:
        self._held.bytes += held_bytes - self._held_bytes_noted
        self._held_bytes_noted = held_bytes

    async def serve(self) -> Refused | None:
        """Return when everything is answered: what to refuse the stream with, or None.

        Raises Gone, and CancelledError, when the caller left.
        """
        self._reader = asyncio.create_task(self._read_to_the_end())
        try:
            while True:
                await self._stirred.wait()
                self._stirred.clear()
                await self._write_outcomes()
                if self._is_read_to_the_end and self._unanswered == 0 and not self._unwritten:
                    return self._verdict
        finally:
            # Outcomes that come later find nobody who reads them.
            self._is_over = True
            self._note_held(0)
            self._reader.cancel()
            await asyncio.wait([self._reader])

    def end(self, verdict: Refused) -> None:
        """Read no more, answer what is under way, and refuse the rest."""
        self._verdict = self._verdict or verdict
        if self._reader is not None:
            self._reader.cancel()

    async def check_key(self) -> None:
        """End the stream if its key does not count any more."""
        try:
            await self._identify()
        except Refused as refused:
            self.end(endpoint.as_refusal(refused, methods.STREAM_PAYMENTS))

    def settle(self, command: _StreamCommand) -> Outcomes | None:
        """Take note that a command is answered; return where its outcome belongs, if anywhere."""
        self._unanswered -= 1
        self._unanswered_bytes -= len(command.request)
        return None if self._is_over else self._outcomes()

    def _outcomes(self) -> Outcomes:
        unwritten = self._unwritten
        if unwritten:
            last = unwritten[-1]
            if last.count < bulk.COMMANDS_MAX and last.size < OUTCOME_BYTES_MAX:
                return last
            self._note_held(self.bytes_held)
        else:
            self._stirred.set()
        outcomes = Outcomes()
        unwritten.append(outcomes)
        return outcomes

    async def _write_outcomes(self) -> None:
        while self._unwritten:
            outcomes = self._unwritten.popleft()
            self._written_bytes = outcomes.size
            await self._wire.write(outcomes.message.SerializeToString())
            self._written_bytes = 0
            self._outcome_bytes = outcomes.size // outcomes.count
            self.commands_held -= outcomes.count
            self._note_held(self.bytes_held)
            self._connection.moved.set()

    async def _read_to_the_end(self) -> None:
        try:
            while True:
                await self._room()
                message = await self._wire.read()
                if message is None:
                    return
                await self._carry_out(message)
        except asyncio.CancelledError:
            pass  # By `end`, which has given the verdict, or by `serve`, which is over.
        except Exception as error:
            refused = endpoint.as_refusal(error, methods.STREAM_PAYMENTS)
            self._verdict = self._verdict or refused
        finally:
            self._is_read_to_the_end = True
            self._stirred.set()

    async def _room(self) -> None:
        while (
            self.commands_held >= STREAM_COMMANDS_MAX
            or self.bytes_held >= STREAM_BYTES_MAX
            or not self._connection.has_room
            or (self.commands_held and self._held.bytes >= ALL_BYTES_MAX)
        ):
            self._connection.moved.clear()
            await self._connection.moved.wait()

    async def _carry_out(self, message: bytes) -> None:
        """Send the commands of a message to the lane in their order."""
        requests = bulk.read_commands(message)
        caller = await self._identify()
        deadline = self._loop.time() + self._timeout_seconds
        commands: list[_StreamCommand] = []
        errors: list[tuple[str, bytes]] = []
        for kind, data in requests:
            request_id, lane, request, error, ticket = bulk.check(
                kind, data, caller, self._backends
            )
            if error:
                errors.append((request_id, error))
                continue
            command = _StreamCommand(kind.number, request, caller.principal, deadline)
            command.kind = kind
            command.lane = lane
            command.request_id = request_id
            command.ticket = ticket
            command.stream = self
            commands.append(command)
        # Only from here on: what could not be read as a whole has left no trace.
        metrics.GATEWAY_STREAM_COMMANDS.inc(len(requests))
        self.commands_held += len(requests)
        for request_id, error in errors:
            self._outcomes().add_error(request_id, error)
        self._unanswered += len(commands)
        self._unanswered_bytes += sum(len(command.request) for command in commands)
        await self._lanes.submit_as_room_comes(commands)

    async def _identify(self) -> Identity:
        """Return who calls, as the key counts now; raises Refused."""
        caller = self._directory.known(self._key_text)
        if caller is None:
            caller = await self._directory.identify(self._key_text)
        if caller is not self._caller:
            access.require_scope(_ROUTE.allowed, caller)
            self._caller = caller
        return caller


_ROUTE: Final = methods.BY_NAME[methods.STREAM_PAYMENTS]


class Streams:
    """Every open stream of this gateway; `run` looks after them until cancelled."""

    def __init__(self, backends: Backends) -> None:
        self.route = _ROUTE
        self.meter = metrics.RpcMeter(endpoint.SERVER, _ROUTE.name)
        self._backends = backends
        self._held = _Held()
        self._open: set[_Stream] = set()
        self._connections: dict[str, _Connection] = {}
        self._is_closing = False

    async def serve(self, wire: Wire, key_text: str, peer: str) -> Refused | None:
        """Carry a stream to its end: what to refuse it with, or None.

        `peer` names the connection. Raises Gone, and CancelledError, when the caller left.
        """
        verdict: Refused | None = None
        code = "CANCELLED"
        try:
            verdict = await self._admitted(wire, key_text, peer)
            code = verdict.code.name if verdict else "OK"
            return verdict
        except BaseException as error:
            if isinstance(error, Gone) or endpoint.is_departure(error):
                raise
            verdict = endpoint.as_refusal(error, _ROUTE.name)
            code = verdict.code.name
            return verdict
        finally:
            self.meter.count(code)

    async def _admitted(self, wire: Wire, key_text: str, peer: str) -> Refused | None:
        if self._is_closing:
            return Refused("SHUTTING_DOWN")
        if len(self._open) >= STREAMS_MAX:
            return Refused("GATEWAY_BUSY")
        connection = self._connections.setdefault(peer, _Connection())
        stream = _Stream(self._backends, self._held, connection, wire, key_text)
        self._open.add(stream)
        connection.streams.add(stream)
        try:
            return await stream.serve()
        finally:
            self._open.discard(stream)
            connection.streams.discard(stream)
            connection.moved.set()
            if not connection.streams:
                self._connections.pop(peer, None)

    async def run(self) -> None:
        """Look at the keys of silent streams, and end old streams, until cancelled."""
        loop = asyncio.get_running_loop()
        with metrics.STREAMS.watching(self._open):
            while True:
                await asyncio.sleep(KEY_CHECK_SECONDS)
                streams = tuple(self._open)
                for stream in streams:
                    if stream.ends_at <= loop.time():
                        stream.end(Refused("SHUTTING_DOWN", message=_AGED))
                await asyncio.gather(*(stream.check_key() for stream in streams))

    async def end_all(self) -> None:
        """Take no more streams, and let each end once its commands are answered."""
        self._is_closing = True
        for stream in self._open:
            stream.end(Refused("SHUTTING_DOWN"))


_AGED: Final = "This stream has been open for long; open another."

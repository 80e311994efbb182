"""One call: from the octets of its messages to its answer."""

from typing import TYPE_CHECKING, Final

import grpc

from gateway import endpoint
from gateway.edge.http2 import answers, frames, limits
from gateway.edge.http2.messages import PREFIX_BYTES, Assembler
from gateway.endpoint import Answer, CalledBack, CommandEndpoint
from gateway.errors import Refused
from gateway.identity import Identity

if TYPE_CHECKING:
    from gateway.edge.http2.peer import Peer

_MESSAGE_BYTES_MAX: Final = endpoint.MESSAGE_BYTES_MAX
_ONE_MESSAGE_BYTES_MAX: Final = _MESSAGE_BYTES_MAX + PREFIX_BYTES
DEADLINE: Final = (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
_length_at: Final = frames.NUMBER.unpack_from


class Call:
    """What every call has. It is among its peer's calls until its answer has left."""

    __slots__ = (
        *("_assembler", "_granted", "_held", "_received", "deadline", "has_head"),
        *("is_ended", "is_over", "opened_at", "peer", "stream", "window"),
    )
    expects_one = True
    bytes_max = _MESSAGE_BYTES_MAX

    def __init__(self, peer: "Peer", stream: int, now: float) -> None:
        self.peer = peer
        self.stream = stream
        self.opened_at = now
        self.deadline: float | None = None
        # Of the answer: see outbox.Sending.
        self.window = 0
        self.has_head = False
        # Whether the caller has sent all it will, and whether nobody waits for an answer.
        self.is_ended = False
        self.is_over = False
        self._assembler: Assembler | None = None
        self._held = 0
        self._received = self._granted = 0

    @property
    def is_waited_for(self) -> bool:
        """Whether the one message of the call is still to come."""
        return self.expects_one and not self.is_ended

    def seconds_left(self, now: float) -> float | None:
        return None if self.deadline is None else self.deadline - now

    def data(self, octets: bytes, frame_bytes: int, ends: bool) -> None:
        """Take in what a DATA frame holds."""
        raise NotImplementedError

    def sent(self) -> None:
        """All data that waited in the outbox is on its way."""

    def left(self) -> None:
        """The caller cancelled the call, or is gone."""
        self._close()

    def refuse(self, refused: Refused) -> None:
        """End the call with a refusal."""
        if not self.is_over:
            block = answers.bad_block(refused, has_head=self.has_head)
            self._end(block)

    def refuse_plainly(self, code: grpc.StatusCode, message: str) -> None:
        """End the call with a status that has no details."""
        if not self.is_over:
            self._end(answers.plain_block(code, message, has_head=self.has_head))

    def expire(self) -> None:
        """The message did not come."""
        self.refuse(Refused("DEADLINE_PASSED"))

    def _end(self, block: bytes) -> None:
        self._close()
        self.peer.outbox.forget(self)
        self.peer.outbox.end(self, block)
        self.peer.finished(self)

    def _close(self) -> None:
        self.is_over = True
        self._hold(-self._held)

    def _receive(self, frame_bytes: int) -> None:
        """Count what came against the window of the stream."""
        self._received += frame_bytes
        if self._received - self._granted > limits.STREAM_WINDOW_BYTES:
            raise frames.BadConnection(frames.FLOW_CONTROL_ERROR, "more than a stream may send")

    def _grant(self) -> None:
        """Give the window back once half of it is used."""
        owed = self._received - self._granted
        if owed >= limits.STREAM_WINDOW_BYTES // 2 and not self.is_ended:
            self._granted = self._received
            self.peer.outbox.put(frames.window_update(self.stream, owed))

    def _hold(self, octets: int) -> None:
        self._held += octets
        self.peer.hold(octets)

    def _messages_in(self, octets: bytes) -> list[bytes]:
        """Return the messages that are whole now; raises Refused."""
        if self._assembler is None:
            self._assembler = Assembler(self.bytes_max)
        before = self._assembler.held
        messages = self._assembler.feed(octets)
        self._hold(self._assembler.held - before)
        if self.peer.holds_too_much:
            raise Refused("GATEWAY_BUSY")
        return messages


class UnaryCall(Call):
    """A command of a caller who is known: no task waits for its outcome."""

    __slots__ = ("_caller", "_command", "_endpoint", "_message")

    def __init__(
        self,
        peer: "Peer",
        stream: int,
        now: float,
        timeout_seconds: float | None,
        target: CommandEndpoint,
        caller: Identity,
    ) -> None:
        # Not by way of the class above: this is the path of every payment.
        self.peer = peer
        self.stream = stream
        self.opened_at = now
        self.deadline = None if timeout_seconds is None else now + timeout_seconds
        self.window = self._held = self._received = self._granted = 0
        self.has_head = self.is_ended = self.is_over = False
        self._assembler = None
        self._endpoint = target
        self._caller = caller
        self._message: bytes | None = None
        self._command: CalledBack | None = None

    def data(self, octets: bytes, frame_bytes: int, ends: bool) -> None:
        size = len(octets)
        if (
            ends
            and self._received == 0
            and PREFIX_BYTES <= size <= _ONE_MESSAGE_BYTES_MAX
            and octets[0] == 0
            and _length_at(octets, 1)[0] + PREFIX_BYTES == size
        ):
            self.is_ended = True
            self._carry_out(octets[PREFIX_BYTES:])
            return
        self.is_ended = ends
        try:
            self._take_in(octets, frame_bytes)
        except Refused as refused:
            self._endpoint.meter.count(refused.code.name)
            self.refuse(refused)

    def _take_in(self, octets: bytes, frame_bytes: int) -> None:
        self._receive(frame_bytes)
        for message in self._messages_in(octets):
            if self._message is not None:
                raise Refused("MESSAGE_MALFORMED")
            self._message = message
            self._hold(len(message))
        if not self.is_ended:
            self._grant()
        elif self._message is None or (self._assembler is not None and self._assembler.held):
            raise Refused("MESSAGE_MALFORMED")
        else:
            self._hold(-self._held)
            self._carry_out(self._message)

    def _carry_out(self, message: bytes) -> None:
        left = None if self.deadline is None else self.deadline - self.peer.now()
        self._command = self._endpoint.start(message, self._caller, left, self._deliver)

    def _deliver(self, result: Answer | Refused) -> None:
        if self.is_over:
            return
        # What else refers to this call would keep it, in a circle, until the next collection.
        self._command = None
        if isinstance(result, Refused):
            if self._is_late(result):
                self.refuse_plainly(*DEADLINE)
            else:
                self.refuse(result)
            return
        self.is_over = True
        peer = self.peer
        try:
            if peer.outbox.answer(self, result.response, replayed=result.replayed):
                peer.finished(self)
        except frames.BadConnection as bad:
            peer.end(bad)

    def _is_late(self, refused: Refused) -> bool:
        """Whether nothing is wrong but that the caller's time is over."""
        is_over = self.deadline is not None and self.peer.now() >= self.deadline
        return is_over and refused.code is grpc.StatusCode.UNAVAILABLE

    def sent(self) -> None:
        self.peer.finished(self)

    def left(self) -> None:
        command, self._command = self._command, None
        if command is not None:
            command.leave()
        self._close()

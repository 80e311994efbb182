"""What goes out on one connection: frames, as far as the peer's windows and its reading allow.

All that is written in one turn of the event loop leaves in one piece.
"""

import asyncio
from typing import Final, Protocol

from gateway.edge.http2 import answers, frames, limits

_number: Final = frames.NUMBER.pack
_PREFIX_BYTES: Final = 5
_TABLE_BYTES_DEFAULT: Final = 4_096
_TABLE_EMPTIED: Final = b"\x20"


class Sending(Protocol):
    """A call as the outbox sees it."""

    stream: int
    # What the peer granted this stream beyond what it grants every stream, less what was sent.
    window: int
    has_head: bool

    def sent(self) -> None:
        """All data of the call that waited is on its way."""


class Total:
    """How much of something all connections have together."""

    __slots__ = ("amount",)

    def __init__(self) -> None:
        self.amount = 0


class _Unsent:
    """Data of a call that waits for room, and the headers that end the call after it."""

    __slots__ = ("at", "call", "data", "end")

    def __init__(self, call: Sending, data: bytes, end: bytes | None) -> None:
        self.call = call
        self.data = data
        self.at = 0
        self.end = end


class Outbox:
    """Writes to a transport; keeps what the peer does not take yet, up to a bound."""

    def __init__(self, loop: asyncio.AbstractEventLoop, all_unsent: Total) -> None:
        self._loop = loop
        self._all_unsent = all_unsent
        self._transport: asyncio.Transport | None = None
        self._frames: list[bytes] = []
        self._is_flush_due = False
        self._window = frames.WINDOW_DEFAULT
        self._stream_window = frames.WINDOW_DEFAULT
        self._payload_max = frames.PAYLOAD_BYTES_MAX
        self._must_empty_table = False
        self._waiting: dict[int, _Unsent] = {}
        self._unsent = 0
        self.is_paused = False

    def open(self, transport: asyncio.Transport) -> None:
        transport.set_write_buffer_limits(limits.WRITE_BUFFER_BYTES)
        self._transport = transport

    def close(self) -> None:
        """Drop what waits: nobody is there."""
        self._transport = None
        self._frames.clear()
        self._waiting.clear()
        self._account(-self._unsent)

    @property
    def is_empty(self) -> bool:
        return not self._waiting and not self._frames

    @property
    def is_stuck(self) -> bool:
        """Whether the peer leaves unread what is there for it."""
        return self.is_paused or self._unsent > 0

    def put(self, frame: bytes) -> None:
        """Send a frame that no window holds back."""
        self._frames.append(frame)
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Let out what was written."""
        self._is_flush_due = False
        if self._frames and self._transport is not None:
            self._transport.write(b"".join(self._frames))
            self._frames.clear()

    def answer(self, call: Sending, body: bytes, *, replayed: bool) -> bool:
        """Send the whole answer of a unary call; false if some of it has to wait.

        Raises BadConnection if too much waits.
        """
        length = len(body)
        size = length + _PREFIX_BYTES
        if (
            size > self._payload_max
            or size > self._window
            or size > self._stream_window + call.window
            or self._must_empty_table
            or self.is_paused
        ):
            self.head(call)
            end = answers.REPLAYED_BLOCK if replayed else answers.GOOD_BLOCK
            return self.message(call, body, end)
        self._window -= size
        number = _number(call.stream)
        self._frames += (
            answers.HEAD_START,
            number,
            answers.unary_middle(length),
            number,
            answers.prefix(length),
            body,
            answers.REPLAYED_START if replayed else answers.GOOD_START,
            number,
            answers.REPLAYED_BLOCK if replayed else answers.GOOD_BLOCK,
        )
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self.flush)
        return True

    def head(self, call: Sending) -> None:
        """Open the answer of a call, once."""
        if not call.has_head:
            call.has_head = True
            self._headers(call.stream, 0, answers.HEAD_BLOCK)

    def message(self, call: Sending, body: bytes, end: bytes | None = None) -> bool:
        """Send a message, and then the headers that end the call; false if it has to wait."""
        unsent = _Unsent(call, answers.prefix(len(body)) + body, end)
        if self._sent(unsent):
            return True
        self._waiting[call.stream] = unsent
        self._account(len(unsent.data) - unsent.at)
        if (
            self._unsent > limits.CONNECTION_UNSENT_BYTES_MAX
            or self._all_unsent.amount > limits.ALL_UNSENT_BYTES_MAX
        ):
            raise frames.BadConnection(frames.ENHANCE_YOUR_CALM, "too much is left unread")
        return False

    def end(self, call: Sending, block: bytes) -> None:
        """End a call of which nothing waits."""
        self._headers(call.stream, frames.END_STREAM, block)

    def forget(self, call: Sending) -> None:
        """Send nothing more of a call."""
        unsent = self._waiting.pop(call.stream, None)
        if unsent is not None:
            self._account(unsent.at - len(unsent.data))

    # What the peer allows.

    def widen(self, increment: int) -> None:
        """The peer takes more on the connection; `pump` has to follow."""
        self._window += increment
        if self._window > frames.WINDOW_MAX:
            raise frames.BadConnection(frames.FLOW_CONTROL_ERROR, "a window that is too large")

    def widen_stream(self, call: Sending, increment: int) -> bool:
        """The peer takes more of one call; false if that is more than there may be."""
        call.window += increment
        return self._stream_window + call.window <= frames.WINDOW_MAX

    def allow(self, values: list[tuple[int, int]]) -> None:
        """The peer says what it allows; `pump` has to follow. Windows may become negative."""
        for name, value in values:
            if name == frames.INITIAL_WINDOW_SIZE:
                self._stream_window = value
            elif name == frames.MAX_FRAME_SIZE:
                # Small frames keep one call from holding up the others.
                self._payload_max = min(value, frames.PAYLOAD_BYTES_MAX)
            elif name == frames.HEADER_TABLE_SIZE and value < _TABLE_BYTES_DEFAULT:
                self._must_empty_table = True

    def pump(self) -> None:
        """Send what waits, as far as there is room now."""
        if not self._waiting or self.is_paused:
            return
        for stream, unsent in list(self._waiting.items()):
            if self._window <= 0:
                return
            before = unsent.at
            is_sent = self._sent(unsent)
            self._account(before - unsent.at)
            if self._waiting.get(stream) is unsent:
                del self._waiting[stream]
                if not is_sent:
                    self._waiting[stream] = unsent  # Behind the others, whose turn it is.
            if is_sent:
                unsent.call.sent()

    def _sent(self, unsent: _Unsent) -> bool:
        """Send as much of it as there is room for; true when that was all."""
        call, data, total = unsent.call, unsent.data, len(unsent.data)
        while not self.is_paused and unsent.at < total:
            room = min(self._window, self._stream_window + call.window, self._payload_max)
            if room <= 0:
                return False
            part = data[unsent.at : unsent.at + room]
            self._window -= len(part)
            call.window -= len(part)
            unsent.at += len(part)
            self.put(frames.frame(frames.DATA, 0, call.stream, part))
        if unsent.at < total:
            return False
        if unsent.end is not None:
            self.end(call, unsent.end)
        return True

    def _headers(self, stream: int, flags: int, block: bytes) -> None:
        if self._must_empty_table:
            # A peer with a smaller table has to be told, first of all, that it is known.
            self._must_empty_table = False
            block = _TABLE_EMPTIED + block
        self.put(frames.header_frames(stream, flags, block))

    def _account(self, octets: int) -> None:
        self._unsent += octets
        self._all_unsent.amount += octets

"""One connection: reads its frames, keeps its calls, and ends in order."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, Protocol, cast

from gateway.edge.http2 import frames, limits
from gateway.edge.http2.allowance import Allowance
from gateway.edge.http2.calls import Call, UnaryCall
from gateway.edge.http2.header_blocks import HeaderBlocks
from gateway.edge.http2.heads import Head
from gateway.edge.http2.life import Due, Life
from gateway.edge.http2.outbox import Outbox, Total

_read_head: Final = frames.HEAD.unpack_from
_HEAD_BYTES: Final = frames.HEADER_BYTES
_TINY_BYTES: Final = 5  # No DATA frame that goes on is smaller than a message's prefix.
_ANNOUNCEMENT: Final = b"to leave"
_SIGN_OF_LIFE: Final = b"alive?  "
_HELLO: Final = frames.settings(
    {
        frames.MAX_CONCURRENT_STREAMS: limits.STREAMS_MAX,
        frames.INITIAL_WINDOW_SIZE: limits.STREAM_WINDOW_BYTES,
        frames.MAX_HEADER_LIST_SIZE: limits.HEADER_LIST_BYTES_MAX,
    }
) + frames.window_update(0, limits.CONNECTION_WINDOW_BYTES - frames.WINDOW_DEFAULT)


class Owner(Protocol):
    """The edge as its connections see it."""

    # Of all connections: calls, octets of messages, octets that wait to go out.
    calls: Total
    held: Total
    unsent: Total

    @property
    def has_room(self) -> bool:
        """Whether there may be more calls."""

    def joined(self, connection: "Connection") -> None:
        """A peer connected."""

    def parted(self, connection: "Connection", why: str) -> None:
        """A connection is over; why, if that is its peer's fault."""

    def admit(self, head: Head) -> None:
        """Find out anew who calls, for a head that names an endpoint."""

    def route(self, head: Head) -> None:
        """Take note of the endpoint of a head that was not seen before, if a callback can serve."""

    def open(self, connection: "Connection", stream: int, head: Head) -> Call | None:
        """Begin a call that takes more than a callback; None when it is over already."""

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run the work of a call in a task."""


class Connection(asyncio.Protocol):
    """The server's side of one connection."""

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.now = loop.time
        self.begin = owner.begin
        self.peer = ""
        self.outbox = Outbox(loop, owner.unsent)
        self.calls: dict[int, Call] = {}
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._blocks = HeaderBlocks(owner.route)
        self._life = Life(loop.time())
        self._rest = bytearray()
        self._wanted = len(frames.PREFACE)
        self._has_preface = self._has_settings = False
        self._last_stream = 0
        self._owed = 0  # Of the connection's window.
        self._held = 0
        self._is_pump_due = False
        self._is_closed_to_new = self._is_leaving = False
        self._resets = Allowance("resets", limits.RESETS_BURST, limits.RESETS_PER_SECOND)
        self._controls = Allowance("controls", limits.CONTROLS_BURST, limits.CONTROLS_PER_SECOND)
        self._empties = Allowance("empty frames", limits.EMPTY_BURST, limits.EMPTY_PER_SECOND)
        self._updates = Allowance("updates", limits.UPDATES_BURST, limits.UPDATES_PER_SECOND)
        self._was_heard = False

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.peer = str(transport.get_extra_info("peername"))
        self.outbox.open(self._transport)
        self.outbox.put(_HELLO)
        self._owner.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose("")

    def pause_writing(self) -> None:
        # A peer that reads nothing is not read either: what it asks for would pile up.
        self.outbox.is_paused = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self.outbox.is_paused = False
        self.outbox.pump()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._transport is None:
            return
        self._was_heard = True
        if self._rest:
            self._rest += data
            if len(self._rest) < self._wanted:
                return
            data = bytes(self._rest)
            self._rest.clear()
        try:
            self._read(data)
            if self._owed > limits.CONNECTION_WINDOW_BYTES // 2:
                self.outbox.put(frames.window_update(0, self._owed))
                self._owed = 0
            if self._is_pump_due:
                self._is_pump_due = False
                self.outbox.pump()
        except frames.BadConnection as bad:
            self.end(bad)

    # What its calls tell.

    def add(self, call: Call) -> None:
        """Begin a call."""
        self.calls[call.stream] = call
        self._owner.calls.amount += 1

    def finished(self, call: Call) -> None:
        """The whole answer of a call has left."""
        if self.calls.pop(call.stream, None) is None:
            return
        self._owner.calls.amount -= 1
        if not call.is_ended:
            # Nothing more of it is wanted.
            self.outbox.put(frames.reset(call.stream, frames.NO_ERROR))
        if self._is_closed_to_new:
            self._leave_if_told()

    def reset(self, call: Call, code: int) -> None:
        """End a call without an answer."""
        if self.calls.get(call.stream) is call:
            call.is_ended = True
            self.outbox.forget(call)
            self.outbox.put(frames.reset(call.stream, code))
            call.left()
            self.finished(call)

    def hold(self, octets: int) -> None:
        """Count what messages of this connection take."""
        self._held += octets
        self._owner.held.amount += octets

    @property
    def holds_too_much(self) -> bool:
        return (
            self._held > limits.CONNECTION_HELD_BYTES_MAX
            or self._owner.held.amount > limits.ALL_HELD_BYTES_MAX
        )

    # What the edge asks for.

    def drain(self) -> None:
        """Tell the peer to call elsewhere; end when what it began until then is answered."""
        if self._life.drain_since is None and self._transport is not None:
            self._life.drain_since = self.now()
            # Calls on their way are still welcome: the last one is named after a round trip.
            self.outbox.put(frames.goaway(frames.STREAM_MAX, frames.NO_ERROR))
            self.outbox.put(frames.frame(frames.PING, 0, 0, _ANNOUNCEMENT))

    def end(self, bad: frames.BadConnection) -> None:
        """Leave at once, with the reason."""
        transport = self._transport
        if transport is None:
            return
        self.outbox.put(frames.goaway(self._last_stream, bad.code, str(bad)))
        self.outbox.flush()
        self._lose(str(bad))
        # Closed with something unread, the kernel would throw away what was just written.
        if not transport.is_closing():
            transport.write_eof()
        self.loop.call_later(limits.LINGER_SECONDS, transport.abort)

    def abort(self) -> None:
        """Cut off what is left."""
        if self._transport is not None:
            for call in tuple(self.calls.values()):
                self.reset(call, frames.CANCEL)
            self.end(frames.BadConnection(frames.NO_ERROR, ""))

    def look_after(self, now: float, seconds: float) -> None:
        """Do what is due; called a few times a second, so that no call needs a timer."""
        for allowance in (self._resets, self._controls, self._empties, self._updates):
            allowance.refill(seconds)
        try:
            due = self._life.due(
                now,
                has_greeted=self._has_settings,
                was_heard=self._was_heard,
                is_stuck=self.outbox.is_paused,
                calls=len(self.calls),
                last_call=self._last_stream,
            )
        except frames.BadConnection as bad:
            self.end(bad)
            return
        self._was_heard = False
        if due is Due.ASK:
            self.outbox.put(frames.frame(frames.PING, 0, 0, _SIGN_OF_LIFE))
        elif due is Due.DRAIN:
            self.drain()
        if self._life.should_name_the_last(now):
            self._name_the_last()
        since_min = now - limits.MESSAGE_SECONDS_MAX
        for call in tuple(self.calls.values()):
            if call.opened_at < since_min and call.is_waited_for and not call.is_over:
                call.expire()

    # What comes in.

    def _read(self, data: bytes) -> None:
        at, end = 0, len(data)
        if not self._has_preface:
            at = self._read_preface(data)
            if not self._has_preface:
                self._rest += data
                return
        calls, blocks, data_kind = self.calls, self._blocks, frames.DATA
        while end - at >= _HEAD_BYTES:
            high, low, kind, flags, stream = _read_head(data, at)
            begin = at + _HEAD_BYTES
            length = high << 8 | low
            if length > limits.FRAME_BYTES_MAX:
                raise frames.BadConnection(frames.FRAME_SIZE_ERROR, "a frame that is too large")
            stop = begin + length
            if stop > end:
                self._wanted = stop - at
                break
            at = stop
            payload = data[begin:stop]
            if kind == data_kind and not blocks.is_open and not flags & frames.PADDED:
                call = calls.get(stream)
                if call is not None and not call.is_ended:
                    self._owed += length
                    ends = flags & 1 == 1
                    if length < _TINY_BYTES and not ends:
                        self._empties.spend()
                    call.data(payload, length, ends)
                    continue
            self._frame(kind, flags, stream & frames.STREAM_MAX, payload)
            if self._transport is None:
                return
        else:
            self._wanted = _HEAD_BYTES
        if at < end:
            self._rest += data[at:]

    def _read_preface(self, data: bytes) -> int:
        given = data[: len(frames.PREFACE)]
        if not frames.PREFACE.startswith(given):
            raise frames.BadConnection(frames.PROTOCOL_ERROR, "no preface of HTTP/2")
        if len(given) < len(frames.PREFACE):
            self._wanted = len(frames.PREFACE)
            return 0
        self._has_preface = True
        return len(given)

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if self._blocks.is_open and kind != frames.CONTINUATION:
            raise frames.BadConnection(frames.PROTOCOL_ERROR, "a header block is interrupted")
        if not self._has_settings:
            if kind != frames.SETTINGS or flags & frames.ACK:
                raise frames.BadConnection(frames.PROTOCOL_ERROR, "SETTINGS have to come first")
            self._has_settings = True
        if kind == frames.HEADERS:
            block = frames.content(payload, flags & (frames.PADDED | frames.PRIORITY))
            if flags & frames.END_HEADERS:
                self._headers(stream, flags, block)
            else:
                self._blocks.begin(stream, flags, block)
        elif kind == frames.DATA:
            self._data(flags, stream, payload)
        elif kind == frames.WINDOW_UPDATE:
            self._updates.spend()
            self._widen(stream, frames.read_number(payload))
        elif kind == frames.RST_STREAM:
            self._rst_stream(stream, payload)
        elif kind == frames.CONTINUATION:
            self._continuation(stream, flags, payload)
        else:
            self._control(kind, flags, stream, payload)

    def _headers(self, stream: int, flags: int, block: bytes) -> None:
        head = self._blocks.head(block)
        if stream <= self._last_stream or not stream & 1:
            self._trailers(stream, flags)
            return
        self._last_stream = stream
        if head is None:
            self.outbox.put(frames.reset(stream, frames.PROTOCOL_ERROR))
            return
        if self._is_closed_to_new:
            return  # The peer knows by now that this one is not looked at.
        if len(self.calls) >= limits.STREAMS_MAX:
            self._resets.spend()
            self.outbox.put(frames.reset(stream, frames.REFUSED_STREAM))
            return
        if head.endpoint is not None and not flags & frames.END_STREAM:
            now = self.now()
            if head.checked_at != now:
                # What a key is good for is asked again with every turn of the loop.
                head.checked_at = now
                self._owner.admit(head)
            if head.caller is not None and self._owner.has_room:
                self.add(
                    UnaryCall(self, stream, now, head.timeout_seconds, head.endpoint, head.caller)
                )
                return
        call = self._owner.open(self, stream, head)
        if call is not None and flags & frames.END_STREAM:
            call.data(b"", 0, True)

    def _trailers(self, stream: int, flags: int) -> None:
        """Headers of a call that is begun: they can only end it."""
        call = self.calls.get(stream)
        if stream == 0 or not stream & 1:
            raise frames.BadConnection(frames.PROTOCOL_ERROR, "a stream that is not the peer's")
        if call is None:
            self._empties.spend()
        elif call.is_ended or not flags & frames.END_STREAM:
            raise frames.BadConnection(frames.PROTOCOL_ERROR, "headers in the middle of a call")
        else:
            call.data(b"", 0, True)

    def _continuation(self, stream: int, flags: int, payload: bytes) -> None:
        whole = self._blocks.go_on(stream, flags, payload)
        if whole is not None:
            self._headers(stream, *whole)

    def _data(self, flags: int, stream: int, payload: bytes) -> None:
        """DATA with padding, or of a call that is over."""
        self._owed += len(payload)
        octets = frames.content(payload, flags & frames.PADDED)
        if len(octets) < _TINY_BYTES and not flags & frames.END_STREAM:
            self._empties.spend()
        call = self.calls.get(stream)
        if stream == 0 or (call is None and stream > self._last_stream):
            raise frames.BadConnection(frames.PROTOCOL_ERROR, "DATA of no call")
        if call is None:
            return
        if call.is_ended:
            self.reset(call, frames.STREAM_CLOSED)
            return
        call.data(octets, len(payload), bool(flags & frames.END_STREAM))

    def _widen(self, stream: int, increment: int) -> None:
        if stream > self._last_stream:
            raise frames.BadConnection(frames.PROTOCOL_ERROR, "WINDOW_UPDATE of no call")
        self._is_pump_due = True
        if stream == 0:
            if increment == 0:
                raise frames.BadConnection(frames.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
            self.outbox.widen(increment)
            return
        call = self.calls.get(stream)
        if call is None:
            return
        if increment == 0:
            self.reset(call, frames.PROTOCOL_ERROR)
        elif not self.outbox.widen_stream(call, increment):
            self.reset(call, frames.FLOW_CONTROL_ERROR)

    def _rst_stream(self, stream: int, payload: bytes) -> None:
        frames.require_size(payload, frames.NUMBER.size)
        if stream == 0 or stream > self._last_stream:
            raise frames.BadConnection(frames.PROTOCOL_ERROR, "RST_STREAM of no call")
        self._resets.spend()
        call = self.calls.get(stream)
        if call is not None:
            call.is_ended = True
            self.outbox.forget(call)
            call.left()
            self.finished(call)

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        is_ack = bool(flags & frames.ACK)
        self._controls.spend()
        if kind == frames.SETTINGS:
            if stream:
                raise frames.BadConnection(frames.PROTOCOL_ERROR, "SETTINGS of a stream")
            if is_ack:
                frames.require_size(payload, 0)
                return
            self.outbox.allow(frames.read_settings(payload))
            self._is_pump_due = True
            self.outbox.put(frames.frame(frames.SETTINGS, frames.ACK, 0, b""))
        elif kind == frames.PING:
            frames.require_size(payload, 8)
            if stream:
                raise frames.BadConnection(frames.PROTOCOL_ERROR, "PING of a stream")
            if not is_ack:
                self.outbox.put(frames.frame(frames.PING, frames.ACK, 0, payload))
            elif payload == _ANNOUNCEMENT and self._life.drain_since is not None:
                self._name_the_last()
        elif kind == frames.PUSH_PROMISE:
            raise frames.BadConnection(frames.PROTOCOL_ERROR, "a push by a client")
        elif kind == frames.PRIORITY_FRAME:
            frames.require_size(payload, 5)
        # GOAWAY of a client, which ends its calls first, and what is not known: nothing to do.

    # How it ends.

    def _name_the_last(self) -> None:
        if not self._is_closed_to_new:
            self._is_closed_to_new = True
            self.outbox.put(frames.goaway(self._last_stream, frames.NO_ERROR))
            self._leave_if_told()

    def _leave_if_told(self) -> None:
        if not self.calls and not self._is_leaving:
            self._is_leaving = True
            self.loop.call_later(limits.LINGER_SECONDS, self._leave)

    def _leave(self) -> None:
        if self._transport is not None:
            self.outbox.flush()
            self._transport.close()

    def _lose(self, why: str) -> None:
        if self._transport is None:
            return
        self._transport = None
        calls = tuple(self.calls.values())
        self.calls.clear()
        self._owner.calls.amount -= len(calls)
        for call in calls:
            call.left()
        self.outbox.close()
        self._owner.parted(self, why)

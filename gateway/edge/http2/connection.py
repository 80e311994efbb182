"""One connection: reads its frames, and does what they ask for."""

import asyncio
from typing import Final, cast

from gateway.edge.http2 import frames, limits
from gateway.edge.http2.calls import Call, UnaryCall
from gateway.edge.http2.header_blocks import HeaderBlocks
from gateway.edge.http2.peer import ANNOUNCEMENT, Owner, Peer

_read_head: Final = frames.HEAD.unpack_from
_HEAD_BYTES: Final = frames.HEADER_BYTES
_TINY_BYTES: Final = 5  # No DATA frame that goes on is smaller than a message's prefix.
_HELLO: Final = frames.settings(
    {
        frames.MAX_CONCURRENT_STREAMS: limits.STREAMS_MAX,
        frames.INITIAL_WINDOW_SIZE: limits.STREAM_WINDOW_BYTES,
        frames.MAX_HEADER_LIST_SIZE: limits.HEADER_LIST_BYTES_MAX,
    }
) + frames.window_update(0, limits.CONNECTION_WINDOW_BYTES - frames.WINDOW_DEFAULT)


class Connection(Peer, asyncio.Protocol):
    """The server's side of one connection."""

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(owner, loop)
        self._blocks = HeaderBlocks(owner.route)
        self._rest = bytearray()
        self._wanted = len(frames.PREFACE)
        self._has_preface = False
        self._owed = 0  # Of the connection's window.
        self._is_pump_due = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.name = str(transport.get_extra_info("peername"))
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
            self._resets.spend()
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
            self._reset_for_fault(call, frames.STREAM_CLOSED)
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
            self._reset_for_fault(call, frames.PROTOCOL_ERROR)
        elif not self.outbox.widen_stream(call, increment):
            self._reset_for_fault(call, frames.FLOW_CONTROL_ERROR)

    def _reset_for_fault(self, call: Call, code: int) -> None:
        """End a call in which the peer broke a rule; it could as well have reset it itself."""
        self._resets.spend()
        self.reset(call, code)

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
            elif payload == ANNOUNCEMENT and self._life.drain_since is not None:
                self._name_the_last()
        elif kind == frames.PUSH_PROMISE:
            raise frames.BadConnection(frames.PROTOCOL_ERROR, "a push by a client")
        elif kind == frames.PRIORITY_FRAME:
            frames.require_size(payload, 5)
        # GOAWAY of a client, which ends its calls first, and what is not known: nothing to do.

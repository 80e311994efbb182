"""One HTTP/2 connection of the generator: pre-encoded calls out, replies in, little in between."""

import asyncio
from typing import Any, Final, NamedTuple, Protocol, cast

from benchmarks.http2 import frames, hpack
from benchmarks.http2.sender import MESSAGE_PREFIX_BYTES, Sender, prefixed

WINDOW_BYTES: Final = 1 << 20
"""Per stream, for what comes in; the generator reads everything at once."""
CONNECTION_WINDOW_BYTES: Final = 16 << 20

_read_head: Final = frames.HEAD.unpack_from
_number: Final = frames.NUMBER.pack
_HEAD_BYTES: Final = frames.HEADER_BYTES


class Reply(NamedTuple):
    """What ended a call; status is that of gRPC, None when the call was cut off.

    The body has its prefix still. `untouched` when the peer said that it never looked at the call.
    """

    status: int | None
    message: str
    body: bytes
    untouched: bool = False


class Stream(Protocol):
    """A call of many messages."""

    def received(self, data: bytes) -> None:
        """Take in the next octets of the peer's messages, prefixes included."""

    def ended(self, reply: Reply) -> None:
        """The peer ended the call, or the connection did."""


class Client(Protocol):
    """Who makes calls on a connection."""

    def ready(self, connection: "Connection") -> None:
        """The peer said what it allows: calls may begin."""

    def replied(self, connection: "Connection", token: Any, reply: Reply) -> None:
        """A unary call ended; its connection has room for another."""

    def draining(self, connection: "Connection") -> None:
        """The connection takes no new calls: open another."""


class Connection(asyncio.Protocol):
    """Frames of one connection. What is written during one event leaves in one piece."""

    def __init__(
        self,
        client: Client,
        authority: str,
        metadata: tuple[hpack.Header, ...],
        *,
        scheme: bytes = b"http",
    ) -> None:
        self._client = client
        self._scheme = scheme
        self._common = (
            (b":authority", authority.encode()),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
            *metadata,
        )
        self._routes: dict[bytes, tuple[hpack.Header, ...]] = {}
        self._encoder: hpack.Encoder | None = None
        self._decoder = hpack.Decoder()
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._rest = b""
        self._next_stream = 1
        self._tokens: dict[int, Any] = {}
        self._bodies: dict[int, bytes] = {}
        self._streams: dict[int, Stream] = {}
        self._heads: dict[bytes, bytes] = {}
        self._starts: dict[int, bytes] = {}
        self._reading = False
        self._unacknowledged = 0
        # The last headers that were found good; equal ones are the same object.
        self._good_head: object = None
        self._good_end: object = None
        self._continued: tuple[int, int, bytes] | None = None
        self._sender = Sender(self._out)
        self._calls_max = 1 << 30
        self.is_ready = False
        self.is_draining = False

    # What the generator asks for.

    @property
    def in_flight(self) -> int:
        """Calls that have not ended."""
        return len(self._tokens) + len(self._streams)

    @property
    def has_room(self) -> bool:
        """Whether a call may begin now."""
        return self.is_ready and not self.is_draining and self.in_flight < self._calls_max

    @property
    def is_held_up(self) -> bool:
        """Whether data waits for the peer to make room."""
        return self._sender.is_held_up

    def call(self, path: bytes, body: bytes, token: Any) -> None:
        """Begin a unary call; `token` comes back with its reply."""
        stream = self._open(path)
        self._tokens[stream] = token
        length = len(body) + MESSAGE_PREFIX_BYTES
        if self._sender.reserve(length):
            start = self._starts.get(length)
            if start is None:
                start = self._starts[length] = frames.start(frames.DATA, frames.END_STREAM, length)
            self._out += (start, _number(stream), b"\0", _number(length - 5), body)
        else:
            self._sender.send(stream, prefixed(body), frames.END_STREAM)
        if not self._reading:
            self.flush()

    def open_stream(self, path: bytes, stream: Stream) -> int:
        """Begin a call of many messages; return its number."""
        number = self._open(path)
        self._streams[number] = stream
        return number

    def send_message(self, stream: int, body: bytes) -> None:
        """Send a message on a stream, as far as the peer lets us; the rest follows by itself."""
        self._sender.send(stream, prefixed(body), 0)
        if not self._reading:
            self.flush()

    def end_stream(self, stream: int) -> None:
        """Say that no more messages come."""
        self._sender.send(stream, b"", frames.END_STREAM)
        if not self._reading:
            self.flush()

    def flush(self) -> None:
        """Let out what was written."""
        if self._out and self._transport is not None:
            self._transport.write(b"".join(self._out))
            self._out.clear()

    def close(self) -> None:
        """Leave; calls that have not ended are never answered."""
        self.is_draining = True
        for stream in [*self._tokens, *self._streams]:
            self._end(stream, Reply(None, "never answered", b""))
        if self._transport is not None:
            self._out.append(frames.frame(frames.GOAWAY, 0, 0, bytes(8)))
            self.flush()
            self._transport.close()

    def _open(self, path: bytes) -> int:
        assert self._encoder is not None, "calls begin when the connection is ready"
        headers = self._routes.get(path)
        if headers is None:
            pseudo = ((b":method", b"POST"), (b":scheme", self._scheme), (b":path", path))
            headers = self._routes[path] = pseudo + self._common
        block = self._encoder.encode(headers)
        start = self._heads.get(block)
        if start is None:
            if len(self._heads) > 100:
                self._heads.clear()
            start = self._heads[block] = frames.start(
                frames.HEADERS, frames.END_HEADERS, len(block)
            )
        stream = self._next_stream
        self._next_stream = stream + 2
        if self._next_stream > frames.STREAM_MAX:
            self._drain()
        self._out += (start, _number(stream), block)
        return stream

    # What comes in.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        wishes = {frames.ENABLE_PUSH: 0, frames.INITIAL_WINDOW_SIZE: WINDOW_BYTES}
        more = CONNECTION_WINDOW_BYTES - frames.WINDOW_DEFAULT
        self._out += (frames.PREFACE, frames.settings(wishes), frames.window_update(0, more))
        self.flush()

    def data_received(self, data: bytes) -> None:
        self._reading = True
        try:
            self._read(data)
        except (frames.BadFrame, hpack.BadHeaders) as error:
            self._abandon(f"the peer breaks HTTP/2: {error}")
            return
        finally:
            self._reading = False
        if self._unacknowledged > CONNECTION_WINDOW_BYTES // 2:
            self._out.append(frames.window_update(0, self._unacknowledged))
            self._unacknowledged = 0
        self.flush()

    def _read(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        tokens, bodies, streams = self._tokens, self._bodies, self._streams
        at, end = 0, len(data)
        while end - at >= _HEAD_BYTES:
            high, low, kind, flags, stream = _read_head(data, at)
            begin = at + _HEAD_BYTES
            stop = begin + (high << 8 | low)
            if stop > end:
                break
            at = stop
            payload = data[begin:stop]
            if self._continued is not None and kind != frames.CONTINUATION:
                raise frames.BadFrame("a header block is interrupted")
            if kind == frames.DATA:
                self._unacknowledged += len(payload)
                if flags & frames.PADDED:
                    payload = frames.content(payload, frames.PADDED)
                if stream in streams:
                    self._stream_data(stream, stop - begin, payload)
                elif stream in bodies:
                    bodies[stream] += payload
                elif stream in tokens:
                    raise frames.BadFrame("DATA before HEADERS")
                if flags & frames.END_STREAM:
                    self._end(stream, Reply(None, "the call ended without trailers", b""))
            elif kind == frames.HEADERS and flags & frames.END_HEADERS:
                if flags & (frames.PADDED | frames.PRIORITY):
                    payload = frames.content(payload, flags)
                self._headers(stream, flags, payload)
            else:
                self._control(kind, flags, stream, payload)
        self._rest = data[at:]

    def _headers(self, stream: int, flags: int, block: bytes) -> None:
        headers = self._decoder.decode(block)
        if headers is self._good_end and stream in self._bodies:
            self._end(stream, Reply(0, "", self._bodies[stream]))
            return
        if headers is self._good_head and stream in self._tokens:
            self._bodies[stream] = b""
            return
        if not flags & frames.END_STREAM:
            status = dict(headers).get(b":status")
            if status != b"200":
                self._reset(stream, f"HTTP status {status!r}")
            elif stream in self._tokens:
                self._bodies[stream] = b""
                self._good_head = headers
            return
        token_body = self._bodies.get(stream)
        status, code, message = _trailers(headers)
        if token_body is None and stream in self._tokens and status != b"200":
            self._end(stream, Reply(None, f"HTTP status {status!r}", b""))
        elif code is None:
            self._end(stream, Reply(None, "trailers without grpc-status", b""))
        else:
            if code == 0 and status is None:
                self._good_end = headers
            self._end(stream, Reply(code, message, token_body or b""))

    def _stream_data(self, stream: int, length: int, payload: bytes) -> None:
        self._out.append(frames.window_update(stream, length))
        self._streams[stream].received(payload)

    def _end(self, stream: int, reply: Reply) -> None:
        self._sender.forget(stream)
        token = self._tokens.pop(stream, None)
        if token is not None:
            self._bodies.pop(stream, None)
            self._client.replied(self, token, reply)
        elif stream in self._streams:
            self._streams.pop(stream).ended(reply)
        if self.is_draining and not self.in_flight and self._transport is not None:
            self._transport.close()

    def _reset(self, stream: int, why: str) -> None:
        cancel = _number(frames.CANCEL)
        self._out.append(frames.frame(frames.RST_STREAM, 0, stream, cancel))
        self._end(stream, Reply(None, why, b""))

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == frames.SETTINGS:
            if not flags & frames.ACK:
                self._allow(frames.read_settings(payload))
        elif kind == frames.WINDOW_UPDATE:
            self._sender.widen(stream, frames.read_number(payload))
        elif kind == frames.PING:
            if not flags & frames.ACK:
                self._out.append(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif kind == frames.RST_STREAM:
            self._end(stream, Reply(None, f"reset with {frames.read_number(payload)}", b""))
        elif kind == frames.GOAWAY:
            self._go_away(*frames.read_goaway(payload))
        elif kind == frames.HEADERS:
            self._continued = stream, flags, frames.content(payload, flags)
        elif kind == frames.CONTINUATION:
            self._continue(stream, flags, payload)
        elif kind == frames.PUSH_PROMISE:
            raise frames.BadFrame("a push, which was refused")

    def _continue(self, stream: int, flags: int, payload: bytes) -> None:
        if self._continued is None or self._continued[0] != stream:
            raise frames.BadFrame("CONTINUATION of nothing")
        _, first_flags, block = self._continued
        block += payload
        if flags & frames.END_HEADERS:
            self._continued = None
            self._headers(stream, first_flags, block)
        else:
            self._continued = stream, first_flags, block

    def _allow(self, values: dict[int, int]) -> None:
        self._calls_max = values.get(frames.MAX_CONCURRENT_STREAMS, self._calls_max)
        self._out.append(frames.frame(frames.SETTINGS, frames.ACK, 0, b""))
        if self._encoder is None:
            table = values.get(frames.HEADER_TABLE_SIZE, hpack.TABLE_BYTES_DEFAULT)
            self._encoder = hpack.Encoder(table, frozenset({b"authorization"}))
            self.is_ready = True
            self._sender.allow(values)
            self._client.ready(self)
        else:
            self._sender.allow(values)

    # How it ends.

    def _drain(self) -> None:
        if not self.is_draining:
            self.is_draining = True
            self._client.draining(self)

    def _go_away(self, last: int, code: int) -> None:
        """Open no more streams here; those above the last one were never looked at."""
        self._drain()
        for stream in [*self._tokens, *self._streams]:
            if stream > last:
                self._end(stream, Reply(None, f"GOAWAY with {code}", b"", untouched=True))
        if not self.in_flight and self._transport is not None:
            self._transport.close()

    def _abandon(self, why: str) -> None:
        if self._transport is not None:
            self._transport.abort()
        self._lose(why)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._lose(f"connection lost: {exc}" if exc else "connection closed by the peer")

    def _lose(self, why: str) -> None:
        self._drain()
        for stream in [*self._tokens, *self._streams]:
            self._end(stream, Reply(None, why, b""))


def _trailers(headers: tuple[hpack.Header, ...]) -> tuple[bytes | None, int | None, str]:
    status: bytes | None = None
    code: int | None = None
    message = ""
    for name, value in headers:
        if name == b":status":
            status = value
        elif name == b"grpc-status":
            code = int(value) if value.isdigit() else 2
        elif name == b"grpc-message":
            message = value.decode(errors="replace")
    return status, code, message

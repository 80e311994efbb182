"""Lets data out as far as the peer's windows go; keeps the rest until they open."""

from collections import deque
from typing import Final

from benchmarks.http2 import frames

MESSAGE_PREFIX_BYTES: Final = 5


def prefixed(body: bytes) -> bytes:
    """Return a message as gRPC frames it."""
    return b"\0" + frames.NUMBER.pack(len(body)) + body


class Sender:
    """The sending half of one connection's flow control; writes frames to `out`."""

    def __init__(self, out: list[bytes]) -> None:
        self._out = out
        self._window = frames.WINDOW_DEFAULT
        self._stream_window = frames.WINDOW_DEFAULT
        self._payload_max = frames.PAYLOAD_BYTES_MAX
        # Of streams that sent something through `send`.
        self._windows: dict[int, int] = {}
        self._waiting: deque[tuple[int, bytes, int]] = deque()

    @property
    def is_held_up(self) -> bool:
        """Whether data waits for the peer to make room."""
        return bool(self._waiting)

    def reserve(self, length: int) -> bool:
        """Take room for a new stream's only frame; false if it has to go through `send`."""
        if (
            self._waiting
            or length > self._window
            or length > self._payload_max
            or length > self._stream_window
        ):
            return False
        self._window -= length
        return True

    def send(self, stream: int, data: bytes, flags: int) -> None:
        """Send data of a stream, now or as the peer makes room; the last frame has the flags."""
        self._windows.setdefault(stream, self._stream_window)
        self._waiting.append((stream, data, flags))
        self._pump()

    def forget(self, stream: int) -> None:
        """Send nothing more of a stream that has ended."""
        self._windows.pop(stream, None)

    def widen(self, stream: int, increment: int) -> None:
        """The peer makes room; stream 0 is the connection."""
        if stream == 0:
            self._window += increment
        elif stream in self._windows:
            self._windows[stream] += increment
        self._pump()

    def allow(self, settings: dict[int, int]) -> None:
        """The peer says what it allows."""
        if frames.INITIAL_WINDOW_SIZE in settings:
            change = settings[frames.INITIAL_WINDOW_SIZE] - self._stream_window
            self._stream_window += change
            self._windows = {stream: one + change for stream, one in self._windows.items()}
        self._payload_max = settings.get(frames.MAX_FRAME_SIZE, self._payload_max)
        self._pump()

    def _pump(self) -> None:
        """Send what waits; data of one stream stays in order, and full streams hold up no other."""
        full: set[int] = set()
        kept: list[tuple[int, bytes, int]] = []
        while self._waiting:
            stream, data, flags = self._waiting.popleft()
            if stream not in self._windows:
                continue
            room = min(self._window, self._windows[stream], self._payload_max)
            if stream in full or (data and room <= 0):
                full.add(stream)
                kept.append((stream, data, flags))
                continue
            part, data = data[:room], data[room:]
            self._window -= len(part)
            self._windows[stream] -= len(part)
            self._out.append(frames.frame(frames.DATA, 0 if data else flags, stream, part))
            if data:
                self._waiting.appendleft((stream, data, flags))
        self._waiting.extend(kept)

"""Messages both ways over one connection: four octets with a length, then so many octets.

On this, gateways and processors carry commands and outcomes (record 28): for a message, a stream of
grpc.aio costs each end several times as much CPU, and threads that have to be woken.
"""

import asyncio
import socket
import struct
from abc import ABC, abstractmethod
from typing import Final, cast

_LENGTH: Final = struct.Struct(">I")

KEEPALIVE_IDLE_SECONDS: Final = 10
KEEPALIVE_INTERVAL_SECONDS: Final = 2
KEEPALIVE_PROBES_MAX: Final = 3
"""A peer that is gone without a word is noticed after some 16 seconds of silence."""


class Pipe(asyncio.Protocol, ABC):
    """One end of a connection; what comes is given to `received`, its end to `lost`."""

    def __init__(self, receive_bytes_max: int) -> None:
        """A longer message ends the connection."""
        self.receive_bytes_max = receive_bytes_max
        self._transport: asyncio.Transport | None = None
        # The beginning of a message that is not all there, and how much there is to be.
        self._begun = bytearray()
        self._wanted = 0
        self._writable = asyncio.Event()
        self._writable.set()

    # For whoever has the pipe.

    @abstractmethod
    def received(self, message: bytes) -> None:
        """Take a message in. What it raises ends the connection."""

    def lost(self, error: Exception | None) -> None:
        """Take note that the connection is over; nothing comes any more."""

    def send(self, message: bytes) -> None:
        """Send a message; after the end of the connection it goes nowhere."""
        if self._transport is not None:
            self._transport.write(_LENGTH.pack(len(message)) + message)

    @property
    def is_reading(self) -> bool:
        """Whether messages are taken in."""
        return self._transport is not None and self._transport.is_reading()

    @property
    def is_writable(self) -> bool:
        """Whether the peer takes in what is sent, or is gone."""
        return self._writable.is_set()

    async def drained(self) -> None:
        """Return once the peer takes in what was sent, or is gone."""
        if not self.is_writable:
            await self._writable.wait()

    def pause(self) -> None:
        """Take nothing in for now; what was read already still comes."""
        if self._transport is not None and self.is_reading:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Take messages in again."""
        if self._transport is not None and not self.is_reading:
            self._transport.resume_reading()

    def close(self) -> None:
        """End the connection once what was sent is out."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End the connection now."""
        if self._transport is not None:
            self._transport.abort()

    # For the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Those of uvloop are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        wire = transport.get_extra_info("socket")
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (
            ("TCP_KEEPIDLE", KEEPALIVE_IDLE_SECONDS),
            ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_SECONDS),
            ("TCP_KEEPCNT", KEEPALIVE_PROBES_MAX),
        ):
            # Not every system has them by these names; then its own pace counts.
            if hasattr(socket, name):
                wire.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def data_received(self, data: bytes) -> None:
        if self._begun:
            self._begun += data
            if len(self._begun) < self._wanted:
                return
            data = bytes(self._begun)
            self._begun.clear()
        start, end = 0, len(data)
        self._wanted = _LENGTH.size
        while end - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(data, start)
            if length > self.receive_bytes_max:
                self.abort()
                return
            self._wanted = _LENGTH.size + length
            if end - start < self._wanted:
                break
            after = start + self._wanted
            self.received(data[start + _LENGTH.size : after])
            start, self._wanted = after, _LENGTH.size
        if start < end:
            self._begun += data[start:] if start else data

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._writable.set()
        self.lost(exc)

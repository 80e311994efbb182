"""The other end of a connection: its calls, what it may do, and how it is left in order."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, Protocol

from gateway.edge.http2 import frames, limits
from gateway.edge.http2.allowance import Allowance
from gateway.edge.http2.calls import Call
from gateway.edge.http2.heads import Head
from gateway.edge.http2.life import Due, Life
from gateway.edge.http2.outbox import Outbox, Total

ANNOUNCEMENT: Final = b"to leave"  # In the PING after the first GOAWAY.
_SIGN_OF_LIFE: Final = b"alive?  "


class Owner(Protocol):
    """The edge as its connections see it."""

    # Of all connections: calls, octets of messages, octets that wait to go out.
    calls: Total
    held: Total
    unsent: Total

    @property
    def has_room(self) -> bool:
        """Whether there may be more calls."""

    def joined(self, peer: "Peer") -> None:
        """A peer connected."""

    def parted(self, peer: "Peer", why: str) -> None:
        """A connection is over; why, if that is its peer's fault."""

    def admit(self, head: Head) -> None:
        """Find out anew who calls, for a head that names an endpoint."""

    def route(self, head: Head) -> None:
        """Take note of the endpoint of a head that was not seen before, if a callback can serve."""

    def open(self, peer: "Peer", stream: int, head: Head) -> Call | None:
        """Begin a call that takes more than a callback; None when it is over already."""

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run the work of a call in a task."""


class Peer:
    """One peer, as its calls and the edge see it."""

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.now = loop.time
        self.begin = owner.begin
        self.name = ""
        self.outbox = Outbox(loop, owner.unsent)
        self.calls: dict[int, Call] = {}
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._life = Life(loop.time())
        self._has_settings = self._was_heard = False
        self._last_stream = 0
        self._held = 0
        self._is_closed_to_new = self._is_leaving = False
        self._resets = Allowance("resets", limits.RESETS_BURST, limits.RESETS_PER_SECOND)
        self._controls = Allowance("controls", limits.CONTROLS_BURST, limits.CONTROLS_PER_SECOND)
        self._empties = Allowance("empty frames", limits.EMPTY_BURST, limits.EMPTY_PER_SECOND)
        self._updates = Allowance("updates", limits.UPDATES_BURST, limits.UPDATES_PER_SECOND)

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
            self.outbox.put(frames.frame(frames.PING, 0, 0, ANNOUNCEMENT))

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

"""Drivers of bulk calls: streams of commands, and batches in one call."""

from typing import Any, Final

from benchmarks.http2.connection import Connection, Reply
from benchmarks.load import answers, plan
from benchmarks.load.answers import Wrong
from benchmarks.load.drivers import PAUSE_SECONDS, later
from benchmarks.load.plan import Plan, Wish
from benchmarks.load.record import RESOURCE_EXHAUSTED, Recorder, clock
from benchmarks.load.session import Session, Target
from benchmarks.load.workloads import AUTOMATIC, SERVICE, Judge

STREAM: Final = SERVICE + b"StreamPayments"
BATCH: Final = SERVICE + b"AuthorizePayments"
NO_ROOM: Final = f"error {RESOURCE_EXHAUSTED} "
"""How answers.outcomes says that a command was refused for want of room."""


class Bundler:
    """Makes messages of commands, and settles the outcomes of those that are unanswered."""

    def __init__(self, made: Plan, judge: Judge, recorder: Recorder, *, nested: bool) -> None:
        """`nested` for the commands of a stream, which wrap each authorization once more."""
        self._plan, self._judge, self._recorder = made, judge, recorder
        self._nested = nested
        self._count = 0
        self.waiting: dict[bytes, Wish] = {}
        self._sent: dict[bytes, float] = {}

    def message(self, commands: int) -> tuple[bytes, list[bytes]]:
        """Return a message of new commands, and their request_ids."""
        parts: list[bytes] = []
        ids: list[bytes] = []
        now = clock()
        for _ in range(commands):
            self._count += 1
            body, wish = self._plan.authorize(self._count, AUTOMATIC)
            start = b"\n" + plan.varint(len(body))
            if self._nested:
                start = b"\n" + plan.varint(len(body) + len(start)) + start
            parts += (start, body)
            self.waiting[wish.request_id] = wish
            self._sent[wish.request_id] = now
            ids.append(wish.request_id)
        return b"".join(parts), ids

    def settle(self, message: bytes) -> list[bytes]:
        """Take in outcomes; return whose they are, in their order."""
        now, recorder = clock(), self._recorder
        ids: list[bytes] = []
        try:
            found = answers.outcomes(self._judge.layout, message, self.waiting)
        except Wrong as wrong:
            recorder.error(f"wrong answer: {wrong}")
            return ids
        for request_id, seen in found:
            wish = self.waiting.pop(request_id, None)
            if wish is None:
                recorder.error("duplicate: an outcome of a command that is not waiting")
                continue
            ids.append(request_id)
            began = self._sent.pop(request_id)
            if recorder.sheds and isinstance(seen, str) and seen.startswith(NO_ROOM):
                recorder.refused(request_id, now - began)
            elif self._carried_out(wish, seen) and recorder.measuring:
                recorder.latencies.append(now - began)
        return ids

    def _carried_out(self, wish: Wish, seen: answers.Seen | str) -> bool:
        if isinstance(seen, str):
            self._recorder.error(seen)
            self._recorder.unknown(wish.request_id)
            return False
        try:
            carried_out = answers.require(seen, wish, answers.CAPTURED)
        except Wrong as wrong:
            self._recorder.error(f"wrong answer: {wrong}")
            self._recorder.unknown(wish.request_id)
            return False
        self._judge.note(b"A", wish.request_id, seen, wish)
        if not carried_out:
            self._recorder.declined += 1
        return carried_out

    def forget(self, ids: list[bytes]) -> None:
        """Give up on commands whose call failed."""
        for request_id in ids:
            self.waiting.pop(request_id, None)
            self._sent.pop(request_id, None)
            self._recorder.unknown(request_id)

    def forget_all(self) -> None:
        """Give up on every command that is not answered."""
        self.forget(list(self.waiting))


class OneStream:
    """A StreamPayments call: keeps at most so many commands unanswered."""

    def __init__(
        self, connection: Connection, bundler: Bundler, recorder: Recorder, size: int, most: int
    ) -> None:
        self._connection, self._bundler, self._recorder = connection, bundler, recorder
        self._size, self._most = size, most
        self._rest = b""
        self.unanswered = 0
        self.running = True
        self._number = connection.open_stream(STREAM, self)
        self.fill()

    def fill(self) -> None:
        """Send as many messages as may be unanswered."""
        while self.running and self.unanswered + self._size <= self._most:
            self.send()

    def send(self) -> None:
        """Send one message, however much is unanswered."""
        message, _ = self._bundler.message(self._size)
        self.unanswered += self._size
        self._connection.send_message(self._number, message)

    @property
    def is_held_up(self) -> bool:
        """Whether the peer leaves unread what was sent, or the stream is over."""
        return not self.running or self._connection.is_held_up

    def stop(self) -> None:
        """Send no more; the peer ends the call when it has answered."""
        if self.running:
            self.running = False
            self._connection.end_stream(self._number)

    def received(self, data: bytes) -> None:
        data = self._rest + data
        at = 0
        while len(data) - at >= answers.PREFIX_BYTES:
            stop = at + answers.PREFIX_BYTES + int.from_bytes(data[at + 1 : at + 5])
            if stop > len(data):
                break
            self.unanswered -= len(self._bundler.settle(data[at + answers.PREFIX_BYTES : stop]))
            at = stop
        self._rest = data[at:]
        self.fill()

    def ended(self, reply: Reply) -> None:
        if self.running or reply.status != 0 or self.unanswered:
            self._recorder.error(
                f"a stream ended with grpc-status {reply.status}: {reply.message},"
                f" {self.unanswered} unanswered"
            )
        self.running = False
        self.unanswered = 0


class Streams:
    """Keeps streams busy, one on each connection."""

    def __init__(
        self,
        target: Target,
        bundler: Bundler,
        recorder: Recorder,
        *,
        in_flight: int,
        connections: int,
        size: int,
    ) -> None:
        self.session = Session(target, _no_unary_call, lambda _: None)
        self._bundler, self._recorder = bundler, recorder
        self._most, self._size = max(size, in_flight // connections), size
        self._streams: list[OneStream] = []

    @property
    def in_flight(self) -> int:
        return sum(stream.unanswered for stream in self._streams)

    def start(self) -> None:
        for connection in self.session.connections:
            self._streams.append(
                OneStream(connection, self._bundler, self._recorder, self._size, self._most)
            )

    def stop(self) -> None:
        for stream in self._streams:
            stream.stop()

    def give_up(self) -> None:
        self._bundler.forget_all()

    def facts(self) -> dict[str, Any]:
        return {"commands_per_message": self._size, "unanswered_max": self._most}


class Batches:
    """Keeps AuthorizePayments calls in flight."""

    def __init__(
        self,
        target: Target,
        bundler: Bundler,
        recorder: Recorder,
        *,
        in_flight: int,
        connections: int,
        size: int,
    ) -> None:
        self.session = Session(target, self._replied, self._opened)
        self._bundler, self._recorder, self._size = bundler, recorder, size
        self._per_connection = max(1, in_flight // connections // size)
        self._running = False
        self.in_flight = 0

    def start(self) -> None:
        self._running = True
        for connection in self.session.connections:
            self._opened(connection)

    def stop(self) -> None:
        self._running = False

    def give_up(self) -> None:
        self._bundler.forget_all()

    def facts(self) -> dict[str, Any]:
        return {"payments_per_call": self._size}

    def _opened(self, connection: Connection) -> None:
        while (
            self._running and connection.has_room and (connection.in_flight < self._per_connection)
        ):
            self._begin(connection)

    def _begin(self, connection: Connection) -> None:
        body, ids = self._bundler.message(self._size)
        self.in_flight += 1
        connection.call(BATCH, body, ids)

    def _replied(self, connection: Connection, ids: list[bytes], reply: Reply) -> None:
        self.in_flight -= 1
        if reply.status != 0:
            self._recorder.error(f"grpc-status {reply.status}: {reply.message}")
            self._bundler.forget(ids)
            later(PAUSE_SECONDS, lambda: self._opened(connection))
            return
        if self._bundler.settle(reply.body[answers.PREFIX_BYTES :]) != ids:
            self._recorder.error("wrong answer: outcomes are not in the order of the requests")
        if self._running and connection.has_room:
            self._begin(connection)


def _no_unary_call(_connection: Connection, token: Any, _reply: Reply) -> None:
    raise AssertionError(f"no unary call was made, but one ended: {token}")

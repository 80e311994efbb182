"""A driver that offers commands over streams on a schedule, more than may be carried."""

import asyncio
from typing import Any, Final

from benchmarks.load.bulk import Bundler, OneStream, Streams
from benchmarks.load.record import Recorder, clock
from benchmarks.load.session import Target

TICK_SECONDS: Final = 0.001


class OpenStreams(Streams):
    """Commands are due when the schedule says so, however many are unanswered.

    What the peer leaves unread waits here, as it would with any caller; it is counted as due and
    made only when it goes out. Latencies run from then.
    """

    def __init__(
        self,
        target: Target,
        bundler: Bundler,
        recorder: Recorder,
        *,
        rate: float,
        connections: int,
        size: int,
    ) -> None:
        super().__init__(target, bundler, recorder, in_flight=0, connections=connections, size=size)
        self._most = 0  # Nothing is sent because something was answered.
        self._rate = rate
        self._measured = recorder
        self._at = 0.0
        self._due = 0.0
        self._offered = self._sent = 0.0
        self._turn = 0
        self._running = False

    def start(self) -> None:
        super().start()
        self._running = True
        self._at = clock()
        self._tick()

    def stop(self) -> None:
        self._running = False
        super().stop()

    def facts(self) -> dict[str, Any]:
        """`late` are the commands that were due and could not leave."""
        late = max(0, round(self._offered - self._sent))
        return {"offered": round(self._offered), "late": late, "latest_ms": late / self._rate * 1e3}

    def _tick(self) -> None:
        if not self._running:
            return
        now = clock()
        due, self._at = (now - self._at) * self._rate, now
        self._due += due
        sent = 0
        while self._due >= self._size and (stream := self._next_free()) is not None:
            stream.send()
            self._due -= self._size
            sent += self._size
        if self._measured.measuring:
            self._offered += due
            self._sent += sent
        asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def _next_free(self) -> OneStream | None:
        for _ in self._streams:
            self._turn += 1
            stream = self._streams[self._turn % len(self._streams)]
            if not stream.is_held_up:
                return stream
        return None

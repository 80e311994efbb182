"""Redis is killed in the middle of a load on a schedule, stays away for a while, and comes back."""

import threading
import time
from collections.abc import Sequence
from typing import Any, Final

from benchmarks.load.record import WINDOW_SECONDS
from benchmarks.shards import metrics
from benchmarks.shards.city import REDIS, WITH_REDIS, City

SHARE: Final = 0.5
"""Of the rate that a closed loop shows, offered meanwhile: latency is normal there."""

NOISE: Final = 1.5
"""Over the worst half second before: what a normal one may have."""

NOISE_MS: Final = 5.0
"""The same, where all of them were quick."""

STEADY_WINDOWS: Final = 2
"""In a row within the band: latency is back."""


class Accident:
    """Kills Redis after a third of the time, and lets it start again after two thirds."""

    def __init__(self, city: City, seconds: float) -> None:
        self._city = city
        self._kill_after, self._start_after = max(1, int(seconds / 3)), max(2, int(seconds * 2 / 3))
        self._ticks = 0
        self._threads: list[threading.Thread] = []
        self.killed_at = self.back_at = 0.0
        """On the clock of time.perf_counter, which all processes share."""

    def __call__(self, event: dict[str, Any]) -> None:
        if event["event"] != "tick":
            return
        self._ticks += 1
        if self._ticks == self._kill_after:
            self._begin(self._kill)
        elif self._ticks == self._start_after:
            self._begin(self._start)

    def _begin(self, what: Any) -> None:
        # The generator's events must not wait for it.
        thread = threading.Thread(target=what)
        thread.start()
        self._threads.append(thread)

    def _kill(self) -> None:
        self.killed_at = time.perf_counter()
        self._city.stack.kill(REDIS, stay_down=True)

    def _start(self) -> None:
        self._threads[0].join()
        self._city.stack.start_one(REDIS)
        self.back_at = time.perf_counter()

    def join(self) -> None:
        """Wait until Redis runs and the gateway uses it again. Raises TimeoutError."""
        for thread in self._threads:
            thread.join()
        metrics.await_redis(self._city.addresses, WITH_REDIS)

    def figures(self, found: dict[str, Any]) -> dict[str, Any]:
        """Return how soon latency was normal after each."""
        windows, began_at = found["windows"], found["began_at"]
        killed, back = self.killed_at - began_at, self.back_at - began_at
        normal = band_ms(windows, killed)
        return {
            "killed_at": killed,
            "redis_back_at": back,
            "normal_p99_ms": normal,
            "normal_after_kill_ms": normal_after(windows, killed, normal) * 1e3,
            "normal_after_return_ms": normal_after(windows, back, normal) * 1e3,
        }


def band_ms(windows: Sequence[dict[str, float]], until: float) -> float:
    """Return up to which p99 is normal, by what it was before a moment."""
    before = [one["p99_ms"] for one in windows if one["at"] + WINDOW_SECONDS <= until]
    worst = max(before, default=0.0)
    return max(worst * NOISE, worst + NOISE_MS)


def normal_after(windows: Sequence[dict[str, float]], moment: float, normal: float) -> float:
    """Return the seconds from a moment until p99 is normal, and stays so for some windows.

    0 when it never was anything else; infinity when it never was again.
    """
    after = [one for one in windows if one["at"] + WINDOW_SECONDS > moment]
    for number in range(len(after) - STEADY_WINDOWS + 1):
        if all(one["p99_ms"] <= normal for one in after[number : number + STEADY_WINDOWS]):
            return max(0.0, after[number]["at"] - moment) if number else 0.0
    return float("inf")

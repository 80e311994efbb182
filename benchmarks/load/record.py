"""What a job saw: latencies, errors, and each answer as a line for the checker."""

import time
from array import array
from pathlib import Path
from typing import IO, Any, Final

from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]

HIGHEST_US: Final = 120_000_000
DIGITS: Final = 3
ERROR_KINDS_MAX: Final = 20
RESOURCE_EXHAUSTED: Final = 8
WINDOW_SECONDS: Final = 0.5
"""Of calls whose latency is looked at together, to see how soon it is back after an accident."""

clock = time.perf_counter


def new_histogram() -> HdrHistogram:
    """Return an empty histogram of µs, from 1 to two minutes."""
    return HdrHistogram(1, HIGHEST_US, DIGITS)


def percentiles(encoded: str) -> dict[str, float]:
    """Return the latencies that reports show, in ms, from an encoded histogram."""
    filled = HdrHistogram.decode(encoded)

    def at(percent: float) -> float:
        return float(filled.get_value_at_percentile(percent)) / 1e3

    return {
        "p50_ms": at(50),
        "p99_ms": at(99),
        "p999_ms": at(99.9),
        "max_ms": float(filled.get_max_value()) / 1e3 if filled.total_count else 0.0,
    }


def histogram(latencies: "array[float]") -> HdrHistogram:
    """Return the histogram of latencies in seconds."""
    counts: dict[int, int] = {}
    for seconds in latencies:
        micros = int(seconds * 1e6)
        counts[micros] = counts.get(micros, 0) + 1
    filled = new_histogram()
    for micros, count in counts.items():
        filled.record_value(min(max(micros, 1), HIGHEST_US), count)
    return filled


class Recorder:
    """Notes what happens; makes sense of it only when nothing is measured any more."""

    def __init__(self, history: IO[bytes], *, sheds: bool = False, windowed: bool = False) -> None:
        """`sheds` when more is offered than can be carried: to be refused is no error then."""
        self.windowed = windowed
        self.latencies: array[float] = array("d")
        self.dues: array[float] = array("d")
        """When each of them was due, where a schedule says so."""
        self.credited: array[float] = array("d")
        """Of some payments, how long until the payee had the money, in seconds."""
        self.refusals: array[float] = array("d")
        """How long callers waited to hear that there is no room, in seconds."""
        self.sheds = sheds
        self.lines: list[bytes] = []
        """One for each answer: kind, request_id, payment_id, state, amount, payer, merchant."""
        self.measuring = False
        self.declined = 0
        self.repeated = 0
        self.errors = 0
        self.error_kinds: dict[str, int] = {}
        self._history = history
        self._seconds: list[tuple[float, int]] = []

    def error(self, what: str) -> None:
        """Count an error, whether or not it happened while measuring."""
        self.errors += 1
        if what in self.error_kinds or len(self.error_kinds) < ERROR_KINDS_MAX:
            self.error_kinds[what] = self.error_kinds.get(what, 0) + 1

    def refused(self, request_id: bytes, seconds: float) -> None:
        """Note a call that was refused for want of room."""
        if self.measuring:
            self.refusals.append(seconds)
        self.unknown(request_id)

    def unknown(self, request_id: bytes) -> None:
        """Note a request that may have been carried out or not."""
        if request_id:
            self.lines.append(b"U\t%b\t\\N\t0\t0\t0\t0\n" % request_id)

    def tick(self) -> int:
        """Let out the lines so far; return how many calls were measured."""
        if self.measuring:
            self._seconds.append((clock(), len(self.latencies)))
        self.flush()
        return len(self.latencies)

    def flush(self) -> None:
        """Write the lines to the history."""
        if self.lines:
            self._history.write(b"".join(self.lines))
            self.lines.clear()
            self._history.flush()

    def series(self, started: float) -> list[dict[str, float]]:
        """Return, per tick, seconds since the start, calls per second, and p99 in ms."""
        found = []
        before, first = started, 0
        for at, last in self._seconds:
            part = sorted(self.latencies[first:last])
            worst = part[int(len(part) * 0.99)] if part else 0.0
            rate = (last - first) / (at - before)
            found.append({"at": at - started, "rate": rate, "p99_ms": worst * 1e3})
            before, first = at, last
        return found

    def windows(self, started: float) -> list[dict[str, float]]:
        """Return p99 in ms of what was due in each half second, by where it began."""
        parts: dict[int, list[float]] = {}
        for due, seconds in zip(self.dues, self.latencies, strict=True):
            parts.setdefault(int((due - started) / WINDOW_SECONDS), []).append(seconds)
        return [
            {
                "at": number * WINDOW_SECONDS,
                "calls": len(parts[number]),
                "p99_ms": sorted(parts[number])[int(len(parts[number]) * 0.99)] * 1e3,
            }
            for number in sorted(parts)
        ]

    def result(self, started: float, ended: float, generator_cpu: float) -> dict[str, Any]:
        """Return what was measured between two moments, as plain values for JSON."""
        found = self._result(started, ended, generator_cpu)
        if self.windowed:
            found |= {"began_at": started, "windows": self.windows(started)}
        if self.credited:
            found["credited"] = histogram(self.credited).encode().decode()
        return found

    def _result(self, started: float, ended: float, generator_cpu: float) -> dict[str, Any]:
        return {
            "seconds": ended - started,
            "done": len(self.latencies),
            "declined": self.declined,
            "repeated": self.repeated,
            "errors": self.errors,
            "error_kinds": self.error_kinds,
            "generator_cpu_seconds": generator_cpu,
            "histogram": histogram(self.latencies).encode().decode(),
            "refused": len(self.refusals),
            "refusals": histogram(self.refusals).encode().decode(),
            "series": self.series(started),
        }


def open_history(path: Path) -> IO[bytes]:
    """Open a new history."""
    return path.open("wb")

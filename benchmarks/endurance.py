"""Longer looks at a system: its knee, held shares of it, and a soak with everybody's memory."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks import knee, pages
from benchmarks.measure import processes
from benchmarks.wanted import Lengths

SOAK_SHARE: Final = 0.70
INTERVAL_SECONDS: Final = 10
STEADY_AFTER_SECONDS: Final = 180
"""Caches and pools have filled by then: from here on memory has no reason to grow."""


def with_pages(
    found: knee.Knee, offer: knee.Offer, lengths: Lengths, folder: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Hold shares of the knee for a while, and plot all."""
    held = []
    for share in knee.SHARES:
        figures = offer(found.rate * share, lengths.knee_held)
        held.append({"share": share} | figures)
        say(f"{share:.0%} of the knee: p50 {figures['p50_ms']:.1f}, p99 {figures['p99_ms']:.1f} ms")
    results = {"rate": found.rate, "steps": found.steps, "held": held}
    for path in pages.knee(results, folder):
        say(f"wrote {path}")
    return results


class Memory:
    """Notes the private memory of every process once in a while."""

    def __init__(self, pids: Callable[[], dict[str, int]]) -> None:
        self._pids = pids
        self._ticks = 0
        self.samples: list[dict[str, dict[int, int]]] = []

    def __call__(self, event: dict[str, Any]) -> None:
        if event["event"] != "tick":
            return
        self._ticks += 1
        if self._ticks % INTERVAL_SECONDS == 0:
            members = {
                kind: processes.private_bytes(pid)
                for kind, pid in (self._pids() | {"generator": event["pid"]}).items()
            }
            self.samples.append(members)


def intervals(series: list[dict[str, float]], memory: Memory) -> list[dict[str, Any]]:
    """Return rate, p99 (the median of the interval's seconds, and the worst) and memory."""
    found = []
    for number, sample in enumerate(memory.samples):
        first = number * INTERVAL_SECONDS
        # The last second may be a moment in which nothing was due any more.
        part = [one for one in series[first : first + INTERVAL_SECONDS] if one["rate"]]
        if not part:
            break
        ordered = sorted(one["p99_ms"] for one in part)
        found.append(
            {
                "at": part[-1]["at"],
                "rate": sum(one["rate"] for one in part) / len(part),
                "p99_ms": ordered[len(ordered) // 2],
                "worst_p99_ms": ordered[-1],
                "private_bytes": {kind: sum(by_pid.values()) for kind, by_pid in sample.items()},
                "processes": sample,
            }
        )
    return found


def growth(found: list[dict[str, Any]]) -> dict[str, float]:
    """Return how much each kind grew from minute 3 to the end, as a share; thirds are compared."""
    steady = [one for one in found if one["at"] >= STEADY_AFTER_SECONDS] or found
    size = max(1, len(steady) // 3)
    grown = {}
    for kind in steady[0]["private_bytes"]:
        first = sum(one["private_bytes"][kind] for one in steady[:size]) / size
        last = sum(one["private_bytes"][kind] for one in steady[-size:]) / size
        grown[kind] = last / first - 1 if first else 0.0
    return grown

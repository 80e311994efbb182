"""Runs one scenario once, and puts together what its rounds showed."""

import statistics
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from benchmarks import generator
from benchmarks.load.process import Job
from benchmarks.load.record import percentiles
from benchmarks.measure import processes
from benchmarks.scenarios import Scenario

Say = Callable[[str], None]
OnEvent = Callable[[dict[str, Any]], None]

CHECKPOINT_AFTER_TICKS: Final = 3
SERVERS: Final = ("gateway", "processor", "postgres", "redis")


class Measured(Protocol):
    """What a round is run against."""

    @property
    def world_folder(self) -> Path:
        """Who pays whom."""

    @property
    def api_key(self) -> str:
        """What opens the gateway."""

    @property
    def address(self) -> tuple[str, int]:
        """Where the gateway is."""

    @property
    def ca_file(self) -> Path | None:
        """Roots of its certificate, if it speaks TLS."""

    def cpu_seconds(self) -> dict[str, float]:
        """CPU by kind of process so far; empty when they are not ours to look at."""

    def journal_head(self) -> int | None:
        """How many batches were committed so far; None when nobody can say."""

    def checkpoint(self) -> None:
        """Have the database write a checkpoint."""


class Watch:
    """Notes CPU and batches when measuring begins and ends."""

    def __init__(self, system: Measured, say: Say, also: OnEvent | None, checkpoints: bool) -> None:
        """`checkpoints` for one a few seconds after measuring begins."""
        self._system, self._say, self._also = system, say, also
        self._ticks_left = CHECKPOINT_AFTER_TICKS if checkpoints else 0
        self._checkpoint = threading.Thread(target=system.checkpoint)
        self._cpu: dict[str, dict[str, float]] = {}
        self._busy: dict[str, float] = {}
        self._batches: dict[str, int | None] = {}

    def __call__(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind in ("begin", "end"):
            self._cpu[kind] = self._system.cpu_seconds()
            self._busy[kind] = processes.machine_busy_seconds()
            self._batches[kind] = self._system.journal_head()
        else:
            if event["errors"]:
                self._say(f"{event['errors']:,} errors so far")
            self._ticks_left -= 1
            if self._ticks_left == 0:
                self._checkpoint.start()
        if self._also is not None:
            self._also(event)

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds of each kind while measuring."""
        before, after = self._cpu["begin"], self._cpu["end"]
        # A process that was killed took what it had spent along.
        return {kind: max(0.0, spent - before[kind]) for kind, spent in after.items()}

    def busy(self) -> float:
        """Return the CPU seconds of the whole machine while measuring."""
        return self._busy["end"] - self._busy["begin"]

    def batches(self) -> int | None:
        """Return how many batches were committed while measuring."""
        before, after = self._batches["begin"], self._batches["end"]
        return None if before is None or after is None else after - before


def run(
    system: Measured,
    scenario: Scenario,
    *,
    history: Path,
    warm_seconds: float,
    seconds: float,
    seed: int,
    rate: float = 0.0,
    in_flight: int | None = None,
    say: Say,
    on_event: OnEvent | None = None,
) -> dict[str, Any]:
    """Run a scenario once; return what was measured."""
    host, port = system.address
    job = Job(
        host=host,
        port=port,
        api_key=system.api_key,
        world=str(system.world_folder),
        history=str(history),
        shape=scenario.shape,
        workload=scenario.workload,
        in_flight=in_flight or scenario.in_flight,
        connections=scenario.connections,
        warm_seconds=warm_seconds,
        seconds=seconds,
        seed=seed,
        merchants=scenario.merchants,
        scattered=scenario.scattered,
        rate=rate,
        size=scenario.size,
        sheds=scenario.sheds,
        pairing=scenario.pairing,
        windowed=scenario.windowed,
        ca_file=str(system.ca_file or ""),
    )
    watch = Watch(system, say, on_event, scenario.cold)
    result = generator.run(job, watch, history.with_suffix(".log"))
    found = figures(result, watch, rate)
    return found | shed(result) if scenario.sheds else found


def figures(result: dict[str, Any], watch: Watch, rate: float) -> dict[str, Any]:
    """Return a round's figures by the names that reports use."""
    done, batches = result["done"], watch.batches()
    cpu = watch.cpu() | {"generator": result["generator_cpu_seconds"]}
    others = watch.busy() - sum(cpu.values())
    found: dict[str, Any] = {
        "rate": done / result["seconds"],
        "seconds": result["seconds"],
        "done": done,
        "declined": result["declined"],
        "repeated": result["repeated"],
        "errors": result["errors"],
        "error_kinds": result["error_kinds"],
        **percentiles(result["histogram"]),
        "cpu_us": {kind: spent / done * 1e6 if done else 0.0 for kind, spent in cpu.items()},
        "others_cpu_share": max(0.0, others) / result["seconds"],
        "batch_mean": done / batches if batches else None,
        "series": result["series"],
        "histogram": result["histogram"],
    }
    found |= {name: result[name] for name in ("credited", "began_at", "windows") if name in result}
    if rate:
        found |= {
            "offered": rate,
            "late_share": result["late"] / max(1, result["offered"]),
            "latest_ms": result["latest_ms"],
        }
    return found


def shed(result: dict[str, Any]) -> dict[str, Any]:
    """Return what became of calls beyond what can be carried."""
    return {
        "offered_per_second": result["offered"] / result["seconds"],
        "refused": result["refused"],
        "refusals": {
            name: one for name, one in percentiles(result["refusals"]).items() if result["refused"]
        },
    }


MEDIANS: Final = ("rate", "p50_ms", "p99_ms", "p999_ms", "max_ms", "others_cpu_share")
OPTIONAL_MEDIANS: Final = ("batch_mean", "offered", "late_share", "latest_ms")


def together(rounds: Sequence[dict[str, Any]], tps: float | None) -> dict[str, Any]:
    """Return the median of each figure, the sums of what is counted, and every round."""
    found: dict[str, Any] = {name: _median(rounds, name) for name in MEDIANS}
    for name in OPTIONAL_MEDIANS:
        if rounds[0].get(name) is not None:
            found[name] = _median(rounds, name)
    for name in ("done", "declined", "repeated", "errors"):
        found[name] = sum(one[name] for one in rounds)
    found["ratio"] = found["rate"] / tps if tps else None
    found["cpu_us"] = {
        kind: statistics.median(one["cpu_us"][kind] for one in rounds)
        for kind in rounds[0]["cpu_us"]
    }
    found["servers_cpu_us"] = sum(found["cpu_us"].get(kind, 0.0) for kind in SERVERS)
    found["rounds"] = list(rounds)
    return found


def _median(rounds: Sequence[dict[str, Any]], name: str) -> float:
    return float(statistics.median(one[name] for one in rounds))

"""One run on one system: the yardstick around rounds of scenarios, then what must hold after."""

import random
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from benchmarks import endurance, knee, overload, pages, rounds, system
from benchmarks.measure import machine, pgbench
from benchmarks.rounds import Measured, OnEvent
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.wanted import Wanted
from deploy.local import database

OPEN: Final = SCENARIOS["open_unary_70"]


class Usable(Measured, Protocol):
    """A system under test that can be judged afterwards, as far as it lets us."""

    @property
    def folder(self) -> Path:
        """Where histories may be kept meanwhile."""

    def pids(self) -> dict[str, int]:
        """Processes by kind; empty when they are not ours to look at."""

    def verify(self) -> dict[str, Any] | None:
        """The report of `tender verify`."""

    def check(self, histories: list[Path], head_before: int) -> dict[str, Any] | None:
        """What the comparison of histories with the database found."""


class Run:
    """Measures a system once."""

    def __init__(self, wanted: Wanted, under_test: Usable, say: Callable[[str], None]) -> None:
        self._wanted, self._system, self._say = wanted, under_test, say
        self._seed = random.SystemRandom().getrandbits(32)
        self._histories: list[Path] = []
        self._rounds: dict[str, list[dict[str, Any]]] = {}
        self._knee: knee.Knee | None = None

    def measure(self, scenarios: Sequence[Scenario], tps: float | None) -> dict[str, Any]:
        """Do everything; `tps` is the yardstick if there is one already."""
        settings, versions = self._look()
        head = self._system.journal_head() or 0
        bench = self._pgbench() if tps is None else None
        yardstick: dict[str, Any] = {"before": self._pace(bench)} if bench else {}
        for number in range(self._wanted.lengths.rounds):
            for scenario in scenarios:
                self._round(scenario, number)
        longer = self._longer()
        if bench:
            yardstick["after"] = self._pace(bench)
            tps = max(max(part.values()) for part in yardstick.values())
        self._say("verify and history: comparing what was answered with what is there")
        return {
            "pgbench": {"tps": tps, **yardstick},
            "scenarios": {name: rounds.together(some, tps) for name, some in self._rounds.items()},
            **longer,
            "verify": self._system.verify(),
            "history": self._system.check(self._histories, head),
            "settings": {"postgres": settings, "seed": self._seed},
            "versions": versions,
        }

    def _look(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the settings and version of the database, which must be durable."""
        if not isinstance(self._system, system.System):
            self._say("not possible here: CPU per payment, pgbench, verify, history")
            return {}, {}
        found = machine.require_durable(self._system.endpoints.owner_url)
        version, settings = database.run_async(found)
        return settings, {"postgres": version}

    # Yardstick.

    def _pgbench(self) -> pgbench.Pgbench | None:
        if not self._wanted.with_pgbench or not isinstance(self._system, system.System):
            return None
        bench = pgbench.Pgbench(self._system.endpoints)
        self._say(f"pgbench: making its tables (scale {pgbench.SCALE})")
        bench.prepare()
        return bench

    def _pace(self, bench: pgbench.Pgbench) -> dict[str, float]:
        lengths = self._wanted.lengths
        return bench.measure(lengths.pgbench, lengths.pgbench_clients, self._say)

    # Rounds.

    def _round(self, scenario: Scenario, number: int) -> None:
        lengths = self._wanted.lengths
        seconds = lengths.cold_measured if scenario.cold else lengths.measured
        rate = scenario.knee_share * self._find_knee().rate if scenario.knee_share else 0.0
        measured = self._once(scenario, seconds, rate)
        self._rounds.setdefault(scenario.name, []).append(measured)
        self._say(
            f"{scenario.name}, round {number + 1}: {measured['rate']:,.0f}/s,"
            f" p99 {measured['p99_ms']:.1f} ms, {measured['errors']} errors"
        )

    def _once(
        self, scenario: Scenario, seconds: float, rate: float, on_event: OnEvent | None = None
    ) -> dict[str, Any]:
        number = len(self._histories)
        history = self._system.folder / f"history-{number}.tsv"
        self._histories.append(history)
        return rounds.run(
            self._system,
            scenario,
            history=history,
            warm_seconds=self._wanted.lengths.warm,
            seconds=seconds,
            seed=self._seed + number,
            rate=rate,
            in_flight=self._wanted.in_flight,
            say=self._say,
            on_event=on_event,
        )

    # Knee, overload and soak.

    def _find_knee(self) -> knee.Knee:
        if self._knee is None:
            closed = max(one["rate"] for one in self._rounds["unary"])
            seconds = self._wanted.lengths.knee_step
            self._knee = (
                knee.find(self._offer, closed, seconds, self._say)
                if seconds
                else knee.Knee(closed, [])
            )
        return self._knee

    def _offer(self, rate: float, seconds: float) -> dict[str, Any]:
        return self._once(OPEN, seconds, rate)

    def _longer(self) -> dict[str, Any]:
        wanted = self._wanted
        found: dict[str, Any] = {}
        if "unary" not in self._rounds:
            return found  # The knee is one of unary calls; the other part of a run has them.
        if wanted.knee:
            found["knee"] = endurance.with_pages(
                self._find_knee(), self._offer, wanted.lengths, wanted.pages, self._say
            )
        if wanted.overload:
            found["overload"] = self._overload()
        if wanted.soak_minutes:
            found["soak"] = self._soak(self._find_knee().rate * endurance.SOAK_SHARE)
        return found

    def _overload(self) -> dict[str, Any]:
        carried = {
            "knee": self._find_knee().rate,
            "stream": statistics.median(one["rate"] for one in self._rounds["stream"]),
        }
        return overload.measure(self._once, carried, self._wanted.lengths.measured, self._say)

    def _soak(self, rate: float) -> dict[str, Any]:
        minutes = self._wanted.soak_minutes
        self._say(f"soak: {rate:,.0f}/s for {minutes:g} minutes")
        memory = endurance.Memory(self._system.pids)
        figures = self._once(OPEN, minutes * 60, rate, memory)
        intervals = endurance.intervals(figures["series"], memory)
        found = {
            "rate": rate,
            "minutes": minutes,
            "errors": figures["errors"],
            "growth": endurance.growth(intervals),
            "intervals": intervals,
        }
        for path in pages.soak(found, self._wanted.pages):
            self._say(f"wrote {path}")
        return found

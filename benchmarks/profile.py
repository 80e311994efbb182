"""Shows where the CPU time of each server goes: `make profile`.

    python -m benchmarks.profile                        # unary and stream, 10 s each
    python -m benchmarks.profile --scenario mixed_unary --seconds 12

Drives scenarios of the benchmark on a stack of its own, looks into the gateway, the processor and
the lane's Postgres session meanwhile, writes a flame graph of each to docs/images/ and the tables
of docs/performance.md. A profile shows shares; rates and CPU per payment come from `make bench`.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import rounds, system
from benchmarks.measure import machine, pgbench
from benchmarks.profiles import flame, page, parts, samplers, statements, threads
from benchmarks.profiles.stacks import Stacks
from benchmarks.scenarios import SCENARIOS, Scenario
from deploy.local import database, seed
from deploy.local.options import StackOptions

USUAL: Final = ("unary", "stream")
WARM_SECONDS: Final = 2.0
MARGIN_SECONDS: Final = 1
"""Samplers take a moment to begin, and end before the load does."""
SEED: Final = 1
IMAGES: Final = Path("docs/images")
FIGURES: Final = IMAGES / "profiles.json"
PYTHON_SERVERS: Final = ("gateway", "processor")
LANE_BACKEND: Final = "SELECT backend_pid FROM lanes"


class Watch:
    """Starts the samplers when measuring begins, and counts what threads and statements take."""

    def __init__(self, under_test: system.System, seconds: int, folder: Path, see: bool) -> None:
        """`see` Postgres with perf."""
        self._system, self._seconds, self._folder, self._see = under_test, seconds, folder, see
        self._samplers: dict[str, samplers.PySpy | samplers.Perf] = {}
        self._threads: dict[str, dict[str, threads.Cpu]] = {}
        self.statements: list[statements.Statement] = []

    def __call__(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind not in ("begin", "end"):
            return
        pids = self._system.pids()
        self._threads[kind] = {name: threads.cpu(pids[name]) for name in PYTHON_SERVERS}
        owner_url = self._system.endpoints.owner_url
        if kind == "end":
            self.statements = database.run_async(statements.inside_functions(owner_url))
            return
        for name in PYTHON_SERVERS:
            place = self._folder / name
            self._samplers[name] = samplers.PySpy(pids[name], self._seconds, place)
        if self._see:
            backend = int(self._system.query(LANE_BACKEND))
            place = self._folder / "postgres"
            self._samplers["postgres"] = samplers.Perf(backend, self._seconds, place)
        database.run_async(statements.reset(owner_url))

    def stacks(self) -> dict[str, Stacks]:
        """Return what was sampled, by kind of server."""
        return {name: one.stacks() for name, one in self._samplers.items()}

    def main_thread_shares(self) -> dict[str, float]:
        """Return how much of each Python server's CPU was its main thread's."""
        found = {}
        for name, after in self._threads["end"].items():
            before = self._threads["begin"][name]
            main, others = after.main - before.main, after.others - before.others
            found[name] = main / (main + others)
        return found


def profile(
    under_test: system.System, scenario: Scenario, seconds: int, folder: Path, see: bool
) -> dict[str, Any]:
    """Drive a scenario; write its flame graphs and return its figures."""
    watch = Watch(under_test, seconds - MARGIN_SECONDS, folder, see)
    measured = rounds.run(
        under_test,
        scenario,
        history=folder / "history.tsv",
        warm_seconds=WARM_SECONDS,
        seconds=seconds,
        seed=SEED,
        say=print,
        on_event=watch,
    )
    servers = {}
    main_shares = watch.main_thread_shares()
    for kind, stacks in watch.stacks().items():
        cpu_us = measured["cpu_us"][kind] * main_shares.get(kind, 1.0)
        path = IMAGES / f"{kind}-{scenario.name}.svg"
        subtitle = f"{stacks.total():,} samples, {cpu_us:.0f} µs of CPU per payment"
        path.write_text(flame.svg(stacks, f"{kind}, {scenario.name}", subtitle, cpu_us))
        servers[kind] = {
            "cpu_us": measured["cpu_us"][kind],
            "main_thread_cpu_us": cpu_us,
            "samples": stacks.total(),
            "parts": parts.shares(stacks, kind),
        }
        print(f"wrote {path}")
    return {
        **{name: measured[name] for name in ("rate", "batch_mean", "errors", "others_cpu_share")},
        "cpu_us": measured["cpu_us"],
        "error_kinds": measured["error_kinds"],
        "servers": servers,
        "statements": [
            {"what": one.what, "us": one.milliseconds * 1e3 / measured["done"], "rows": one.rows}
            for one in watch.statements
        ],
    }


def run(names: Sequence[str], seconds: int, data_dir: Path, see: bool) -> dict[str, Any]:
    """Profile scenarios on a stack of our own, one after the other."""
    data_dir.mkdir(parents=True, exist_ok=True)
    file_system = machine.require_disk(data_dir)
    place = Path(tempfile.mkdtemp(prefix="profile-", dir=data_dir))
    options = StackOptions(data_dir=place, replicas=0, postgres_settings=statements.SETTINGS)
    IMAGES.mkdir(parents=True, exist_ok=True)
    try:
        with system.running(options, seed.Seed(), print) as under_test:
            # A young server makes new log files, which take 15 % of the lane's session; an old one
            # recycles its own. Filling pgbench's tables and a checkpoint leave files to recycle.
            pgbench.Pgbench(under_test.endpoints).prepare()
            under_test.checkpoint()
            found = {}
            for name in names:
                folder = place / name
                folder.mkdir()
                found[name] = profile(under_test, SCENARIOS[name], seconds, folder, see)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return {
        "scenarios": found,
        "machine": machine.machine() | {"file_system": file_system},
        "versions": machine.versions(),
        "commit": machine.commit(),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Profile what was asked for; 1 if a payment or a sampler failed, 2 without py-spy."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usable = [name for name, one in SCENARIOS.items() if not one.cold and not one.knee_share]
    parser.add_argument("--scenario", action="append", choices=usable, help="repeatable")
    parser.add_argument("--seconds", type=int, default=10, help="of each scenario")
    parser.add_argument("--data-dir", type=Path, default=Path(".tender"), help="on a real disk")
    given = parser.parse_args(arguments)
    try:
        samplers.py_spy()
    except samplers.Missing as missing:
        print(missing, file=sys.stderr)
        return 2
    see = True
    try:
        samplers.perf()
    except samplers.Missing as missing:
        see = False
        print(missing)
    try:
        found = run(given.scenario or USUAL, given.seconds, given.data_dir.resolve(), see)
    except samplers.Failed as failed:
        print(f"a sampler failed:\n{failed}", file=sys.stderr)
        return 1
    FIGURES.write_text(json.dumps(found, indent=1) + "\n")
    page.fill(page.PAGE, {"profiles": page.profiles(found)})
    print(f"wrote {FIGURES} and the tables of {page.PAGE}")
    went_wrong = [(name, one["error_kinds"]) for name, one in found["scenarios"].items()]
    for name, kinds in went_wrong:
        for kind, count in kinds.items():
            print(f"{name}: {count} errors: {kind}", file=sys.stderr)
    return 1 if any(kinds for _, kinds in went_wrong) else 0


if __name__ == "__main__":
    sys.exit(main())

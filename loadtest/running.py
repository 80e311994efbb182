"""Runs Locust on a scenario in processes of its own, and reads what came of it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import loadtest
from loadtest.catalogue import Scenario
from loadtest.place import Place

ROOT = Path(loadtest.__file__).resolve().parent.parent
FILES = ROOT / "loadtest" / "scenarios"

# All users are there after this; less would be a load of its own kind.
SPAWN_SECONDS = 2.0
# A load that has not ended so long after its time is killed.
OVERTIME_SECONDS_MAX = 120.0
KILL_SECONDS_MAX = 10.0


@dataclass(frozen=True)
class Run:
    """What is asked of Locust; None leaves what the scenario says."""

    duration_seconds: float
    processes: int
    users: int | None = None
    rate: float | None = None
    p99_ms: float | None = None
    error_share: float | None = None
    rate_min: float | None = None
    warm_up_seconds: float = 3.0
    seed: int = 1
    extra: Sequence[str] = ()


def arguments(scenario: Scenario, run: Run, place: Place, world: Path, out: Path) -> list[str]:
    """Return Locust's command line for a run without the web UI."""
    users = run.users or scenario.users
    files = out / scenario.name
    return [
        *base(place, world, run),
        *("-f", str(FILES / f"{scenario.name}.py")),
        *("--headless", "--only-summary"),
        *("--users", str(users), "--spawn-rate", f"{max(1.0, users / SPAWN_SECONDS):g}"),
        *("--run-time", f"{run.duration_seconds:g}s"),
        *("--stop-timeout", f"{scenario.deadline_seconds:g}"),
        *("--html", f"{files}.html", "--csv", str(files), "--csv-full-history"),
        *("--summary", f"{files}.json"),
        *_given("--pace", None if run.rate is None else run.rate / users),
        *_given("--p99-ms", run.p99_ms),
        *_given("--error-share", run.error_share),
        *_given("--rate-min", rate_min(scenario, run)),
        *run.extra,
    ]


def rate_min(scenario: Scenario, run: Run) -> float:
    """Return the least payments per second: of a smaller load than the scenario's, its share."""
    if run.rate_min is not None:
        return run.rate_min
    offered = (run.users or scenario.users) * scenario.pace if run.rate is None else run.rate
    share = min(1.0, offered / scenario.offered) if offered else 1.0
    return scenario.limits.rate_min * share


def ui_arguments(run: Run, place: Place, world: Path, web_port: int) -> list[str]:
    """Return Locust's command line for the web UI, in which scenarios are chosen."""
    return [
        *base(place, world, run),
        *("-f", str(FILES), "--class-picker", "--stop-timeout", "10"),
        *("--web-host", "127.0.0.1", "--web-port", str(web_port)),
        *run.extra,
    ]


def base(place: Place, world: Path, run: Run) -> list[str]:
    port = free_port()
    return [
        *(sys.executable, "-m", "locust", "--host", place.target, "--loglevel", "WARNING"),
        *("--world", str(world), "--api-key-file", str(place.api_key_file)),
        *("--warm-up", f"{run.warm_up_seconds:g}", "--seed", str(run.seed)),
        *("--processes", str(run.processes)),
        *("--master-bind-host", "127.0.0.1", "--master-bind-port", str(port)),
        *("--master-port", str(port)),
        *(["--insecure"] if place.insecure else []),
    ]


def _given(name: str, value: float | None) -> list[str]:
    return [] if value is None else [name, f"{value:g}"]


def free_port() -> int:
    """Return a port for Locust's master, so that several may run."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def environment() -> dict[str, str]:
    """Our environment, in which Locust finds the same packages as we do."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return dict(os.environ) | {"PYTHONPATH": path}


def load(command: Sequence[str], seconds_max: float | None, log: Path) -> int:
    """Run Locust to its end and return its exit code; Ctrl-C ends it in order."""
    with log.open("w") as file, _ctrl_c_for_locust():
        process = subprocess.Popen(
            command, env=environment(), stdout=file, stderr=subprocess.STDOUT, cwd=ROOT
        )
        try:
            return process.wait(seconds_max)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait(KILL_SECONDS_MAX)
            return 1


@contextlib.contextmanager
def _ctrl_c_for_locust() -> Iterator[None]:
    """The terminal sends Ctrl-C to Locust as well; we wait for its report and still verify."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def outcome(scenario: Scenario, exit_code: int, out: Path) -> dict[str, Any]:
    """Return the summary that Locust's master wrote; one that is missing is a breach."""
    path = out / f"{scenario.name}.json"
    summary: dict[str, Any] = {"scenario": scenario.name, "breaches": []}
    if path.exists():
        summary = json.loads(path.read_text())
    else:
        summary["breaches"].append(f"Locust ended with {exit_code} and no summary")
    if exit_code and not summary["breaches"]:
        summary["breaches"].append(f"Locust ended with {exit_code}")
    return summary

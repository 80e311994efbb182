"""A real stack, and the load as its users start it: a command with reports and an exit code."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import Stack, StackOptions

LOAD_SECONDS_MAX = 90.0


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of which nothing is ever killed."""
    options = StackOptions(data_dir=Path(tmp_path_factory.mktemp("loaded")), replicas=0)
    with Stack(options) as stack:
        yield stack


@pytest.fixture
def fragile(tmp_path: Path) -> Iterator[Stack]:
    """A stack that nobody mends."""
    with Stack(StackOptions(data_dir=tmp_path / "fragile", replicas=0)) as stack:
        yield stack


@dataclass(frozen=True)
class Loaded:
    """How a load ended."""

    exit_code: int
    printed: str
    out: Path

    def summary(self, scenario: str) -> dict[str, Any]:
        summary: dict[str, Any] = json.loads((self.out / f"{scenario}.json").read_text())
        return summary

    def breaches(self, scenario: str) -> str:
        return "; ".join(self.summary(scenario)["breaches"])


Load = Callable[..., Coroutine[Any, Any, Loaded]]


def arguments(out: Path, *given: str) -> list[str]:
    """Return a command line whose options hold unless others are given."""
    short = ("--duration", "4", "--warm-up", "1", "--accounts", "50", "--rate-min", "1")
    loose = ("--p99-ms", "5000", "--users", "20", "--rate", "100")
    return [sys.executable, "-m", "loadtest", *short, *loose, "--out", str(out), *given]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Runs `python -m loadtest`, short and with loose limits, beside the event loop."""

    async def run(*given: str) -> Loaded:
        out = tmp_path / "reports"
        command = arguments(out, *given)
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=LOAD_SECONDS_MAX
        )
        return Loaded(done.returncode, done.stdout + done.stderr, out)

    return run

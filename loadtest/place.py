"""Where a load goes: a stack of its own, one that runs on this machine, or any other target."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local import folder
from deploy.local.options import StackOptions
from deploy.local.stack import Stack

# A ledger of a million payments verifies in about a minute.
VERIFY_SECONDS_MAX = 1_800.0

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Place:
    """A gateway and the key to call it with; with a data folder its ledger can be verified."""

    target: str
    api_key_file: Path
    insecure: bool = False
    data_dir: Path | None = None

    @property
    def api_key(self) -> str:
        return self.api_key_file.read_text().strip()


class NotRunning(Exception):
    """There is no running stack in the data folder."""


def running(data_dir: Path) -> Place:
    """Return the stack that runs in a data folder. Raises NotRunning."""
    if folder.running_stack(data_dir) is None:
        raise NotRunning(f"No stack is running in {data_dir}; start one with `tender up`.")
    endpoints = folder.read_endpoints(data_dir)
    return Place(endpoints.gateway, endpoints.api_key_file, data_dir=data_dir)


@contextlib.contextmanager
def own_stack(data_dir: Path, tell: Tell) -> Iterator[Place]:
    """Start a stack for the load alone, and stop it afterwards."""
    with Stack(StackOptions(data_dir=data_dir), on_event=tell):
        yield running(data_dir)


def verify(data_dir: Path) -> list[str]:
    """Run `tender verify` on a stack's ledger; return what it found wrong."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "deploy.local.cli", "verify", "--json"),
            *("--data-dir", str(data_dir)),
        ],
        capture_output=True,
        text=True,
        timeout=VERIFY_SECONDS_MAX,
        check=False,
    )
    return breaches(done.returncode, done.stdout, done.stderr)


def breaches(exit_code: int, printed: str, problems: str) -> list[str]:
    """Read what `tender verify` printed; a run without a report is a breach too."""
    try:
        report: dict[str, Any] = json.loads(printed)
    except ValueError:
        return [f"verify ended with {exit_code}: {problems.strip() or printed.strip()}"]
    found = [f"verify: {name}" for name in broken(report)]
    if exit_code and not found:
        return [f"verify ended with {exit_code}: {problems.strip()}"]
    return found


def broken(report: dict[str, Any]) -> list[str]:
    """Return the breaches that a report of verify names."""
    return [
        f"{check['name']}: {breach}" for check in report["checks"] for breach in check["breaches"]
    ]

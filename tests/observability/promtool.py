"""Prometheus' own programs, which come with the machine and not with the lock file."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

RUN_SECONDS_MAX: Final = 30


class NotInstalled(Exception):
    """A program that tests need is not on this machine; the message says how it gets there."""


def program(name: str) -> str:
    """Return where `prometheus` or `promtool` is. Raises NotInstalled: no test goes without."""
    found = shutil.which(name)
    if found is None:
        raise NotInstalled(
            f"{name} is not installed, and alerts are tested on a real Prometheus: on Debian "
            "`apt-get install --no-install-recommends prometheus` brings it (CONTRIBUTING.md)."
        )
    return found


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool to its end, whatever that is."""
    return subprocess.run(
        [program("promtool"), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS_MAX,
        check=False,
    )

"""The two samplers: py-spy looks into Python, Linux's perf into Postgres; either may be missing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.profiles import stacks
from benchmarks.profiles.stacks import Stacks

PYTHON_RATE: Final = 99
"""Looks per second, no divisor of anybody's timer; each stops the server for a moment."""
POSTGRES_RATE: Final = 199
STACK_BYTES: Final = 16_384
"""Of each sample's stack, which perf walks afterwards: Postgres keeps no frame pointers."""
BEGIN_OF_BACKEND: Final = "PostgresMain"
EXTRA_SECONDS_MAX: Final = 60.0
PERF: Final = "perf"


class Missing(Exception):
    """A sampler is not there or may not look; the text says what to do about it."""


class Failed(Exception):
    """A sampler ended without samples; the text is what it wrote."""


def py_spy() -> Path:
    """Return the program, which stands beside the interpreter. Raises Missing."""
    program = Path(sys.executable).with_name("py-spy")
    if not program.exists():
        raise Missing(
            f"py-spy is not at {program}: it comes with the extra `load`, which `make` installs;"
            " without it nothing can be seen of the Python servers."
        )
    return program


def perf() -> str:
    """Return the program. Raises Missing where it is not there or may not see the kernel."""
    program = shutil.which(PERF)
    if program is None:
        raise Missing("perf is not installed (linux-perf): there will be no profile of Postgres.")
    if os.geteuid() and int(Path("/proc/sys/kernel/perf_event_paranoid").read_text()) > 1:
        raise Missing(
            "perf may not look (kernel.perf_event_paranoid is above 1 and this is not root):"
            " there will be no profile of Postgres."
        )
    return program


class PySpy:
    """Samples a Python server, C code included. It stops the server for each look."""

    def __init__(self, pid: int, seconds: int, place: Path) -> None:
        self._raw = place.with_suffix(".stacks")
        self._seconds = seconds
        self._child = _started(
            place.with_suffix(".log"),
            *(str(py_spy()), "record", "--pid", str(pid), "--duration", str(seconds)),
            *("--rate", str(PYTHON_RATE), "--native", "--threads", "--function"),
            *("--format", "raw", "--output", str(self._raw)),
        )

    def stacks(self) -> Stacks:
        """Wait for the end, and return the stacks of the main thread."""
        _ended(self._child, self._seconds, self._raw)
        return stacks.of_python(self._raw.read_text())


class Perf:
    """Samples one process of Postgres while it is on a processor, the kernel included."""

    def __init__(self, pid: int, seconds: int, place: Path) -> None:
        self._data = place.with_suffix(".data")
        self._seconds = seconds
        self._program = perf()
        self._child = _started(
            place.with_suffix(".log"),
            *(self._program, "record", "--freq", str(POSTGRES_RATE), "--pid", str(pid)),
            *("--call-graph", f"dwarf,{STACK_BYTES}", "--output", str(self._data)),
            *("--", "sleep", str(seconds)),
        )

    def stacks(self) -> Stacks:
        """Wait for the end, and return the stacks below a backend's main function."""
        _ended(self._child, self._seconds, self._data)
        done = subprocess.run(
            [
                *(self._program, "script", "--input", self._data),
                *("--no-inline", "--fields", "comm,ip,sym,dso"),
            ],
            capture_output=True,
            text=True,
            timeout=EXTRA_SECONDS_MAX,
            check=True,
        )
        return stacks.of_perf(done.stdout, BEGIN_OF_BACKEND)


def _started(log: Path, *command: str) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )


def _ended(child: subprocess.Popen[bytes], seconds: int, wanted: Path) -> None:
    try:
        child.wait(seconds + EXTRA_SECONDS_MAX)
    finally:
        child.kill()
    if child.returncode or not wanted.exists():
        raise Failed(wanted.with_suffix(".log").read_text(errors="replace"))

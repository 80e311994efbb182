"""CPU and memory of the processes under test, from /proc."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.local import processes

TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
KINDS: Final = {
    "gateway": "gateway",
    "processor": "processor",
    "postgres": "postgres",
    "redis": "valkey",
}
"""How reports name the children of a stack."""

_UTIME: Final = 11
"""Place in /proc/<pid>/stat, after the command's name, of utime, stime, cutime and cstime."""


def cpu_seconds(pid: int) -> float:
    """Return the CPU of a process and all its descendants, those that have ended included."""
    total = 0
    for member in processes.family(pid):
        fields = _stat(member)
        if fields is None:
            continue
        times = [int(ticks) for ticks in fields[_UTIME : _UTIME + 4]]
        total += sum(times)
    return total / TICKS_PER_SECOND


def cpu_by_kind(pids: Mapping[str, int]) -> dict[str, float]:
    """Return the CPU seconds of each kind so far."""
    return {kind: cpu_seconds(pid) for kind, pid in pids.items()}


def machine_busy_seconds() -> float:
    """Return how long the machine's cores have worked for anybody."""
    numbers = [int(one) for one in _read(Path("/proc/stat")).split("\n", 1)[0].split()[1:]]
    user, nice, system, _, _, interrupts, soft, steal = numbers[:8]
    return (user + nice + system + interrupts + soft + steal) / TICKS_PER_SECOND


def private_bytes(pid: int) -> dict[int, int]:
    """Return the private memory of a process and of each of its descendants, by pid."""
    found: dict[int, int] = {}
    for member in processes.family(pid):
        try:
            text = _read(Path(f"/proc/{member}/smaps_rollup"))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        found[member] = 1024 * sum(
            int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_")
        )
    return found


def _stat(pid: int) -> list[str] | None:
    try:
        text = _read(Path(f"/proc/{pid}/stat"))
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command stands in parentheses and may hold spaces and parentheses itself.
    return text[text.rindex(")") + 2 :].split()


def _read(path: Path) -> str:
    return path.read_text()

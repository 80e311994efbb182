"""CPU of a process's main thread and of its others, from /proc."""

from pathlib import Path
from typing import NamedTuple

from benchmarks.measure.processes import TICKS_PER_SECOND


class Cpu(NamedTuple):
    """CPU seconds so far."""

    main: float
    others: float


def cpu(pid: int) -> Cpu:
    """Return what each of the two kinds of threads has used; a thread that ended is not counted."""
    main = others = 0.0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            text = (task / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        # The command stands in parentheses and may hold spaces and parentheses itself.
        fields = text[text.rindex(")") + 2 :].split()
        spent = (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
        if int(task.name) == pid:
            main += spent
        else:
            others += spent
    return Cpu(main, others)

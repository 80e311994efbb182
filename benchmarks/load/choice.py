"""Which workload has which name."""

from collections.abc import Callable
from typing import Any

from benchmarks.load.plan import Plan
from benchmarks.load.sharded import Credited, Reads, Repeat
from benchmarks.load.workloads import Judge, Mixed, Pay, Replay, Workload


def make(kind: str, made: Plan, judge: Judge, seed: int) -> Workload:
    """Return the workload of that name."""
    makers: dict[str, Callable[[], Any]] = {
        "pay": lambda: Pay(made, judge),
        "mixed": lambda: Mixed(made, judge, seed),
        "replay": lambda: Replay(made, judge, seed),
        "repeat": lambda: Repeat(made, judge),
        "credited": lambda: Credited(made, judge),
        "reads": lambda: Reads(made, judge, judge.world, seed),
    }
    workload: Workload = makers[kind]()
    return workload

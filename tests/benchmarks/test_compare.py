"""What counts as a change between two results, and as a failure of one."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks import compare, endurance, knee, verdict
from benchmarks.compare import BETTER, SAME, UNKNOWN, WORSE
from benchmarks.wanted import Wanted


def scenario(rates: list[float], p99: float = 10.0, **more: Any) -> dict[str, Any]:
    cpu = {"gateway": 50.0, "processor": 40.0, "generator": 9.0}
    figures = {"p50_ms": 5.0, "p99_ms": p99, "cpu_us": cpu, "errors": 0, "error_kinds": {}}
    middle = sorted(rates)[len(rates) // 2]
    counts = {"done": 1_000, "declined": 0, "servers_cpu_us": 90.0}
    rounds = [{"rate": rate, **figures} for rate in rates]
    return {"rate": middle, **figures, **counts, "rounds": rounds, **more}


def results(**scenarios: dict[str, Any]) -> dict[str, Any]:
    fine = {"ok": True, "parts": []}
    return {"scenarios": scenarios, "verify": fine, "history": fine}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([1000, 1100, 1050], [1080, 1150, 1120], SAME),
        ([1000, 1100, 1050], [1200, 1300, 1250], BETTER),
        ([1000, 1100, 1050], [700, 800, 750], WORSE),
        ([1000, 1000, 1000], [1030, 1030, 1030], SAME),
        ([1000], [2000], UNKNOWN),
    ],
)
def test_a_rate_changed_only_if_the_bands_of_the_rounds_do_not_touch(
    before: list[float], after: list[float], expected: str
) -> None:
    lines = compare.compare(results(unary=scenario(before)), results(unary=scenario(after)))

    assert {line.figure: line.verdict for line in lines}["rate"] == expected


def test_less_latency_and_less_cpu_are_better() -> None:
    before, after = scenario([100, 101], p99=10), scenario([100, 101], p99=5)
    after["servers_cpu_us"] = 45.0
    for one in after["rounds"]:
        one["cpu_us"] = {"gateway": 25.0, "processor": 20.0, "generator": 99.0}

    lines = compare.compare(results(unary=before), results(unary=after))

    said = {line.figure: line.verdict for line in lines}
    assert said == {"rate": SAME, "p50_ms": SAME, "p99_ms": BETTER, "servers_cpu_us": BETTER}


FAULTS = {
    "errors": (scenario([100], errors=3), "3 errors"),
    "declines": (scenario([100], declined=11), "11 of 1000 were declined"),
    "nothing": (scenario([100], done=0), "nothing was carried out"),
    "p99": (scenario([100], p99=51.0), "p99 is 51.0 ms, at most 50 asked"),
    "rate": (scenario([99]), "99/s, at least 100 asked"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_run_fails_for_every_fault_and_for_no_other_reason(name: str) -> None:
    wanted = Wanted(["unary"], Path("nowhere"), p99_ms=50, rate_min=100)
    faulty, text = FAULTS[name]

    assert verdict.failures(results(unary=scenario([100])), wanted) == []
    assert verdict.failures(results(unary=faulty), wanted) == [f"unary: {text}"]


def test_a_run_fails_for_a_broken_ledger_and_for_a_lost_answer() -> None:
    wanted = Wanted(["unary"], Path("nowhere"))
    broken = results(unary=scenario([100]))
    broken["verify"] = {"ok": False, "parts": []}
    broken["history"] = {"ok": False, "parts": [{"problems": ["lost: payment pay_1"]}]}

    assert verdict.failures(broken, wanted) == [
        "verify: the ledger is broken",
        "history: lost: payment pay_1",
    ]
    unseen: dict[str, Any] = {"ok": None, "parts": []}
    remote = results(unary=scenario([100])) | {"verify": unseen, "history": unseen}
    assert verdict.failures(remote, wanted) == []


@pytest.mark.parametrize("capacity", [300.0, 1_000.0, 2_500.0])
def test_the_knee_is_found_whether_the_hint_was_high_or_low(capacity: float) -> None:
    def offer(rate: float, _seconds: float) -> dict[str, Any]:
        carried = min(rate, capacity)
        slow = 20.0 if rate <= capacity else 5_000.0
        return {"offered": rate, "rate": carried, "p99_ms": slow, "errors": 0}

    found = knee.find(offer, 1_000.0, 1.0, lambda _: None)

    assert capacity / 1.15 <= found.rate <= capacity
    assert not knee.carried(found.steps[-1]) or found.rate == found.steps[-1]["offered"]


def test_a_stall_is_not_taken_for_the_knee() -> None:
    offered: list[float] = []

    def offer(rate: float, _seconds: float) -> dict[str, Any]:
        offered.append(rate)
        stalls = len(offered) in (1, 3)
        p99_ms = 20.0 if rate <= 1_000.0 and not stalls else 5_000.0
        return {"offered": rate, "rate": rate, "p99_ms": p99_ms, "errors": 0}

    found = knee.find(offer, 1_000.0, 1.0, lambda _: None)

    assert 1_000.0 / 1.15 <= found.rate <= 1_000.0
    assert len(found.steps) <= knee.STEPS_MAX * knee.TRIES


def test_growth_of_memory_is_told_from_minute_three_on() -> None:
    def at(second: int, size: float) -> dict[str, Any]:
        return {"at": second, "private_bytes": {"gateway": size, "processor": 100.0}}

    series = [at(second, 100.0 + second) for second in range(0, 180, 10)]
    series += [at(second, 300.0) for second in range(180, 600, 10)]

    assert endurance.growth(series) == {"gateway": 0.0, "processor": 0.0}
    series[-1]["private_bytes"]["gateway"] = 3_000.0
    assert endurance.growth(series)["gateway"] > 0.1

"""The benchmark's group of several shards: what it looks at, and what makes it fail."""

import io
from typing import Any

import pytest
from rich.console import Console

from benchmarks import report
from benchmarks.load import plan
from benchmarks.load.world import Home, Merchant, World
from benchmarks.profiles import page
from benchmarks.shards import bars, group, killed, probe, table, takeover
from benchmarks.shards.statements import Statements
from benchmarks.verdict import failures
from benchmarks.wanted import BARS, Wanted
from tests.benchmarks.shop import new_id

WHAT_IS_ASKED = {bar.path: bar for bar in BARS}
GOOD: dict[str, Any] = {
    "scenarios": {
        "cross_shard": {"ratio": 0.45},
        "replay_redis": {"ratio": 1.3, "statements": 0, "lane_commands_answered": 0},
        "reads_replica": {"replica_share": 1.0},
        "redis_on": {"ratio": 0.9},
        "redis_killed": {"normal_after_kill_ms": 2_000, "normal_after_return_ms": 0},
        "relay_on": {"ratio": 0.8},
    },
    "relay": {"drain_ratio": 3, "cpu_us_per_event": 15, "age_p50_ms": 50, "age_p99_ms": 500},
    "takeover": {"p95_ms": 3_000, "max_ms": 5_000, "errors": 0, "error_kinds": []},
    "bucket_move": {"pause_ms": 500, "errors": 0, "error_kinds": []},
}


def two_homes() -> World:
    """Two payers and two merchants on the one shard, three and one on the other."""
    ids = "".join(new_id("acc", number) for number in range(5))
    merchants = [Merchant(new_id("mer", n), new_id("acc", 1_000 + n)) for n in range(3)]
    homes = [Home("s1", 2, 2), Home("s3", 3, 1)]
    return World(ids.encode(), len(new_id("acc", 0)), merchants, 1_000, 140, 5, homes)


def who_pays_whom(pairing: str) -> set[tuple[int, int]]:
    made = plan.Plan(two_homes(), seed=1, pairing=pairing)
    wishes = [made.authorize(count, b"")[1] for count in range(200)]
    return {(wish.payer, wish.merchant) for wish in wishes}


def test_payers_pay_whom_the_pairing_says() -> None:
    first, second = {0, 1}, {2, 3, 4}

    assert who_pays_whom(plan.ONE_SHARD) == {(p, m) for p in first for m in (0, 1)}
    assert who_pays_whom(plan.WITHIN) == {
        *((p, m) for p in first for m in (0, 1)),
        *((p, 2) for p in second),
    }
    assert who_pays_whom(plan.ACROSS) == {
        *((p, 2) for p in first),
        *((p, m) for p in second for m in (0, 1)),
    }
    assert {merchant for _, merchant in who_pays_whom("")} == {0, 1, 2}


def test_a_world_of_several_shards_is_read_as_it_was_written(tmp_path: Any) -> None:
    world = two_homes()
    world.save(tmp_path)

    assert World.load(tmp_path) == world


def test_results_that_reach_every_bar_pass() -> None:
    assert bars.failures(GOOD) == []
    assert bars.failures({"scenarios": {}}) == []


@pytest.mark.parametrize("path", WHAT_IS_ASKED)
def test_a_missed_bar_fails_the_run_and_is_named(path: str) -> None:
    bar = WHAT_IS_ASKED[path]
    *parents, name = path.split(".")
    missed: Any = {part: dict(GOOD[part]) for part in GOOD}
    missed["scenarios"] = {one: dict(figures) for one, figures in missed["scenarios"].items()}
    place = missed
    for parent in parents:
        place = place[parent]
    place[name] = bar.least - 0.01 if bar.least is not None else (bar.most or 0) + 1

    [failure] = bars.failures(missed)

    assert failure.startswith(path)
    assert bar.asked() in failure


def round_of(**changed: Any) -> dict[str, Any]:
    figures = dict.fromkeys(("rate", "p50_ms", "p99_ms", "p999_ms", "max_ms"), 1.0)
    counts = {"done": 1, "declined": 0, "repeated": 0, "errors": 0, "others_cpu_share": 0.0}
    return {**figures, **counts, "error_kinds": {}, "cpu_us": {"generator": 3.0}, **changed}


@pytest.mark.parametrize("name", [name for name in table.NAMES if "_" in name][:-1])
def test_an_error_of_any_load_fails_the_run(name: str, tmp_path: Any) -> None:
    one = group.together([round_of(), round_of(errors=1, error_kinds={"grpc-status 13: oops": 1})])
    fine = {"verify": {"ok": True}, "history": {"ok": True}}

    found = failures({"scenarios": {name: one}, **fine}, Wanted([], tmp_path))

    assert found == [f"{name}: 1 errors; grpc-status 13: oops"]


@pytest.mark.parametrize("name", [table.TAKEOVER, table.BUCKET_MOVE])
def test_an_error_of_a_probe_fails_the_run(name: str) -> None:
    wrong = GOOD | {name: {**GOOD[name], "errors": 1, "error_kinds": ["s1: Refused"]}}

    assert bars.failures(wrong) == [f"{name}: 1 errors; s1: Refused"]


def test_a_ratio_is_the_median_of_that_of_each_round() -> None:
    first = [round_of(rate=rate) for rate in (100.0, 50.0, 10.0)]
    second = [round_of(rate=rate) for rate in (50.0, 40.0, 9.0)]

    assert group.ratio("x", first, second) == {"of": "x", "ratio": 0.8, "ratios": [0.5, 0.8, 0.9]}


def test_of_what_must_hold_in_every_round_the_worst_counts() -> None:
    some = [round_of(statements=0, in_flight_at_end=3), round_of(statements=2, in_flight_at_end=9)]

    found = group.together(some)

    assert (found["statements"], found["in_flight_at_end"]) == (2, 9)


def test_the_table_and_the_page_show_ratios_with_what_they_are_to_and_what_is_asked() -> None:
    cpu = dict.fromkeys(("gateway", "processor", "postgres", "redis", "generator"), 9.0)
    first = [round_of(rate=1_000.0, cpu_us=cpu)]
    second = [round_of(rate=950.0, cpu_us=cpu)]
    results = {
        "scenarios": {
            "redis_off": group.together(first),
            "redis_on": group.together(second) | group.ratio("redis_off", first, second),
        },
        "bucket_move": {"pause_ms": 123.0},
    }
    console = Console(file=io.StringIO(), width=300)
    for shown in (report.shards(results), report.accidents(results)):
        console.print(shown)
    assert isinstance(console.file, io.StringIO)

    table_text, page_text = console.file.getvalue(), page.shards(results)

    for text in (table_text, page_text):
        for word in ("redis_on", "0.95", "0.9", "redis_off", "123", "at most 500 asked"):
            assert word in text
    assert report.table(results | {"pgbench": {}}).row_count == 0


def test_nothing_is_shown_of_what_was_not_measured() -> None:
    assert report.shards({"scenarios": {}}) is None
    assert report.accidents({"scenarios": {}}) is None
    assert page.shards({"scenarios": {}}) == "This run did not measure them."


def windows(*p99_ms: float) -> list[dict[str, float]]:
    return [{"at": n * 0.5, "p99_ms": value} for n, value in enumerate(p99_ms)]


def test_latency_is_normal_again_when_it_stays_within_what_it_was() -> None:
    seen = windows(10, 20, 12, 300, 200, 15, 250, 20, 18)

    normal = killed.band_ms(seen, 1.5)

    assert normal == 30
    # Not at 2.5 s, as it is not steady there.
    assert killed.normal_after(seen, 1.6, normal) == pytest.approx(1.9)


def test_latency_that_never_changed_was_normal_at_once() -> None:
    assert killed.normal_after(windows(10, 20, 12, 25, 20), 1.1, 30) == 0


def test_latency_that_stays_high_never_was_normal_again() -> None:
    assert killed.normal_after(windows(10, 20, 90, 90, 90, 20), 1.0, 30) == float("inf")


def test_the_longest_gap_overlaps_the_period_and_may_end_behind_it() -> None:
    moments = [0.0, 5.0, 10.0, 10.1, 13.0, 20.0]

    assert probe.longest_gap(moments, 10.05, 10.2) == pytest.approx(2.9)
    assert probe.longest_gap(moments, 12.0, 14.0) == 7.0
    assert probe.longest_gap(moments, 19.0, 21.0) == float("inf")


def test_takeovers_are_told_by_percentiles_that_were_measured() -> None:
    found = takeover.figures([0.3, 0.1, 0.2, 4.0])

    assert (found["p50_ms"], found["p95_ms"], found["max_ms"]) == (200, 4_000, 4_000)


def test_statements_count_that_an_idle_stack_does_not_make() -> None:
    idle = Statements({"heartbeat": 5, "sweep": 1}, 5.0)
    seen = Statements({"heartbeat": 32, "sweep": 8, "SELECT apply": 1, "FROM api_keys": 9}, 20.0)

    assert seen.beyond(idle) == {"SELECT apply": 1}
    assert Statements({"heartbeat": 40}, 20.0).beyond(idle) == {"heartbeat": 10}


def test_statements_in_between_are_told_by_their_difference() -> None:
    before, after = Statements({"a": 1, "b": 2}, 1.0), Statements({"a": 1, "b": 5, "c": 1}, 3.0)

    assert after.since(before) == Statements({"b": 3, "c": 1}, 2.0)


def test_a_load_is_measured_with_what_it_is_compared_to() -> None:
    assert [pair.first.name for pair in table.pairs_of(["redis_on"])] == ["redis_off"]
    assert [pair.second.name for pair in table.pairs_of(["redis_killed"])] == ["redis_on"]
    assert table.pairs_of([table.TAKEOVER]) == []

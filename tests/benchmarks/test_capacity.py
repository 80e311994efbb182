"""The arithmetic of capacity, the command that shows it, and the page that is filled from it."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks import capacity, scaling
from benchmarks.profiles import page
from benchmarks.scaling import Cost, Costs, Wanted

ROOT = Path(__file__).parents[2]
FSYNC_US = 400.0

COSTS = Costs(80.0, 8.0, Cost(30.0, 400.0), Cost(20.0, 700.0), 0.5)
ALONE = Wanted(cross_share=0.0, gateways_per_lane=1)
"""No second legs and one gateway for each lane: nothing to lose by growing."""


def scenario(rate: float, batch: float, **cpu: float) -> dict[str, Any]:
    return {
        "rate": rate,
        "cpu_us": {"gateway": 50.0, "processor": 30.0, "postgres": 15.0, "redis": 0.0} | cpu,
        "others_cpu_share": 0.0,
        "batch_mean": batch,
        **dict.fromkeys(("p50_ms", "p99_ms", "p999_ms", "max_ms"), 1.0),
        "ratio": 1.5,
        "servers_cpu_us": 95.0,
    }


def results(**scenarios: dict[str, Any]) -> dict[str, Any]:
    return {
        "scenarios": scenarios,
        "machine": {"cpus": 2},
        "versions": {"postgres": "18", "grpcio": "1", "python": "3"},
        "commit": "0123456789abcdef",
        "lengths": {"rounds": 3, "measured": 20},
        "pgbench": {"tps": 7_000.0},
        "verify": {"ok": True},
        "history": {"ok": True},
    }


MEASURED = results(
    unary=scenario(8_000, 40, processor=40.0, generator=15.0),
    stream=scenario(16_000, 200, gateway=8.0, processor=32.0, generator=6.0),
)


def test_runs_that_lose_the_same_share_predict_each_other_exactly() -> None:
    # 100 and 50 µs on two cores allow 20,000 and 40,000; both got 90 % of it.
    one = scenario(18_000, 200, gateway=50.0, processor=25.0, postgres=15.0, generator=10.0)
    other = scenario(36_000, 200, gateway=9.0, processor=20.0, postgres=15.0, generator=6.0)

    found = scaling.fit(results(unary=one, stream=other), FSYNC_US)

    assert found.efficiency == pytest.approx(0.9)
    assert [line.predicted for line in found.lines] == [
        pytest.approx(18_000),
        pytest.approx(36_000),
    ]
    assert [line.error for line in found.lines] == [pytest.approx(0), pytest.approx(0)]
    assert {line.bound for line in found.lines} == {"machine"}


def test_cores_that_others_had_were_not_there() -> None:
    one = scenario(9_000, 200, gateway=50.0, processor=25.0, postgres=15.0, generator=10.0)
    one["others_cpu_share"] = 1.0

    assert scaling.bounds(one, 2, FSYNC_US)["machine"] == pytest.approx(10_000)


def test_a_run_without_another_has_no_prediction() -> None:
    found = scaling.fit(results(unary=scenario(8_000, 40, generator=5.0)), FSYNC_US)

    assert found.lines[0].predicted is None
    assert found.lines[0].error is None


def test_an_open_loop_says_nothing_of_what_could_be_carried() -> None:
    offered = scenario(1_000, 40) | {"offered": 1_000.0}

    found = scaling.fit(results(**MEASURED["scenarios"], open_unary_70=offered), FSYNC_US)

    assert {line.name for line in found.lines} == {"unary", "stream"}


@pytest.mark.parametrize(
    ("cpu", "batch", "expected"),
    [
        ({"gateway": 200.0}, 200, "machine"),
        ({"gateway": 1.0, "processor": 60.0}, 200, "processor"),
        ({"gateway": 1.0, "processor": 20.0, "postgres": 50.0}, 200, "apply"),
        ({"gateway": 1.0, "processor": 20.0, "postgres": 10.0}, 5, "apply"),
    ],
)
def test_the_least_of_machine_processor_and_apply_counts(
    cpu: dict[str, float], batch: float, expected: str
) -> None:
    limits = scaling.bounds(scenario(1, batch, **cpu), 2, FSYNC_US)

    assert min(limits, key=lambda kind: limits[kind]) == expected


def test_what_a_payment_and_what_a_batch_costs_are_told_apart() -> None:
    points = [(batch, 30 + 600 / batch) for batch in (20.0, 60.0, 200.0)]

    found = scaling.cost(points)

    assert found.each_us == pytest.approx(30)
    assert found.batch_us == pytest.approx(600)
    assert found.at(60) == pytest.approx(40)


@pytest.mark.parametrize(
    "points", [[(20.0, 30.0), (200.0, 40.0)], [(20.0, 90.0), (200.0, 1.0)], [(50.0, 40.0)]]
)
def test_noise_makes_no_cost_negative(points: list[tuple[float, float]]) -> None:
    found = scaling.cost(points)

    assert found.each_us >= 0
    assert found.batch_us >= 0
    assert found.at(50) > 0


def test_batches_are_as_large_as_the_slower_writer_needs_them() -> None:
    batch = scaling.batch_at(15_000, 1, COSTS, ALONE)

    uses = (
        scaling.processor_use(15_000, batch, 1, COSTS, ALONE),
        scaling.apply_use(15_000, batch, COSTS, ALONE),
    )
    assert max(uses) == pytest.approx(1)
    assert scaling.batch_at(10, 1, COSTS, ALONE) == 1
    assert scaling.batch_at(1_000_000, 1, COSTS, ALONE) == ALONE.batch_max


def test_one_lane_carries_its_share_of_what_full_batches_allow() -> None:
    full = 1e6 / COSTS.processor.at(ALONE.batch_max)

    assert scaling.carried(1, COSTS, ALONE) == pytest.approx(full * ALONE.utilization)
    at_full = ALONE._replace(utilization=1.0)
    assert scaling.carried(1, COSTS, at_full) == pytest.approx(full)


def test_shards_that_share_nothing_carry_in_proportion() -> None:
    one = scaling.carried(1, COSTS, ALONE)

    assert scaling.carried(8, COSTS, ALONE) == pytest.approx(8 * one)


def test_payments_across_shards_are_work_for_two_lanes() -> None:
    across = ALONE._replace(cross_share=1.0)

    assert scaling.carried(8, COSTS, across) == pytest.approx(scaling.carried(8, COSTS, ALONE) / 2)
    assert scaling.carried(1, COSTS, across) == scaling.carried(1, COSTS, ALONE)
    assert Wanted().share_across(10) == pytest.approx(0.9)


def test_buckets_do_not_divide_evenly_among_a_thousand_shards() -> None:
    assert Wanted().unevenness(1) == 1
    assert Wanted().unevenness(512) == 1
    assert Wanted().unevenness(1_000) == pytest.approx(2 / 1.024)
    assert Wanted(regions=10).unevenness(1_000) == pytest.approx(11 / 10.24)


def test_small_messages_of_many_gateways_take_a_lane_s_core() -> None:
    of_four = Wanted(cross_share=0.0, gateways_per_lane=4)

    assert scaling.carried(64, COSTS, Wanted(cross_share=0.0)) < scaling.carried(64, COSTS, of_four)
    assert scaling.processor_use(10_000, 100, 1, COSTS, Wanted()) == pytest.approx(0.34)
    # Four take in 4,000 and give out 400 messages in a second, one 1,000 and 100.
    assert scaling.processor_use(10_000, 100, 4, COSTS, Wanted()) == pytest.approx(
        0.34 + 3_300 * 7.5e-6
    )


@pytest.mark.parametrize("wanted", [ALONE, Wanted(), Wanted(stream_share=0.8, cross_share=0.1)])
@pytest.mark.parametrize("rate", [100, 20_000, 300_000])
def test_the_shards_for_a_rate_are_enough_and_one_less_is_not(rate: float, wanted: Wanted) -> None:
    enough = scaling.shards_for(rate, COSTS, wanted)

    assert scaling.carried(enough, COSTS, wanted) >= rate
    assert enough == 1 or scaling.carried(enough - 1, COSTS, wanted) < rate


def test_a_plan_adds_up() -> None:
    sizes = ALONE._replace(machine_cores=4, wal_bytes=3_800.0, journal_bytes=1_400.0)
    found = scaling.plan(1_000, 1, COSTS, sizes)

    assert found.gateways == 1
    assert found.wal_mb_per_second == pytest.approx(3.8)
    assert found.wal_gb_per_day == pytest.approx(328.32)
    assert found.journal_gb_per_day == pytest.approx(120.96)
    # A gateway, a processor, a session of Postgres, and a trace of Redis.
    assert found.cores == pytest.approx(3 + 1_000 * 0.5e-6 / 0.6)
    assert found.machines == 2
    assert (found.streams, found.clearing_accounts, found.legs_per_second) == (1, 0, 0)


def test_streams_are_cheaper_for_gateways_and_the_same_for_lanes() -> None:
    unary = scaling.plan(20_000, 4, COSTS, ALONE)
    stream = scaling.plan(20_000, 4, COSTS, ALONE._replace(stream_share=1.0))

    assert (unary.gateways, stream.gateways) == (3, 1)
    assert unary.lane_rate == stream.lane_rate


# The command.


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "latest.json"
    path.write_text(json.dumps(MEASURED))
    return path


def test_the_command_answers_in_figures(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = capacity.main(["--results", str(written), "--rate", "50000", "--shards", "10", "--json"])

    found = json.loads(capsys.readouterr().out)
    assert code == 0
    assert found["plans"][0]["shards"] == 10
    assert found["plans"][1]["rate"] == 50_000
    assert {line["name"] for line in found["fit"]} == {"unary", "stream"}


def test_the_command_answers_in_tables_and_says_what_is_assumed(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert capacity.main(["--results", str(written), "--rate", "50000"]) == 0

    shown = capsys.readouterr().out
    assert "| gateways, a core each |" in shown
    assert "Scaling over shards is an assumption" in shown


def test_the_command_says_what_it_lacks(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert capacity.main(["--results", str(tmp_path / "none.json")]) == 2
    assert "`make bench` writes it" in capsys.readouterr().err
    written.write_text(json.dumps(results(unary=scenario(1, 1))))
    assert capacity.main(["--results", str(written)]) == 2
    assert "has no stream" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--stream-share=1.1", "--cross-share=-1", "--utilization=0"])
def test_the_command_refuses_what_is_no_share(option: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        capacity.main([option])


def test_every_assumption_is_an_option_with_its_meaning() -> None:
    assert capacity.HELP.keys() == set(Wanted._fields)
    assert "--rate 20000" in capacity.parser().format_help()


# The page.


def test_the_page_has_a_place_for_every_section(tmp_path: Path) -> None:
    copy = tmp_path / "performance.md"
    shutil.copy(ROOT / page.PAGE, copy)
    made = capacity.sections(MEASURED)

    page.fill(copy, made)

    text = copy.read_text()
    assert {name: page.section_of(text, name) for name in made} == made
    assert "| `unary` | 8,000 | 1.50 |" in text


def test_the_page_shows_the_committed_results() -> None:
    committed = subprocess.run(
        ["git", "ls-files", "--", str(capacity.RESULTS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    ).stdout.strip()
    text = (ROOT / page.PAGE).read_text()
    if not committed:
        assert "fills this in" in page.section_of(text, "results")
        return
    made = capacity.sections(json.loads((ROOT / committed).read_text()))

    # What is not so: python -m benchmarks.capacity --markdown
    assert {name: page.section_of(text, name) for name in made} == made

"""The group of several shards as it runs: every load and accident once, short, on a real stack."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from benchmarks.shards import city, group, table
from benchmarks.shards.city import City
from benchmarks.wanted import Lengths, Wanted
from deploy.local import seed

SMALL: Final = seed.Seed(payers=300, merchants=6)
SHORT: Final = Lengths(
    *(1.0, 1.0, 1.0, 1, 1, (2,)),
    knee_step=0,
    knee_held=1,
    log_megabytes=16,
    killed=5,
    takeovers=2,
    moves=1,
)
LOADS: Final = {load.name for pair in table.PAIRS for load in pair} | {table.KILLED.name}
FIGURES: Final = {"rate", "ratio", "p50_ms", "p99_ms", "p999_ms", "max_ms", "cpu_us", "errors"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("city")


@pytest.fixture(scope="module")
def running(place: Path) -> Iterator[City]:
    with city.running(place, SMALL, {}, SHORT.log_megabytes, lambda _: None) as found:
        yield found


@pytest.fixture(scope="module")
def heads(running: City) -> list[int]:
    """The newest row of each shard's journal before anything was measured."""
    return running.heads()


@pytest.fixture(scope="module")
def measured(running: City, heads: list[int], place: Path) -> dict[str, Any]:
    assert min(heads) > 0
    wanted = Wanted([], place, lengths=SHORT, shards=table.NAMES)
    return group.Group(running, wanted, lambda _: None).measure()


def test_every_load_has_the_figures_that_were_agreed_on(measured: dict[str, Any]) -> None:
    assert measured["scenarios"].keys() == LOADS
    for name, one in measured["scenarios"].items():
        assert one.keys() >= FIGURES, name
        assert one["done"] > 0, name
        assert one["errors"] == 0, (name, one["rounds"][0]["error_kinds"])
        assert one["cpu_us"]["gateway"] > 0, name
    for pair in table.PAIRS:
        second = measured["scenarios"][pair.second.name]
        assert second["of"] == pair.first.name
        assert second["ratio"] > 0


def test_all_ledgers_and_the_clients_history_agree(measured: dict[str, Any]) -> None:
    assert measured["verify"]["ok"] is True
    assert measured["history"]["problems"] == []
    assert measured["history"]["answers"] > 100


def test_money_that_crosses_shards_is_counted_when_it_has_arrived(
    measured: dict[str, Any],
) -> None:
    one = measured["scenarios"]["cross_shard"]["rounds"][0]

    assert one["answered"]["done"] > 0
    assert one["p50_ms"] > 0
    assert one["in_flight_at_end"] >= 0


def test_repeats_reach_neither_a_lane_nor_a_database(measured: dict[str, Any]) -> None:
    one = measured["scenarios"]["replay_redis"]

    assert one["statements"] == 0, one["rounds"][0]["statement_kinds"]
    assert one["lane_commands"] == 0
    assert one["from_cache"] >= one["done"]


def test_standbys_answer_reads_while_they_are_there(measured: dict[str, Any]) -> None:
    assert measured["scenarios"]["reads_replica"]["replica_share"] > 0.9
    assert measured["scenarios"]["reads_primary"]["replica_share"] == 0


def test_redis_was_away_and_came_back_while_calls_were_answered(measured: dict[str, Any]) -> None:
    [one] = measured["scenarios"]["redis_killed"]["rounds"]

    assert 0 < one["killed_at"] < one["redis_back_at"] < SHORT.killed + 1
    assert one["normal_p99_ms"] > 0


def test_what_no_one_answered_for_a_while_is_measured(measured: dict[str, Any]) -> None:
    takeover, move = measured["takeover"], measured["bucket_move"]

    assert len(takeover["gaps_ms"]) == SHORT.takeovers
    assert 0 < takeover["p50_ms"] <= takeover["p95_ms"] <= takeover["max_ms"]
    assert takeover["errors"] == 0, takeover["error_kinds"]
    assert move["pause_ms"] > 0
    assert move["errors"] == 0, move["error_kinds"]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("doubled", "duplicate: request "),
        ("lost", "lost: request req_lost"),
        ("untold", "is stored, nobody was told"),
    ],
)
def test_a_payment_that_is_doubled_lost_or_untold_is_named(
    running: City,
    heads: list[int],
    measured: dict[str, Any],
    place: Path,
    how: str,
    said: str,
) -> None:
    assert measured["history"]["ok"]

    histories = _altered(sorted(place.glob("history-*.tsv")), how)
    found = running.check(histories, heads)

    assert not found["ok"]
    assert any(said in problem for problem in found["problems"]), found["problems"]
    assert found["problem_count"] < 10


def _altered(histories: list[Path], how: str) -> list[Path]:
    """Return copies of histories of which one says something else than was told."""
    chosen = next(path for path in histories if path.stat().st_size)
    first, *others = chosen.read_text().splitlines(keepends=True)
    _, request_id, payment_id, *_ = first.split("\t")
    if how == "untold":
        others = [line for line in others if request_id not in line]
    elif how == "lost":
        others += [first, first.replace(request_id, "req_lost").replace(payment_id, "pay_lost")]
    else:
        others += [first, first.replace(payment_id, "pay_other")]
    copy = chosen.with_suffix(f".{how}")
    copy.write_text("".join(others))
    return [copy if path == chosen else path for path in histories]

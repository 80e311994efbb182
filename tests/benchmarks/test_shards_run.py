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
    *(0.5, 0.5, 0.5, 1, 1, (2,)),
    knee_step=0,
    knee_held=1,
    log_megabytes=16,
    killed=3,
    takeovers=1,
    moves=1,
)
LOADS: Final = {load.name for pair in table.PAIRS for load in pair} | {table.KILLED.name}
LATE_SHARE_MAX: Final = 0.1
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
    assert one["from_cache"] > 0
    assert one["lane_commands_answered"] == 0
    # Where a busy machine lets Redis answer too late, the lane is asked.
    assert one["redis_unanswered"] <= LATE_SHARE_MAX * one["from_cache"]


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


def test_payments_that_are_doubled_lost_or_untold_are_named(
    running: City, heads: list[int], measured: dict[str, Any], place: Path
) -> None:
    assert measured["history"]["ok"]

    histories = _altered(sorted(place.glob("history-*.tsv")))
    found = running.check(histories, heads)

    assert not found["ok"]
    assert found["problem_count"] < 10
    for said in ("duplicate: request ", "lost: request req_lost", "is stored, nobody was told"):
        assert any(said in problem for problem in found["problems"]), (said, found["problems"])


def _altered(histories: list[Path]) -> list[Path]:
    """Return the histories with one of them changed: it tells of two payments otherwise."""
    chosen = next(path for path in histories if path.stat().st_size)
    lines = chosen.read_text().splitlines(keepends=True)
    untold, doubled = lines[0], next(line for line in lines if line[:40] != lines[0][:40])
    _, request_id, payment_id, *_ = doubled.split("\t")
    told = [line for line in lines if untold.split("\t")[1] not in line]
    told.append(doubled.replace(payment_id, "pay_other"))
    told.append(doubled.replace(request_id, "req_lost").replace(payment_id, "pay_lost"))
    copy = chosen.with_suffix(".altered")
    copy.write_text("".join(told))
    return [copy if path == chosen else path for path in histories]

"""What the benchmark says of a goodput: enough of it, too little, or errors in it."""

from typing import Any

from benchmarks import overload, report
from benchmarks.scenarios import Scenario

CARRIED = {"knee": 1_000.0, "stream": 4_000.0}


def measured(shares: dict[str, float], error_kinds: dict[str, int]) -> dict[str, Any]:
    """Return what is found when such shares are carried."""
    offered: dict[str, float] = {}

    def once(scenario: Scenario, seconds: float, rate: float) -> dict[str, Any]:
        offered[scenario.name] = rate
        most = CARRIED["knee" if scenario.name == "overload_unary" else "stream"]
        return {
            "rate": shares[scenario.name] * most,
            "offered_per_second": rate,
            "errors": sum(error_kinds.values()),
            "error_kinds": error_kinds,
            "p50_ms": 1.0,
            "p99_ms": 2.0,
            "refused": 7,
            "others_cpu_share": 0.1,
            "refusals": {"p99_ms": 3.0},
        }

    found = overload.measure(once, CARRIED, 1.0, lambda _: None)
    assert offered == {"overload_unary": 1_300.0, "overload_stream": 40_000.0}
    return found


def test_enough_of_it_is_no_failure() -> None:
    found = measured({"overload_unary": 0.61, "overload_stream": 0.91}, {})

    assert overload.failures(found) == []
    assert found["overload_unary"]["goodput"] == 0.61


def test_too_little_of_it_is_one_by_name() -> None:
    found = measured({"overload_unary": 0.59, "overload_stream": 0.89}, {})

    unary, stream = overload.failures(found)
    assert unary.startswith("overload_unary: carried 59%")
    assert stream.startswith("overload_stream: carried 89%")


def test_an_error_is_one_however_much_was_carried() -> None:
    found = measured({"overload_unary": 1.0, "overload_stream": 1.0}, {"grpc-status 14: gone": 2})

    assert len(overload.failures(found)) == 2
    assert "2 errors; grpc-status 14: gone" in overload.failures(found)[0]


def test_nothing_offered_is_nothing_missed() -> None:
    assert overload.failures(None) == []
    assert report.overloads({"overload": None}) is None


def test_the_table_has_a_row_for_each() -> None:
    found = measured({"overload_unary": 0.61, "overload_stream": 0.91}, {})

    table = report.overloads({"overload": found})

    assert table is not None
    assert table.row_count == 2

"""Marks the tests that need the machine to themselves: they load it, or run many tests in turn.

`make test-alone` runs them, one after the other; the slice of the faults is in `make test` too.
"""

from typing import Final

import pytest

MARKER: Final = "alone"

FILES: Final = (
    "acceptance/test_faults_postgres.py",
    "acceptance/test_faults_servers.py",
    "acceptance/test_faults_takeover.py",
    "acceptance/test_held_lane.py",
    "acceptance/test_lanes_handover.py",
    "acceptance/test_lanes_takeover.py",
    "acceptance/test_leaks.py",
    "acceptance/test_moves.py",
    "acceptance/test_overload.py",
    "acceptance/test_shards.py",
    "acceptance/test_stop.py",
    "acceptance/test_upgrade.py",
    "benchmarks/test_command.py",
    "benchmarks/test_mutant.py",
    "benchmarks/test_overload.py",
    "benchmarks/test_reporting.py",
    "benchmarks/test_shards_run.py",
    "cache/test_stack.py",
    "cache/test_tick.py",
    "consumers/test_crashes.py",
    "consumers/test_kafka.py",
    "docs/test_walk.py",
    "faults/events/test_slice.py",
    "faults/test_slice.py",
    "intake/test_accidents.py",
    "kafka/test_apache.py",
    "kafka/test_stack.py",
    "loadtest/test_failures.py",
    "loadtest/test_scenarios.py",
    "loadtest/test_ui.py",
    "local/test_failover.py",
    "local/test_synchronous.py",
    "mutants/test_mutants.py",
    "observability/test_accidents.py",
    "services/notifications/test_crashes.py",
    "services/reporting/test_rebuild.py",
    "services/webhooks/test_crashes.py",
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", f"{MARKER}: needs the machine to itself")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in one of the files."""
    for item in items:
        if item.path.as_posix().endswith(FILES):
            item.add_marker(MARKER)

"""Which files run when: `--phase short` and `faults` are `make test`, the others `make test-alone`.

In the first and in LONG several files run at a time, the longest first, so that nobody waits for
them at the end; xdist keeps that order with --no-loadscope-reorder. What other phases run is not
even imported. Without --phase everything is run.
"""

import functools
from pathlib import Path
from typing import Final

import pytest

SHORT: Final = "short"
"""All that no other phase has. Of these files, those that are to begin with."""

LONG: Final = "long"
"""They take long and mostly wait: for kills, timeouts and stacks of their own."""

ALONE: Final = "alone"
"""They load the machine, or assert rates and pauses that neighbours change."""

FAULTS: Final = "faults"
"""Slices of what `make faults` and `make faults-events` do, which have the machine too."""

FILES: Final = {
    SHORT: (
        "consumers/test_dlq_command.py",
        "services/webhooks/test_stack.py",
        "local/test_stack.py",
        "storage/test_verify.py",
        "services/reporting/test_projection.py",
        "intake/test_records.py",
        "lane/test_legs.py",
        "services/notifications/test_stack.py",
        "lane/test_housekeeping.py",
        "storage/test_archive.py",
        "gateway/test_wire.py",
        "observability/test_alerts.py",
        "compiled/test_compile.py",
        "docs/test_readme.py",
        "gateway/test_workers.py",
        "local/test_shards.py",
        "storage/test_replicas.py",
        "intake/test_operations.py",
        "services/reporting/test_end_to_end.py",
        "hosting/test_buckets.py",
    ),
    LONG: (
        "mutants/test_mutants.py",
        "loadtest/test_failures.py",
        "acceptance/test_lanes_takeover.py",
        "consumers/test_kafka.py",
        "intake/test_accidents.py",
        "consumers/test_crashes.py",
        "observability/test_accidents.py",
        "docs/test_walk.py",
        "acceptance/test_moves.py",
        "kafka/test_apache.py",
        "acceptance/test_lanes_handover.py",
        "acceptance/test_shards.py",
        "local/test_synchronous.py",
        "acceptance/test_stop.py",
        "acceptance/test_faults_takeover.py",
        "kafka/test_stack.py",
        "acceptance/test_upgrade.py",
        "local/test_failover.py",
        "services/webhooks/test_crashes.py",
        "acceptance/test_faults_postgres.py",
        "acceptance/test_leaks.py",
        "benchmarks/test_reporting.py",
        "services/notifications/test_crashes.py",
        "services/reporting/test_rebuild.py",
    ),
    ALONE: (
        "acceptance/test_faults_servers.py",
        "acceptance/test_held_lane.py",
        "acceptance/test_overload.py",
        "benchmarks/test_command.py",
        "benchmarks/test_mutant.py",
        "benchmarks/test_shards_run.py",
        "loadtest/test_scenarios.py",
        "loadtest/test_ui.py",
        "cache/test_stack.py",
        "cache/test_tick.py",
    ),
    FAULTS: (
        "faults/test_slice.py",
        "faults/events/test_slice.py",
    ),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--phase`."""
    parser.addoption("--phase", choices=[*FILES], help="run the files of one phase")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what another phase runs; a file that is named on the command line stays."""
    wanted = config.getoption("phase")
    if wanted is None or collection_path.is_dir():
        return None
    return phase(collection_path) != wanted or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""
    items.sort(key=lambda item: _place(item.path))


def phase(path: Path) -> str:
    """Return the phase that runs a file."""
    return next((name for name, files in FILES.items() if _is_one(path, files)), SHORT)


def _is_one(path: Path, files: tuple[str, ...]) -> bool:
    return path.as_posix().endswith(files)


@functools.cache
def _place(path: Path) -> int:
    files = FILES[phase(path)]
    return next((n for n, file in enumerate(files) if _is_one(path, (file,))), len(files))

"""Every protection is taken away once, and a test must turn red: else nobody would notice.

Two runs at a time, each a pytest of its own; the tests that kill must pass on the real thing.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from typing import Final, NamedTuple
from xml.etree import ElementTree

import pytest

from tests.engines import Lender
from tests.kafka import brokers
from tests.mutants import table

RUNS_AT_ONCE: Final = 2
RUN_SECONDS_MAX: Final = 60
UNALTERED_SECONDS_MAX: Final = 240
"""For the tests of all mutants together, beside another run."""

TEST_SECONDS_MAX: Final = 15
UNALTERED: Final = "as it is"
TARGETS: Final = sorted({killer for mutant in table.MUTANTS.values() for killer in mutant.killers})


class Outcome(NamedTuple):
    """What a run of pytest counted, and what it printed."""

    code: int
    tests: int
    failures: int
    errors: int
    shown: str


def run(
    targets: tuple[str, ...], mutant: str, report: Path, given: Callable[[], Mapping[str, str]]
) -> Outcome:
    """Run once, and once more after an error: another stack may have taken a port meanwhile."""
    outcome = run_once(targets, mutant, report, given())
    return run_once(targets, mutant, report, given()) if outcome.errors else outcome


def run_once(
    targets: tuple[str, ...], mutant: str, report: Path, given: Mapping[str, str]
) -> Outcome:
    """Run with `given` in the environment."""
    options = ["-x", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}"]
    environment = {**os.environ, **given}
    if mutant:
        environment["TENDER_MUTANT"] = mutant
        options += ["-p", "tests.plugins.mutant", "-o", f"timeout={TEST_SECONDS_MAX}"]
    report.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *targets, *options],
        cwd=table.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS_MAX if mutant else UNALTERED_SECONDS_MAX,
        check=False,
    )
    shown = done.stdout + done.stderr
    if not report.exists():
        return Outcome(done.returncode, 0, 0, 0, shown)
    [suite] = ElementTree.parse(report).getroot()
    tests, failures, errors = (int(suite.attrib[n]) for n in ("tests", "failures", "errors"))
    return Outcome(done.returncode, tests, failures, errors, shown)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """Tell of one Apache Kafka for all: it starts more slowly than a mutant dies."""
    with brokers.shared(tmp_path_factory.mktemp("kafka")) as running:
        yield {brokers.GIVEN: running.bootstrap} if running.is_durable else {}


@pytest.fixture(scope="module")
def lenders(tmp_path_factory: pytest.TempPathFactory) -> Iterator["SimpleQueue[Lender]"]:
    """Engines for each run under way, taken by who needs them and put back."""
    free: SimpleQueue[Lender] = SimpleQueue()
    with ExitStack() as running:
        for number in range(RUNS_AT_ONCE):
            data = tmp_path_factory.mktemp(f"engines{number}")
            free.put(running.enter_context(Lender.running(data)))
        yield free


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    lenders: "SimpleQueue[Lender]",
    broker: Mapping[str, str],
) -> Iterator[dict[str, "Future[Outcome]"]]:
    """Every run that this session asks for, under way or done."""
    folder = tmp_path_factory.mktemp("mutants")
    asked = [item.name for item in request.session.items if item.path == request.path]

    def run_altered(killers: tuple[str, ...], mutant: str, report: Path) -> Outcome:
        lender = lenders.get()
        try:
            return run(killers, mutant, report, lambda: {**lender.environment(), **broker})
        finally:
            lenders.put(lender)

    with ThreadPoolExecutor(RUNS_AT_ONCE) as pool:
        report = folder / "unaltered.xml"
        started = {UNALTERED: pool.submit(run, tuple(TARGETS), "", report, lambda: broker)}
        for name, mutant in table.MUTANTS.items():
            if any(f"[{name}]" in one for one in asked):
                report = folder / f"{name}.xml"
                started[name] = pool.submit(run_altered, mutant.killers, name, report)
        yield started


@pytest.mark.parametrize("name", table.MUTANTS)
def test_the_patch_of_a_mutant_fits_its_file(name: str) -> None:
    mutant = table.MUTANTS[name]

    altered = mutant.altered()

    assert altered != mutant.path.read_text()
    if mutant.file.endswith(".py"):
        compile(altered, mutant.file, "exec")


@pytest.mark.timeout(2 * UNALTERED_SECONDS_MAX)
def test_the_tests_that_kill_pass_on_the_real_thing(
    outcomes: dict[str, "Future[Outcome]"],
) -> None:
    outcome = outcomes[UNALTERED].result()

    assert outcome.code == 0, outcome.shown
    assert outcome.tests >= len(TARGETS)


@pytest.mark.parametrize("name", table.MUTANTS)
def test_a_mutant_turns_a_test_red(name: str, outcomes: dict[str, "Future[Outcome]"]) -> None:
    mutant = table.MUTANTS[name]

    outcome = outcomes[name].result()

    # An error would be a run that never got as far as to doubt.
    assert (outcome.code, outcome.failures, outcome.errors) == (1, 1, 0), (
        f"{mutant.sentence}\n{outcome.shown}"
    )

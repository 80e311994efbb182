"""A lane held at 1,000 per second gets more: it goes on at its pace, and the rest hears so at once.

What is asserted are ratios to that pace and bounds far above what a calm machine shows.
"""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import overload, rounds, system
from benchmarks.measure import processes
from benchmarks.scenarios import Scenario
from benchmarks.system import System
from deploy.local import seed
from deploy.local.options import StackOptions
from tests.acceptance.conftest import gauge, measured
from tests.acceptance.held_processor import COMMANDS_PER_SECOND

GOODPUT_MIN = 0.85
ACCEPTED_SECONDS_MAX = 3.0
"""p99 of what is accepted: the lane lets 1,700 authorizations wait, and callers give it 10 s."""
REFUSED_MS_MAX = 250.0
GROWTH_BYTES_MAX = 40 << 20
CALM_RATE = COMMANDS_PER_SECOND / 2
CALM_P99_MS_MAX = 250.0
NORMAL_AGAIN_SECONDS_MAX = 5.0
SMALL = seed.Seed(payers=2_000, merchants=20)


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A stack whose lane is held, and whose books are checked at the end."""
    options = StackOptions(
        data_dir=Path(tmp_path_factory.mktemp("held")),
        replicas=0,
        processor_module="tests.acceptance.held_processor",
    )
    with system.running(options, SMALL, lambda _: None) as running:
        # A lane that has just begun is still to learn its pace.
        singles(running, rate=3 * COMMANDS_PER_SECOND, seconds=2.0)
        yield running
        assert running.verify()["ok"]
        histories = sorted(running.folder.glob("*.tsv"))
        assert running.check(histories, 0)["problems"] == []


class Offered:
    """One load, and the private memory of gateway and processor while it lasted."""

    def __init__(
        self,
        held: System,
        scenario: Scenario,
        rate: float,
        *,
        warm: float = 2.0,
        seconds: float = 5.0,
    ) -> None:
        self._pids = [held.stack.child(name).pid for name in ("gateway", "processor")]
        self.memory: list[int] = []
        self.figures: dict[str, Any] = rounds.run(
            held,
            scenario,
            history=held.folder / f"{len(list(held.folder.glob('*.tsv')))}.tsv",
            warm_seconds=warm,
            seconds=seconds,
            seed=7 + len(list(held.folder.glob("*.tsv"))),
            rate=rate,
            say=lambda _: None,
            on_event=self._note,
        )
        self.goodput = self.figures["rate"] / COMMANDS_PER_SECOND
        shown = ("p50_ms", "p99_ms", "refused", "refusals", "errors")
        measured(
            f"held lane, {scenario.name}: {rate:,.0f}/s offered, goodput {self.goodput:.2f},"
            f" { ({name: self.figures[name] for name in shown}) },"
            f" memory {(self.memory[-1] - self.memory[0]) / 1e6:+.1f} MB"
        )

    def _note(self, event: dict[str, Any]) -> None:
        if event["event"] == "tick":
            self.memory.append(
                sum(sum(processes.private_bytes(pid).values()) for pid in self._pids)
            )


singles = functools.partial(Offered, scenario=overload.UNARY.scenario)


@pytest.mark.parametrize("times", [3, 8])
def test_what_is_too_much_is_refused_at_once_and_the_rest_carried_out(
    held: System, times: int
) -> None:
    offered = singles(held, rate=times * COMMANDS_PER_SECOND)
    figures = offered.figures

    assert figures["error_kinds"] == {}
    assert offered.goodput >= GOODPUT_MIN
    assert figures["p99_ms"] <= ACCEPTED_SECONDS_MAX * 1_000
    assert figures["refused"] > COMMANDS_PER_SECOND
    assert figures["refusals"]["p99_ms"] <= REFUSED_MS_MAX
    assert offered.memory[-1] - offered.memory[0] < GROWTH_BYTES_MAX


def test_afterwards_all_is_as_before_within_seconds(held: System) -> None:
    singles(held, rate=8 * COMMANDS_PER_SECOND)

    calm = singles(held, rate=CALM_RATE, warm=NORMAL_AGAIN_SECONDS_MAX - 1)

    assert calm.figures["error_kinds"] == {}
    assert calm.figures["refused"] == 0
    assert calm.figures["p99_ms"] <= CALM_P99_MS_MAX
    assert gauge(held.endpoints.gateway_metrics, "tender_gateway_in_flight") == 0


def test_streams_are_slowed_down_and_refused_nothing(held: System) -> None:
    offered = Offered(held, overload.STREAM.scenario, rate=8 * COMMANDS_PER_SECOND)

    assert offered.figures["error_kinds"] == {}
    assert offered.figures["refused"] == 0
    assert offered.goodput >= GOODPUT_MIN
    assert offered.memory[-1] - offered.memory[0] < GROWTH_BYTES_MAX

"""A slice of `make faults`: every kind of fault at least once, and nothing is lost or doubled."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.stack import Stack
from tests.faults.__main__ import whole
from tests.faults.plan import Kind, plan
from tests.faults.run import run
from tests.plugins.figures import measured

FAULTS = 10
BACK_SECONDS_MAX = 20.0
"""Far above what `make faults` asks for on a machine of its own: here other tests run beside it."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(whole(Path(tmp_path_factory.mktemp("faults")))) as stack:
        stack.supervise_in_background()
        yield stack


@pytest.mark.timeout(400)
async def test_ten_faults_lose_and_double_nothing(stack: Stack) -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    said: list[str] = []

    outcome = await run(stack, plan(seed, FAULTS), seed, said.append)

    measured(f"seed {seed}: {outcome.line()}")
    assert {done.kind for done in outcome.faults} == set(Kind)
    assert (outcome.lost, outcome.doubled, outcome.breaches) == ([], [], []), seed
    assert outcome.in_flight == 0
    assert max(outcome.takeovers + outcome.promotions) < BACK_SECONDS_MAX, said

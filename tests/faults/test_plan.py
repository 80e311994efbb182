"""What a run of faults measures by, and that a seed gives the same run again."""

import math
from collections import Counter

import pytest

from tests.faults.plan import EACH_MIN, Kind, plan
from tests.faults.probe import longest_gap, percentile


def test_every_kind_comes_often_enough_and_a_seed_gives_the_same_again() -> None:
    chosen = plan(7, 60)

    assert chosen == plan(7, 60)
    assert chosen != plan(8, 60)
    assert min(Counter(chosen).values()) >= EACH_MIN
    assert set(chosen) == set(Kind)


@pytest.mark.parametrize(
    ("since", "until", "gap"),
    [
        (2.5, 3.5, 1.0),  # Between 2 and 3, and 3 and 4.
        (4.5, 8.0, 5.0),  # From 4 to 9, in which it lies.
        (0.5, 1.5, 1.0),  # What was before it began is not known.
        (9.5, 10.0, math.inf),  # Never again.
    ],
)
def test_a_gap_is_from_the_last_answer_before_to_the_first_one_after(
    since: float, until: float, gap: float
) -> None:
    assert longest_gap([1.0, 2.0, 3.0, 4.0, 9.0], since, until) == gap


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.95) == 3.0
    assert percentile([float(number) for number in range(1, 21)], 0.95) == 19.0
    assert percentile([], 0.95) == 0.0

"""The judge of what was sent sees what is missing, invented, repeated or out of order."""

import pytest

from tests.faults.events import sends
from tests.faults.events.sends import Sends


def test_what_came_is_compared_by_id_and_repetitions_are_counted() -> None:
    found = sends.compare("webhooks", ["a", "b", "c"], ["c", "a", "a", "x", "a"])

    assert (found.wanted, found.missing, found.invented) == (3, ["b"], ["x"])
    assert found.duplicates == 2


@pytest.mark.parametrize(
    ("came", "disorder"),
    [
        (["a", "b", "c"], []),
        (["a", "a", "b", "c", "c"], []),
        (["a", "c"], []),
        (["b", "a", "c"], ["b", "a"]),
        (["a", "b", "a", "c"], ["a", "c"]),
        (["a", "b", "c", "x"], ["x"]),
    ],
)
def test_a_repetition_has_to_follow_its_first(came: list[str], disorder: list[str]) -> None:
    assert sends.disorder(["a", "b", "c"], came) == disorder


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (Sends("mails", wanted=5, crashes=2, crashes_after=1, duplicates=2), ""),
        (Sends("mails", wanted=5, crashes=2, crashes_after=1, duplicates=3), "3 repeated by 2"),
        (Sends("mails", wanted=5, crashes=2, crashes_after=1), "none repeated"),
        (Sends("mails", wanted=4), "only 4"),
        (Sends("mails", wanted=5, missing=["a"]), "never came"),
        (Sends("mails", wanted=5, invented=["a"]), "of nothing that happened"),
        (Sends("mails", wanted=5, reordered=["a"]), "out of order"),
    ],
)
def test_each_shortcoming_is_said(found: Sends, says: str) -> None:
    shortcomings = found.shortcomings(5)

    assert len(shortcomings) == bool(says)
    assert says in "".join(shortcomings)

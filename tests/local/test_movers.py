"""What the mover of buckets makes of what it is asked for."""

import pytest

from deploy.local.commands.movers import ranges, runs
from deploy.local.commands.moving import Owned, Part

HERE, GONE = Owned("OWNED", ""), Owned("MOVED", "s2")


def test_buckets_and_ranges_of_them_are_read_in_their_order() -> None:
    assert ranges(["10-20", "3", "1023"]) == [(3, 3), (10, 20), (1023, 1023)]


@pytest.mark.parametrize("text", ["", "x", "1-", "1024", "-1", "5-4", "1-2-3"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no range"):
        ranges([text])


def test_buckets_that_have_gone_already_are_told_from_those_to_move() -> None:
    there = {1: HERE, 2: GONE, 3: GONE, 4: HERE, 5: HERE}

    assert runs(Part("s1", 1, 5), there) == [
        Part("s1", 1, 1),
        Part("s1", 2, 3),
        Part("s1", 4, 5),
    ]

"""Who has which lane: even, steady, and the same for all who see the same."""

import math
import random

from hypothesis import given
from hypothesis import strategies as st

from processor import sharing
from processor.sharing import Peer

NAMES = st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=8, unique=True)
SHARDS = st.text(min_size=1, max_size=12)
STEADY = 10.0
NOW = 1_000.0


def heard(*names: str, since: float = 0.0) -> list[Peer]:
    return [Peer(name, {}, since) for name in names]


@given(NAMES, SHARDS, st.randoms(use_true_random=False))
def test_all_who_see_the_same_processors_prefer_the_same(
    names: list[str], shard: str, dice: random.Random
) -> None:
    shuffled = list(names)
    dice.shuffle(shuffled)

    assert sharing.preferred(shard, names) == sharing.preferred(shard, shuffled)
    assert sharing.preferred(shard, names) in names


@given(NAMES, SHARDS)
def test_one_that_goes_moves_its_own_lanes_and_no_other(names: list[str], shard: str) -> None:
    best = sharing.preferred(shard, names)

    for gone in names:
        left = [name for name in names if name != gone]
        if left and gone != best:
            assert sharing.preferred(shard, left) == best


def test_lanes_are_spread_over_the_processors() -> None:
    names = ["processor", "processor2", "processor3", "processor4"]
    shards = [f"s{number}" for number in range(400)]

    counts = [[sharing.preferred(each, names) for each in shards].count(name) for name in names]

    assert min(counts) > 70
    assert max(counts) < 130


@given(NAMES, SHARDS)
def test_of_all_who_see_a_free_lane_exactly_one_opens_it_at_once(
    names: list[str], shard: str
) -> None:
    opening = [
        name
        for name in names
        if sharing.should_open(shard, name, heard(*(set(names) - {name})), 0.0)
    ]

    assert opening == [sharing.preferred(shard, names)]


@given(NAMES, SHARDS)
def test_a_lane_that_is_orphaned_is_opened_by_anybody(names: list[str], shard: str) -> None:
    for name in names:
        others = heard(*(set(names) - {name}))
        assert sharing.should_open(shard, name, others, sharing.ORPHAN_SECONDS)


@given(NAMES, SHARDS, st.lists(st.floats(0, 2 * STEADY), min_size=8, max_size=8))
def test_a_lane_goes_only_to_one_that_opens_it_at_once_and_keeps_it(
    names: list[str], shard: str, ages: list[float]
) -> None:
    peers = {
        name: Peer(name, {}, NOW - age) for name, age in zip(names, ages[: len(names)], strict=True)
    }

    def others(name: str) -> list[Peer]:
        return [peer for peer in peers.values() if peer.name != name]

    for name in names:
        if not sharing.should_hand_over(shard, name, others(name), NOW, STEADY):
            continue
        taker = sharing.preferred(shard, names)
        assert taker != name
        assert NOW - peers[taker].steady_since >= STEADY
        assert sharing.should_open(shard, taker, others(taker), 0.0)
        assert not sharing.should_hand_over(shard, taker, others(taker), NOW + 1e6, STEADY)


@given(NAMES, SHARDS)
def test_nobody_counts_on_one_that_is_leaving(names: list[str], shard: str) -> None:
    me = "me-and-only-me-whatever-the-names"
    leaving = [Peer(name, {}, 0.0, is_leaving=True) for name in names]

    assert sharing.should_open(shard, me, leaving, 0.0)
    assert not sharing.should_hand_over(shard, me, leaving, NOW, STEADY)


def test_a_lane_is_not_handed_to_one_that_has_only_just_come() -> None:
    other = next(
        name for name in map(str, range(100)) if sharing.preferred("s1", ("me", name)) == name
    )

    def handed(age: float) -> bool:
        return sharing.should_hand_over("s1", "me", heard(other, since=NOW - age), NOW, STEADY)

    assert not handed(STEADY - 0.1)
    assert handed(STEADY)


def test_of_several_that_tell_of_a_lane_the_highest_epoch_holds_it() -> None:
    old, new = Peer("old", {"s1": 4}, 0.0), Peer("new", {"s1": 5}, 0.0)

    assert sharing.holder("s1", [old, new]) is new
    assert sharing.holder("s2", [old, new]) is None


def test_without_a_lease_nobody_evicts_too_soon_or_in_return() -> None:
    assert sharing.should_evict(sharing.EVICT_SECONDS, math.inf)
    assert not sharing.should_evict(sharing.EVICT_SECONDS - 0.01, math.inf)
    assert not sharing.should_evict(60.0, sharing.LOST_SECONDS - 1)

"""What is in hand: the one to blame is found, all others are done once, and order is kept."""

import math
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as some

from processor.consumers.delivery import Delivery, Partition, Readable
from processor.consumers.hand import Hand, Item, positions

TRIES_MAX = 3


def item(partition: int, offset: int) -> Item[None]:
    place = Partition("payments", partition)
    delivery = Delivery(place, offset, None, b"", (), 0.0)
    return Item(delivery, Readable(f"{partition}.{offset}", None, 0.0))


def items(count: int, partition: int = 0) -> list[Item[None]]:
    return [item(partition, offset) for offset in range(count)]


def place(number: int) -> Partition:
    return Partition("payments", number)


def offsets(portion: Sequence[Item[None]]) -> list[int]:
    return [one.delivery.offset for one in portion]


def work_off(hand: Hand[None], bad: set[Item[None]]) -> tuple[list[Item[None]], int]:
    """Try portions as the loop does; return what came to an end, in its order, and the tries."""
    ended: list[Item[None]] = []
    now, tries = 0.0, 0
    while len(hand):
        hand.release(now)
        while hand.is_ready:
            portion = hand.portion()
            tries += 1
            if bad.isdisjoint(portion):
                hand.done(portion)
                ended += portion
                continue
            blamed = hand.failed(portion)
            if blamed is None:
                continue
            blamed.attempts += 1
            if blamed.attempts < TRIES_MAX:
                hand.hold(blamed.partition, now + 1.0)
            else:
                hand.done([blamed])
                ended.append(blamed)
        now += 1.0
    return ended, tries


def test_a_portion_is_what_came_first() -> None:
    hand: Hand[None] = Hand(portion_max=3)
    hand.add(items(5))

    portion = hand.portion()
    hand.done(portion)

    assert offsets(portion) == [0, 1, 2]
    assert offsets(hand.portion()) == [3, 4]


def test_the_one_to_blame_is_found_by_halves() -> None:
    hand: Hand[None] = Hand(portion_max=500)
    all_items = items(500)
    hand.add(all_items)

    _, tries = work_off(hand, {all_items[321]})

    # The halves, the tries of the one by itself, and what stood behind it.
    assert tries <= 2 * math.ceil(math.log2(500)) + TRIES_MAX + 3


def test_what_failed_by_itself_is_tried_by_itself() -> None:
    hand: Hand[None] = Hand(portion_max=10)
    three = items(3)
    three[1].attempts = 1
    hand.add(three)

    first = hand.portion()
    hand.done(first)

    assert offsets(first) == [0]
    assert offsets(hand.portion()) == [1]


def test_a_held_partition_waits_and_the_others_go_on() -> None:
    hand: Hand[None] = Hand(portion_max=10)
    hand.add([item(0, 0), item(1, 0), item(0, 1)])

    hand.hold(place(0), until=5.0)
    hand.add([item(0, 2)])

    assert [one.partition.number for one in hand.portion()] == [1]
    assert (hand.held, hand.next_release, len(hand)) == ({place(0)}, 5.0, 4)


def test_a_released_partition_goes_on_in_its_order() -> None:
    hand: Hand[None] = Hand(portion_max=10)
    hand.add(items(2))
    hand.hold(place(0), until=5.0)
    hand.add([item(0, 2)])

    hand.release(4.9)
    before = hand.portion()
    hand.release(5.0)

    assert before == []
    assert offsets(hand.portion()) == [0, 1, 2]


def test_what_is_of_others_now_is_dropped_held_or_not() -> None:
    hand: Hand[None] = Hand(portion_max=10)
    hand.add([item(0, 0), item(1, 0), item(2, 0)])
    hand.hold(place(0), until=5.0)

    hand.drop({place(0), place(1)})

    assert len(hand) == 1
    assert [one.partition for one in hand.portion()] == [place(2)]
    assert hand.held == set()


def test_positions_follow_the_last_of_each_partition() -> None:
    assert positions([item(0, 4), item(1, 9), item(0, 5)]) == {place(0): 6, place(1): 10}


@given(
    some.lists(some.integers(0, 3), min_size=1, max_size=60),
    some.sets(some.integers(0, 59), max_size=8),
    some.integers(1, 20),
)
def test_whatever_fails_all_come_to_an_end_once_and_in_order(
    partitions: list[int], bad_places: set[int], portion_max: int
) -> None:
    hand: Hand[None] = Hand(portion_max)
    counts = [0] * 4
    given_items: list[Item[None]] = []
    for partition in partitions:
        given_items.append(item(partition, counts[partition]))
        counts[partition] += 1
    bad = {given_items[at] for at in bad_places if at < len(given_items)}
    hand.add(given_items)

    ended, _ = work_off(hand, bad)

    assert len(ended) == len(given_items)
    assert {one.attempts for one in given_items if one not in bad} <= {0}
    assert {one.attempts for one in bad} <= {TRIES_MAX}
    for partition in range(4):
        mine = [one.delivery.offset for one in ended if one.partition.number == partition]
        assert mine == list(range(counts[partition]))

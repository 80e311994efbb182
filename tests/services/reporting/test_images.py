"""What an image of a payment changes, and what a late, repeated or lost one does."""

import itertools

import pytest

from services.reporting import images
from services.reporting.images import DAY_US, DayKey, Known, StateKey, Totals, Volume
from services.reporting.records import PaymentImage, Place, RefundImage

FIRST_DAY = 20_000


def at(day: int, hour: int = 12) -> int:
    return (FIRST_DAY + day) * DAY_US + hour * DAY_US // 24


def place(time: int, *, shard: str = "s1", incarnation: str = "a") -> Place:
    return Place(shard, incarnation, 1, time)


def payment(
    version: int,
    day: int,
    captured: int = 0,
    *,
    state: str = "PARTIALLY_CAPTURED",
    incarnation: str = "a",
    shard: str = "s1",
    hour: int = 12,
) -> PaymentImage:
    time = at(day, hour)
    return PaymentImage(
        *("pay", "dev", "mer", "acc", state, "", "MANUAL_MULTIPLE", "EUR"),
        *(1_000, captured, 0, 0, captured // 10, 0, "", "{}"),
        *(version, at(0), time, place(time, shard=shard, incarnation=incarnation)),
    )


def known_of(found: list[PaymentImage]) -> Known:
    known = None
    for image in found:
        known = images.take(known, image)
    assert known is not None
    return known


def captured_of(known: Known) -> dict[int, int]:
    """Return what was captured, by day."""
    totals = Totals()
    images.add(totals, known, 1)
    return {key.day - FIRST_DAY: it.captured for key, it in totals.volumes()}


LIFE = [
    payment(1, 0, 0, state="AUTHORIZED"),
    payment(2, 0, 100, hour=13),
    payment(3, 1, 300),
    payment(4, 1, 350, hour=13),
    payment(5, 3, 1_000, state="CAPTURED"),
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(5))))
def test_the_order_of_arrival_makes_no_difference(order: tuple[int, ...]) -> None:
    known = known_of([LIFE[n] for n in order])

    assert known == known_of(LIFE)
    assert captured_of(known) == {0: 100, 1: 250, 3: 650}


def test_a_repeated_image_changes_nothing() -> None:
    known = known_of(LIFE)

    for image in LIFE:
        assert images.take(known, image) is known


def test_one_that_is_missing_only_moves_what_it_brought_to_a_later_day() -> None:
    known = known_of([LIFE[0], LIFE[1], LIFE[4]])

    assert captured_of(known) == {0: 100, 3: 900}
    assert captured_of(images.take(images.take(known, LIFE[3]), LIFE[2])) == {
        0: 100,
        1: 250,
        3: 650,
    }


def test_what_was_lost_with_its_history_is_taken_back_by_what_followed_instead() -> None:
    known = known_of([*LIFE[:4], payment(3, 2, 120, incarnation="b")])

    assert known.image.captured == 120
    assert captured_of(known) == {0: 100, 2: 20}


def test_what_was_lost_changes_nothing_when_it_comes_afterwards() -> None:
    after = payment(3, 2, 120, incarnation="b")
    known = known_of([LIFE[0], LIFE[1], after])

    for lost in (LIFE[2], LIFE[3]):
        assert images.take(known, lost) is known


def test_between_shards_versions_tell() -> None:
    moved = payment(6, 3, 1_000, state="CAPTURED", shard="s2", incarnation="z", hour=1)

    assert known_of([*LIFE, moved]).image == moved
    assert known_of([moved, *LIFE]) == known_of([*LIFE, moved])


def test_differences_make_the_totals_of_the_new_image() -> None:
    totals = Totals()
    before, after = known_of(LIFE[:2]), known_of(LIFE)
    images.add(totals, before, -1)
    images.add(totals, after, 1)

    key = StateKey("dev", "mer", "EUR", FIRST_DAY, "CAPTURED")
    assert dict(totals.states()) == {
        key: (1, 1_000),
        key._replace(state="PARTIALLY_CAPTURED"): (-1, -1_000),
    }
    day = DayKey("dev", "mer", "EUR", FIRST_DAY + 1)
    assert dict(totals.volumes()) == {
        day: Volume(250, 25),
        day._replace(day=FIRST_DAY + 3): Volume(650, 65),
    }


def refund(state: str, day: int = 1, *, incarnation: str = "a", hour: int = 12) -> RefundImage:
    where = place(at(day, hour), incarnation=incarnation)
    return RefundImage("ref", "pay", "dev", "mer", state, "EUR", 50, 5, at(day), where)


def test_a_refund_counts_once_it_succeeded_on_the_day_on_which_it_was_asked_for() -> None:
    totals = Totals()
    for it in (refund("PENDING"), refund("FAILED")):
        images.add_refund(totals, it, 1)
    assert not totals.volumes()

    images.add_refund(totals, refund("SUCCEEDED"), 1)
    assert dict(totals.volumes()) == {
        DayKey("dev", "mer", "EUR", FIRST_DAY + 1): Volume(0, 0, 1, 50, 5)
    }


def test_a_refund_that_is_settled_stays_so() -> None:
    settled = refund("SUCCEEDED")

    assert images.take_refund(refund("PENDING"), settled) is settled
    assert images.take_refund(settled, refund("PENDING", hour=13)) is settled
    assert images.take_refund(settled, refund("FAILED", hour=13)) is settled


def test_a_refund_that_was_lost_is_what_followed_instead() -> None:
    again = refund("PENDING", hour=14, incarnation="b")

    assert images.take_refund(refund("SUCCEEDED"), again) is again
    assert images.take_refund(again, refund("SUCCEEDED")) is again

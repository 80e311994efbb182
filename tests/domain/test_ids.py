"""Identifiers: in the order in which they were made, with region and bucket inside."""

from hypothesis import given
from hypothesis import strategies as st

from processor.domain import ids
from tests.domain.ledger import NOON, REGION

times = st.integers(0, (ids.SERIAL_LIMIT - 1) * 1_000)
owners = st.text(min_size=1, max_size=128)
buckets = st.builds(
    lambda a, b: a + b, st.sampled_from(ids.ALPHABET), st.sampled_from(ids.ALPHABET)
)


@given(st.lists(st.tuples(st.integers(0, 10**6), buckets), min_size=1, max_size=30))
def test_ids_sort_in_the_order_in_which_they_were_minted(steps: list[tuple[int, str]]) -> None:
    now, serial = NOON, 7
    minted: list[str] = []

    for step, bucket in steps:
        now += step
        mint = ids.Mint(REGION, now, serial)
        minted += [mint.next(ids.PAYMENT, bucket), mint.next(ids.PAYMENT, bucket)]
        serial = mint.serial

    assert minted == sorted(set(minted))


@given(buckets)
def test_an_id_carries_prefix_region_and_bucket(bucket: str) -> None:
    identifier = ids.Mint("us", NOON, 0).next(ids.ACCOUNT, bucket)

    assert identifier.startswith("acc_us_")
    assert ids.bucket_of_id(identifier) == bucket


@given(st.integers(0, ids.SERIAL_LIMIT - 1), st.integers(0, ids.SERIAL_LIMIT - 1))
def test_encoded_numbers_sort_as_the_numbers_do(one: int, other: int) -> None:
    assert (ids.encode(one) < ids.encode(other)) == (one < other)


@given(times, st.integers(0, 10**9))
def test_the_bound_of_a_moment_sorts_before_every_id_minted_from_then_on(
    moment: int, later: int
) -> None:
    bound = ids.first_at(ids.TRANSFER, REGION, moment)
    minted_at = min(moment + later, (ids.SERIAL_LIMIT - 1) * 1_000)

    assert bound < ids.Mint(REGION, minted_at, 0).next(ids.TRANSFER, "00")


@given(st.integers(0, 10**15), st.integers(1_000, 10**9))
def test_the_bound_of_a_moment_sorts_after_every_id_of_an_earlier_millisecond(
    minted_at: int, later: int
) -> None:
    bound = ids.first_at(ids.TRANSFER, REGION, minted_at + later)
    last_serial = ids.SERIAL_LIMIT - 2

    assert ids.Mint(REGION, minted_at, last_serial).next(ids.TRANSFER, "zz") < bound


@given(owners)
def test_an_owner_s_bucket_is_one_of_all_and_always_the_same(owner: str) -> None:
    bucket = ids.bucket_of_owner(REGION, owner)

    assert len(bucket) == 2
    assert set(bucket) <= set(ids.ALPHABET)
    assert bucket == ids.bucket_of_owner(REGION, owner)


def test_owners_are_spread_over_the_buckets() -> None:
    found = {ids.bucket_of_owner(REGION, f"user-{number}") for number in range(10_000)}

    assert len(found) == ids.BUCKETS


def test_the_same_owner_lives_in_other_buckets_in_other_regions() -> None:
    owners = [f"user-{number}" for number in range(50)]

    moved = [o for o in owners if ids.bucket_of_owner("eu", o) != ids.bucket_of_owner("us", o)]

    assert len(moved) > 40

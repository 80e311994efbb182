"""Buckets are the same for both servers."""

from kit import buckets
from processor.domain import ids


def test_the_alphabet_and_the_count_are_those_of_ids() -> None:
    assert (buckets.ALPHABET, buckets.BUCKETS) == (ids.ALPHABET, ids.BUCKETS)


def test_an_owner_has_the_bucket_that_its_ids_carry() -> None:
    owners = [f"user-{number}" for number in range(500)] + ["", "ada", "äöü", "x" * 300]

    for region in ("eu", "us", "apac"):
        for owner in owners:
            bucket = buckets.bucket_of_owner(region, owner)
            assert bucket == ids.bucket_of_owner(region, owner)
            assert bucket == ids.bucket_of_id(ids.Mint(region, 0, 0).next(ids.ACCOUNT, bucket))


def test_every_bucket_has_a_name_and_every_name_its_number() -> None:
    assert len(set(buckets.NAMES)) == buckets.BUCKETS
    assert [buckets.number_of(name) for name in buckets.NAMES] == list(range(buckets.BUCKETS))


def test_what_is_no_bucket_has_no_number() -> None:
    assert [buckets.number_of(name) for name in ("", "0", "000", "il", "AB")] == [None] * 5

"""The shard map: whole, without overlaps, and the same after a trip over the wire."""

import pytest

from kit import buckets
from kit.shard_map import BadShardMap, BucketRange, ShardMap
from tender.v1 import directory_pb2

ALL = range(buckets.BUCKETS)


def one(region: str = "eu", first: int = 0, last: int = 1023, shard: str = "s1") -> BucketRange:
    return BucketRange(region, first, last, shard)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 1000, 1024])
def test_a_split_gives_every_bucket_to_one_shard_and_each_shard_as_many(count: int) -> None:
    shards = [f"s{number}" for number in range(count)]

    homes = ShardMap.split({"eu": shards}).homes()

    assert sorted(homes) == [f"eu/{name}" for name in buckets.NAMES]
    sizes = [list(homes.values()).count(shard) for shard in shards]
    assert max(sizes) - min(sizes) <= 1
    assert list(homes.values()) == sorted(homes.values(), key=shards.index)


def test_regions_are_apart() -> None:
    found = ShardMap.split({"eu": ["s1", "s3"], "us": ["s2"]})

    assert {found.shard_of("us", name) for name in buckets.NAMES} == {"s2"}
    assert [found.shard_of("eu", buckets.NAMES[number]) for number in (0, 511, 512, 1023)] == [
        *("s1", "s1", "s3", "s3")
    ]
    assert found.shards() == {"s1": "eu", "s2": "us", "s3": "eu"}


def test_what_the_map_does_not_know_has_no_shard() -> None:
    found = ShardMap.split({"eu": ["s1"]})

    assert found.shard_of("us", "00") is None
    assert found.shard_of("eu", "il") is None


def test_a_trip_over_the_wire_changes_nothing() -> None:
    found = ShardMap(7, ShardMap.split({"us": ["s2"], "eu": ["s1", "s3"]}).ranges)

    read = directory_pb2.ShardMap.FromString(found.to_message().SerializeToString())

    assert ShardMap.from_message(read) == found


def test_the_order_of_ranges_says_nothing() -> None:
    ranges = ShardMap.split({"eu": ["s1", "s2", "s3"]}).ranges

    assert ShardMap(1, ranges[::-1]) == ShardMap(1, ranges)


@pytest.mark.parametrize(
    ("version", "ranges", "why"),
    [
        (0, [one()], "version 0"),
        (1, [one(last=1022)], "bucket 1023 of region eu is in none"),
        (1, [one(first=1)], "bucket 0 of region eu is in none"),
        (1, [one(last=9), one(first=11)], "bucket 10 of region eu is in none"),
        (1, [one(last=10), one(first=10, shard="s2")], "bucket 10 of region eu is in two"),
        (1, [one(), one(shard="s2")], "bucket 0 of region eu is in two"),
        (1, [one(last=9), one(first=10, last=1024)], "are no range"),
        (1, [one(last=9), one(first=10, last=5)], "are no range"),
        (1, [one(first=-1)], "bucket -1"),
        (1, [one(region="EU!")], "'EU!' is no name of a region"),
        (1, [one(shard="S 1")], "'S 1' is no name of a shard"),
        (1, [one(), one(region="us")], "shard s1 is in two regions"),
        (1, [one(first=number, last=number) for number in ALL] * 17, "more than"),
    ],
)
def test_a_map_that_is_not_whole_is_refused(
    version: int, ranges: list[BucketRange], why: str
) -> None:
    with pytest.raises(BadShardMap, match=why):
        ShardMap(version, tuple(ranges))

    message = directory_pb2.ShardMap(
        version=version, ranges=[directory_pb2.BucketRange(**each._asdict()) for each in ranges]
    )
    with pytest.raises(BadShardMap):
        ShardMap.from_message(message)


@pytest.mark.parametrize("count", [0, 1025])
def test_a_region_with_no_shard_or_too_many_cannot_be_split(count: int) -> None:
    with pytest.raises(BadShardMap, match=f"region eu has {count} shards"):
        ShardMap.split({"eu": [f"s{number}" for number in range(count)]})


def test_a_move_is_the_next_version_with_runs_joined() -> None:
    first = ShardMap.split({"eu": ["s1", "s2"], "us": ["s3"]})

    moved = first.moved("eu", 500, 511, "s2")

    assert moved == ShardMap(
        2,
        (
            BucketRange("eu", 0, 499, "s1"),
            BucketRange("eu", 500, 1023, "s2"),
            BucketRange("us", 0, 1023, "s3"),
        ),
    )
    assert moved.moved("eu", 500, 511, "s1").ranges == first.ranges


@pytest.mark.parametrize(
    ("region", "first", "last", "shard"),
    [("eu", 5, 4, "s2"), ("eu", 0, 1024, "s2"), ("eu", 0, 1, "s3"), ("mars", 0, 1, "s1")],
)
def test_a_move_to_nowhere_is_no_map(region: str, first: int, last: int, shard: str) -> None:
    with pytest.raises(BadShardMap):
        ShardMap.split({"eu": ["s1", "s2"], "us": ["s3"]}).moved(region, first, last, shard)

"""The shard map: which shard has which buckets of which region. A hint, always whole."""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final, NamedTuple, Self

from kit import buckets
from tender.v1 import directory_pb2

RANGES_MAX: Final = 16 * buckets.BUCKETS
"""A message with as many stays below half a megabyte."""

REGION_FORM: Final = r"^[a-z0-9]{2,8}$"
SHARD_FORM: Final = r"^[a-z0-9-]{1,16}$"


class BadShardMap(ValueError):
    """A map that is not whole, or that gives a bucket to two shards."""


class BucketRange(NamedTuple):
    """Buckets of a region that one shard has; both ends are among them."""

    region: str
    first_bucket: int
    last_bucket: int
    shard: str


@dataclass(frozen=True)
class ShardMap:
    """One version of the map. Raises BadShardMap unless each region's buckets are all given once.

    A shard belongs to one region, because its lane's ids carry that region.
    """

    version: int
    ranges: tuple[BucketRange, ...]
    _homes: dict[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.version < 1:
            raise BadShardMap(f"version {self.version} is below 1")
        if len(self.ranges) > RANGES_MAX:
            raise BadShardMap(f"more than {RANGES_MAX} ranges")
        ordered = tuple(sorted(self.ranges))
        for region, found in itertools.groupby(ordered, attrgetter("region")):
            _require_whole(region, list(found))
        _require_one_region(ordered)
        object.__setattr__(self, "ranges", ordered)
        object.__setattr__(self, "_homes", dict(_homes(ordered)))

    @classmethod
    def split(cls, shards: Mapping[str, Sequence[str]]) -> Self:
        """Return a first map: each region's buckets evenly over its shards, in their order."""
        return cls(1, tuple(itertools.chain.from_iterable(map(_split, shards, shards.values()))))

    def moved(self, region: str, first_bucket: int, last_bucket: int, shard: str) -> "ShardMap":
        """Return the next version, with some buckets on another shard; raises BadShardMap."""
        if not 0 <= first_bucket <= last_bucket < buckets.BUCKETS:
            raise BadShardMap(f"buckets {first_bucket} to {last_bucket} are no range")
        if self.shards().get(shard) != region:
            raise BadShardMap(f"no shard {shard} in region {region}")
        names = buckets.NAMES[first_bucket : last_bucket + 1]
        homes = self._homes | {f"{region}/{name}": shard for name in names}
        ranges = [
            _joined(region_, [homes[f"{region_}/{name}"] for name in buckets.NAMES])
            for region_ in sorted({each.region for each in self.ranges})
        ]
        return ShardMap(self.version + 1, tuple(itertools.chain.from_iterable(ranges)))

    @classmethod
    def from_message(cls, message: directory_pb2.ShardMap) -> Self:
        """Return the map of a message; raises BadShardMap."""
        return cls(
            message.version,
            tuple(
                BucketRange(each.region, each.first_bucket, each.last_bucket, each.shard)
                for each in message.ranges
            ),
        )

    def to_message(self) -> directory_pb2.ShardMap:
        """Return the map as gateways read it."""
        ranges = [directory_pb2.BucketRange(**each._asdict()) for each in self.ranges]
        return directory_pb2.ShardMap(version=self.version, ranges=ranges)

    def shard_of(self, region: str, bucket: str) -> str | None:
        """Return the shard of a bucket (its two characters); None for a region not in the map."""
        return self._homes.get(f"{region}/{bucket}")

    def homes(self) -> dict[str, str]:
        """Return the shard of every bucket, by region, a slash and the bucket's two characters."""
        return dict(self._homes)

    def shards(self) -> dict[str, str]:
        """Return the region of every shard, by its name."""
        return {each.shard: each.region for each in self.ranges}


def _homes(ranges: Iterable[BucketRange]) -> Iterable[tuple[str, str]]:
    for each in ranges:
        for name in buckets.NAMES[each.first_bucket : each.last_bucket + 1]:
            yield f"{each.region}/{name}", each.shard


def _joined(region: str, shards: Sequence[str]) -> Iterable[BucketRange]:
    """Yield runs of buckets that have the same shard."""
    first = 0
    for bucket in range(1, len(shards) + 1):
        if bucket == len(shards) or shards[bucket] != shards[first]:
            yield BucketRange(region, first, bucket - 1, shards[first])
            first = bucket


def _split(region: str, shards: Sequence[str]) -> list[BucketRange]:
    count = len(shards)
    if not 1 <= count <= buckets.BUCKETS:
        raise BadShardMap(f"region {region} has {count} shards for {buckets.BUCKETS} buckets")
    ends = [number * buckets.BUCKETS // count for number in range(count + 1)]
    return [
        BucketRange(region, first, after - 1, shard)
        for shard, (first, after) in zip(shards, itertools.pairwise(ends), strict=True)
    ]


def _require_whole(region: str, ranges: Sequence[BucketRange]) -> None:
    if not re.fullmatch(REGION_FORM, region):
        raise BadShardMap(f"{region!r} is no name of a region")
    expected = 0
    for each in ranges:
        if not re.fullmatch(SHARD_FORM, each.shard):
            raise BadShardMap(f"{each.shard!r} is no name of a shard")
        if not each.first_bucket <= each.last_bucket < buckets.BUCKETS:
            raise BadShardMap(f"buckets {each.first_bucket} to {each.last_bucket} are no range")
        if each.first_bucket != expected:
            what = "in two ranges" if each.first_bucket < expected else "in none"
            bucket = min(each.first_bucket, expected)
            raise BadShardMap(f"bucket {bucket} of region {region} is {what}")
        expected = each.last_bucket + 1
    if expected != buckets.BUCKETS:
        raise BadShardMap(f"bucket {expected} of region {region} is in none")


def _require_one_region(ranges: Iterable[BucketRange]) -> None:
    regions: dict[str, str] = {}
    for each in ranges:
        if regions.setdefault(each.shard, each.region) != each.region:
            raise BadShardMap(f"shard {each.shard} is in two regions")

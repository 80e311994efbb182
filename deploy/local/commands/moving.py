"""The lanes as the mover of buckets asks them, and what of a range has to move."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import grpc

from kit import internal_auth
from kit.shard_map import ShardMap
from tender.v1 import lane_pb2, lane_pb2_grpc

CALL_SECONDS_MAX: Final = 40.0
"""The first look for users reads every account of the shard."""

RETRY_SECONDS: Final = 0.2
PATIENCE_SECONDS: Final = 60.0
"""For a lane that is away, or that has not yet taken what was released; then the mover gives up."""

OWNED: Final = "OWNED"
MOVED: Final = "MOVED"


class NotMoved(Exception):
    """The buckets were not moved, or not to the end: repeat it, or move them back."""


class Refused(NotMoved):
    """A lane says no, in words."""


class Owned(NamedTuple):
    """What a shard says of one of its buckets; `shard` is where one that moved went."""

    state: str
    shard: str


class Part(NamedTuple):
    """Buckets that one shard has by the map."""

    source: str
    first_bucket: int
    last_bucket: int


class Lanes:
    """The lanes of all shards, each at whichever processor holds it."""

    def __init__(self, processors: Sequence[str], token: str) -> None:
        self._channels = [grpc.insecure_channel(target) for target in processors]
        self._holders: dict[str, int] = {}
        self._metadata = internal_auth.metadata(token)

    def close(self) -> None:
        """Close the channels."""
        for channel in self._channels:
            channel.close()

    def release(self, part: Part, to: str, position: str = "") -> bool:
        """Let a lane give buckets away; repeated until it is known to be done. Raises NotMoved.

        With users it is one bucket, with the position of its copy; without that, False says that
        users live there, and nothing was done.
        """
        request = lane_pb2.ReleaseBucketsRequest(
            shard=part.source,
            first_bucket=part.first_bucket,
            last_bucket=part.last_bucket,
            destination=to,
            position=position,
        )
        answer: lane_pb2.ReleaseBucketsResponse = self._ask(
            lambda stub, **how: stub.ReleaseBuckets(request, **how), part.source
        )
        return not answer.inhabited

    def freeze(self, shard: str, bucket: int, timeout_ms: int) -> int:
        """Stop decisions on a bucket for a while; return its last commit. Raises NotMoved."""
        request = lane_pb2.FreezeBucketRequest(shard=shard, bucket=bucket, timeout_ms=timeout_ms)
        answer: lane_pb2.FreezeBucketResponse = self._ask(
            lambda stub, **how: stub.FreezeBucket(request, **how), shard
        )
        return answer.seq

    def copy(self, shard: str, bucket: int, position: str) -> lane_pb2.CopyBucketResponse:
        """Return what comes next of the copy of a bucket. Raises NotMoved."""
        request = lane_pb2.CopyBucketRequest(shard=shard, bucket=bucket, position=position)
        answer: lane_pb2.CopyBucketResponse = self._ask(
            lambda stub, **how: stub.CopyBucket(request, **how), shard
        )
        return answer

    def take(self, shard: str, bucket: int, page: bytes = b"") -> str:
        """Bring a page, if any; return how far the copy is. Raises NotMoved."""
        request = lane_pb2.TakeCopiesRequest(shard=shard, bucket=bucket, page=page)
        answer: lane_pb2.TakeCopiesResponse = self._ask(
            lambda stub, **how: stub.TakeCopies(request, **how), shard
        )
        return answer.position

    def buckets(self, shard: str) -> dict[int, Owned]:
        """Return what a shard says of each bucket that is or was its own. Raises NotMoved."""
        request = lane_pb2.GetBucketsRequest(shard=shard)
        answer: lane_pb2.GetBucketsResponse = self._ask(
            lambda stub, **how: stub.GetBuckets(request, **how), shard
        )
        return {
            bucket: Owned(each.state, each.shard)
            for each in answer.ranges
            for bucket in range(each.first_bucket, each.last_bucket + 1)
        }

    def owns(self, shard: str, first_bucket: int, last_bucket: int) -> bool:
        """Say whether a shard owns all of a range. Raises NotMoved."""
        found = {bucket for bucket, one in self.buckets(shard).items() if one.state == OWNED}
        return found.issuperset(range(first_bucket, last_bucket + 1))

    def _ask(self, ask: Callable[..., Any], shard: str) -> Any:
        """Ask one processor after the other, for one of them holds the lane."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            held = self._holders.get(shard, 0)
            for number in sorted(range(len(self._channels)), key=lambda one: one != held):
                stub = lane_pb2_grpc.LaneServiceStub(self._channels[number])
                try:
                    answer = ask(stub, timeout=CALL_SECONDS_MAX, metadata=self._metadata)
                except grpc.RpcError as error:
                    if error.code() == grpc.StatusCode.FAILED_PRECONDITION:
                        raise Refused(error.details()) from None
                else:
                    self._holders[shard] = number
                    return answer
            if time.monotonic() > until:
                raise NotMoved(f"no processor answers for shard {shard}")
            time.sleep(RETRY_SECONDS)


def parts(
    shard_map: ShardMap, region: str, first_bucket: int, last_bucket: int, to: str
) -> list[Part]:
    """Return what has to move: the buckets of a range that the map does not give `to` yet."""
    return [
        Part(each.shard, max(each.first_bucket, first_bucket), min(each.last_bucket, last_bucket))
        for each in shard_map.ranges
        if each.region == region
        and each.shard != to
        and each.first_bucket <= last_bucket
        and first_bucket <= each.last_bucket
    ]

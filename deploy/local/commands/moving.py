"""Moves buckets between shards: asks the lanes, then raises the map. Every step may be repeated."""

import time
from collections.abc import Callable, Iterable, Sequence
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


class NotMoved(Exception):
    """The buckets were not moved, or not to the end: repeat it, or move them back."""


class Part(NamedTuple):
    """Buckets that one shard has by the map."""

    source: str
    first_bucket: int
    last_bucket: int


class Lanes:
    """The lanes of all shards, each at whichever processor holds it."""

    def __init__(self, processors: Sequence[str], token: str) -> None:
        self._channels = [grpc.insecure_channel(target) for target in processors]
        self._metadata = internal_auth.metadata(token)

    def close(self) -> None:
        """Close the channels."""
        for channel in self._channels:
            channel.close()

    def release(self, part: Part, to: str) -> None:
        """Let a lane give buckets away; repeated until it is known to be done. Raises NotMoved."""
        request = lane_pb2.ReleaseBucketsRequest(
            shard=part.source,
            first_bucket=part.first_bucket,
            last_bucket=part.last_bucket,
            destination=to,
        )
        self._ask(lambda stub, **how: stub.ReleaseBuckets(request, **how), part.source)

    def owns(self, shard: str, first_bucket: int, last_bucket: int) -> bool:
        """Say whether a shard owns all of a range. Raises NotMoved."""
        request = lane_pb2.GetBucketsRequest(shard=shard)
        answer: lane_pb2.GetBucketsResponse = self._ask(
            lambda stub, **how: stub.GetBuckets(request, **how), shard
        )
        found = {
            bucket
            for each in answer.ranges
            if each.state == OWNED
            for bucket in range(each.first_bucket, each.last_bucket + 1)
        }
        return found.issuperset(range(first_bucket, last_bucket + 1))

    def _ask(self, ask: Callable[..., Any], shard: str) -> Any:
        """Ask one processor after the other, for one of them holds the lane."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            for channel in self._channels:
                stub = lane_pb2_grpc.LaneServiceStub(channel)
                try:
                    return ask(stub, timeout=CALL_SECONDS_MAX, metadata=self._metadata)
                except grpc.RpcError as error:
                    if error.code() == grpc.StatusCode.FAILED_PRECONDITION:
                        raise NotMoved(error.details()) from None
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


def wait_until_taken(lanes: Lanes, to: str, moved: Iterable[Part]) -> None:
    """Return once a shard owns what was released to it. Raises NotMoved."""
    until = time.monotonic() + PATIENCE_SECONDS
    for part in moved:
        while not lanes.owns(to, part.first_bucket, part.last_bucket):
            if time.monotonic() > until:
                raise NotMoved(
                    f"shard {to} has not taken buckets {part.first_bucket} to {part.last_bucket}"
                )
            time.sleep(RETRY_SECONDS / 10)

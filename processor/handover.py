"""What the mover of buckets asks of a lane."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import grpc

from kit import buckets, serving
from processor import hosting
from processor.domain.ownership import Buckets
from processor.domain.refusals import BadBuckets
from processor.ports import Rejected, Unavailable
from tender.v1 import lane_pb2


class Owner(Protocol):
    """A lane, as the mover sees it."""

    @property
    def is_open(self) -> bool:
        """Whether the lane is held here and decides."""

    @property
    def buckets(self) -> Buckets | None:
        """What its shard owns; None while it is alone."""

    async def release_buckets(self, first_bucket: int, last_bucket: int, to: str) -> None:
        """Give buckets away. Raises BadBuckets, Rejected or Unavailable."""


async def release(
    lanes: Mapping[str, Owner], request: lane_pb2.ReleaseBucketsRequest, context: serving.Context
) -> lane_pb2.ReleaseBucketsResponse:
    """Answer LaneService.ReleaseBuckets."""
    lane = lanes.get(request.shard)
    if lane is None:
        await context.abort(grpc.StatusCode.UNAVAILABLE, hosting.NOT_HELD)
    first, last = request.first_bucket, request.last_bucket
    if not 0 <= first <= last < buckets.BUCKETS:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "No range of buckets.")
    try:
        await lane.release_buckets(first, last, request.destination)
    except (BadBuckets, Rejected) as error:
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
    except Unavailable:
        await context.abort(grpc.StatusCode.UNAVAILABLE, hosting.NOT_HELD)
    return lane_pb2.ReleaseBucketsResponse()


async def owned(
    lanes: Mapping[str, Owner], request: lane_pb2.GetBucketsRequest, context: serving.Context
) -> lane_pb2.GetBucketsResponse:
    """Answer LaneService.GetBuckets."""
    lane = lanes.get(request.shard)
    if lane is None or not lane.is_open:
        await context.abort(grpc.StatusCode.UNAVAILABLE, hosting.NOT_HELD)
    known = lane.buckets
    if known is None:
        return lane_pb2.GetBucketsResponse()
    ranges: Sequence[lane_pb2.OwnedBuckets] = [
        lane_pb2.OwnedBuckets(**one._asdict()) for one in known.ranges
    ]
    return lane_pb2.GetBucketsResponse(version=known.version, region=known.region, ranges=ranges)

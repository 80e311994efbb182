"""What the mover of buckets asks of a lane."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Protocol, TypeVar

import grpc

from kit import buckets, serving
from processor import copying, hosting
from processor.domain.copies import Page
from processor.domain.ownership import Buckets
from processor.domain.refusals import BadBuckets, Inhabited
from processor.domain.view import Position
from processor.ports import Rejected, Unavailable
from tender.v1 import lane_pb2


class Owner(Protocol):
    """A lane, as the mover sees it."""

    @property
    def is_open(self) -> bool:
        """Whether the lane is held here and decides."""

    @property
    def committed_seq(self) -> int:
        """Its newest commit."""

    @property
    def buckets(self) -> Buckets | None:
        """What its shard owns; None while it is alone."""

    async def release_buckets(self, first_bucket: int, last_bucket: int, to: str) -> None:
        """Give buckets without users away. Raises BadBuckets, Rejected or Unavailable."""

    async def release_bucket(self, bucket: int, to: str, position: Position) -> None:
        """Give a bucket with users away. Raises BadBuckets, Rejected or Unavailable."""

    async def copy_bucket(self, bucket: int, after: Position | None) -> Page:
        """Return what comes next of the copy of a bucket. Raises Unavailable."""

    async def take_copies(self, bucket: int, page: Page | None) -> Position | None:
        """Keep a page, if it comes next; return how far the copy is. Raises Unavailable."""

    async def freeze_bucket(self, bucket: int, seconds: float) -> int:
        """Decide nothing on a bucket for a while. Raises BadBuckets or Unavailable."""


async def release(
    lanes: Mapping[str, Owner], request: lane_pb2.ReleaseBucketsRequest, context: serving.Context
) -> lane_pb2.ReleaseBucketsResponse:
    """Answer LaneService.ReleaseBuckets."""
    lane = await _lane(lanes, request.shard, context)
    first, last = request.first_bucket, request.last_bucket
    if not 0 <= first <= last < buckets.BUCKETS:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "No range of buckets.")
    try:
        position = copying.decode_position(request.position)
        if position is None:
            await lane.release_buckets(first, last, request.destination)
        elif first == last:
            await lane.release_bucket(first, request.destination, position)
        else:
            raise BadBuckets("buckets with users move one by one")
    except Inhabited:
        return lane_pb2.ReleaseBucketsResponse(inhabited=True)
    except (BadBuckets, Rejected, Unavailable, copying.Unreadable) as error:
        await _fail(error, context)
    return lane_pb2.ReleaseBucketsResponse()


async def copy(
    lanes: Mapping[str, Owner], request: lane_pb2.CopyBucketRequest, context: serving.Context
) -> lane_pb2.CopyBucketResponse:
    """Answer LaneService.CopyBucket."""
    lane = await _lane(lanes, request.shard, context)
    await _require_bucket(request.bucket, context)
    try:
        after = copying.decode_position(request.position)
        page = await lane.copy_bucket(request.bucket, after)
    except (Unavailable, copying.Unreadable) as error:
        await _fail(error, context)
    return lane_pb2.CopyBucketResponse(
        page=copying.encode_page(page),
        position=copying.encode_position(page.to),
        head_seq=lane.committed_seq,
        seq=0 if page.to.place else page.to.seq,
        rows=len(page.payments) + len(page.refunds) + len(page.keys),
    )


async def take(
    lanes: Mapping[str, Owner], request: lane_pb2.TakeCopiesRequest, context: serving.Context
) -> lane_pb2.TakeCopiesResponse:
    """Answer LaneService.TakeCopies."""
    lane = await _lane(lanes, request.shard, context)
    await _require_bucket(request.bucket, context)
    try:
        page = copying.decode_page(request.page) if request.page else None
        position = await lane.take_copies(request.bucket, page)
    except (Unavailable, copying.Unreadable) as error:
        await _fail(error, context)
    return lane_pb2.TakeCopiesResponse(position=copying.encode_position(position))


async def freeze(
    lanes: Mapping[str, Owner], request: lane_pb2.FreezeBucketRequest, context: serving.Context
) -> lane_pb2.FreezeBucketResponse:
    """Answer LaneService.FreezeBucket."""
    lane = await _lane(lanes, request.shard, context)
    await _require_bucket(request.bucket, context)
    try:
        seq = await lane.freeze_bucket(request.bucket, request.timeout_ms / 1_000)
    except (BadBuckets, Rejected, Unavailable) as error:
        await _fail(error, context)
    return lane_pb2.FreezeBucketResponse(seq=seq)


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


_Owner = TypeVar("_Owner", bound=Owner)


async def _lane(lanes: Mapping[str, _Owner], shard: str, context: serving.Context) -> _Owner:
    lane = lanes.get(shard)
    if lane is None:
        await context.abort(grpc.StatusCode.UNAVAILABLE, hosting.NOT_HELD)
    return lane


async def _require_bucket(bucket: int, context: serving.Context) -> None:
    if not 0 <= bucket < buckets.BUCKETS:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "No bucket.")


async def _fail(error: Exception, context: Any) -> NoReturn:
    """End a call with what went wrong, as the contract says."""
    if isinstance(error, Unavailable):
        await context.abort(grpc.StatusCode.UNAVAILABLE, hosting.NOT_HELD)
    if isinstance(error, copying.Unreadable):
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
    await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
    raise AssertionError("a call that is aborted goes on")

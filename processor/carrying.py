"""Legs that another shard has sent, on their way into the lane that they are for."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import grpc

from kit import serving
from processor import hosting
from processor.ports import LaneBusy, Unavailable
from tender.v1 import lane_pb2

LEGS_MAX: Final = 300
"""Of one message, as the contract says: as many as commands in a batch."""

_TOO_MANY: Final = f"More than {LEGS_MAX} legs."
_BUSY: Final = "The lane's queue is full; nothing was done."


class LegTaker(Protocol):
    """A lane, as those see it who carry legs to it."""

    async def carry(self, source: str, first_number: int, legs: Sequence[bytes]) -> int:
        """Take legs in, in their order; return the number of the last one that is committed.

        Raises LaneClosed or LaneBusy.
        """


async def carry(
    lanes: Mapping[str, LegTaker], request: lane_pb2.CarryRequest, context: serving.Context
) -> lane_pb2.CarryResponse:
    """Answer LaneService.Carry."""
    lane = lanes.get(request.destination)
    if lane is None:
        await context.abort(grpc.StatusCode.UNAVAILABLE, hosting.NOT_HELD)
    if len(request.legs) > LEGS_MAX:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, _TOO_MANY)
    try:
        position = await lane.carry(request.source, request.first_number, request.legs)
    except LaneBusy:
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, _BUSY)
    except Unavailable:
        await context.abort(grpc.StatusCode.UNAVAILABLE, hosting.NOT_HELD)
    return lane_pb2.CarryResponse(position=position)

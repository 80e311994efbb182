"""Legs that another shard has sent, on their way into the lane that they are for."""

from collections.abc import Mapping
from typing import Final

import grpc

from kit import serving
from processor import hosting
from processor.ports import LEGS_PER_CALL_MAX, LaneBusy, LegTaker, Unavailable
from tender.v1 import lane_pb2

_TOO_MANY: Final = f"More than {LEGS_PER_CALL_MAX} legs."
_BUSY: Final = "The lane's queue is full; nothing was done."


async def carry(
    lanes: Mapping[str, LegTaker], request: lane_pb2.CarryRequest, context: serving.Context
) -> lane_pb2.CarryResponse:
    """Answer LaneService.Carry."""
    lane = lanes.get(request.destination)
    if lane is None:
        await context.abort(grpc.StatusCode.UNAVAILABLE, hosting.NOT_HELD)
    if len(request.legs) > LEGS_PER_CALL_MAX:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, _TOO_MANY)
    try:
        position = await lane.carry(request.source, request.first_number, request.legs)
    except LaneBusy:
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, _BUSY)
    except Unavailable:
        await context.abort(grpc.StatusCode.UNAVAILABLE, hosting.NOT_HELD)
    return lane_pb2.CarryResponse(position=position)

"""Other processors: which of them holds a lane, and how legs are carried to it."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import grpc
import structlog

from kit import internal_auth, serving
from processor.ports import CARRY_SECONDS_MAX, LegTaker, Unavailable
from tender.v1 import directory_pb2, directory_pb2_grpc, lane_pb2, lane_pb2_grpc

SILENCE_SECONDS_MAX: Final = 3.0
"""A processor that lives says so every second."""

BACKOFF_SECONDS_MIN: Final = 0.1
BACKOFF_SECONDS_MAX: Final = 1.0
RECEIVE_BYTES_MAX: Final = serving.RECEIVE_BYTES_MAX

log = structlog.get_logger()


HearMap = Callable[[directory_pb2.ShardMap], None]
"""Is given the shard map that a peer tells, again and again."""


def _keep_no_map(_shard_map: directory_pb2.ShardMap) -> None:
    """For those who have the map already."""


class _Silent(Exception):
    """A processor ended its stream, or said nothing for too long."""


class _Peer:
    """One other processor: its channel, and the lanes that it says it holds."""

    def __init__(self, target: str, token: str, hear_map: HearMap) -> None:
        self.target = target
        self._hear_map = hear_map
        self.channel = grpc.aio.insecure_channel(
            target, options=serving.client_options(RECEIVE_BYTES_MAX)
        )
        self.lanes = lane_pb2_grpc.LaneServiceStub(self.channel)
        self.epochs: dict[str, int] = {}
        self._directory = directory_pb2_grpc.DirectoryServiceStub(self.channel)
        self._metadata = internal_auth.metadata(token)

    async def watch(self) -> None:
        """Keep up with what it holds, until cancelled; while it is silent it holds nothing."""
        backoff, trouble = BACKOFF_SECONDS_MIN, ""
        while True:
            stream = self._directory.Watch(directory_pb2.WatchRequest(), metadata=self._metadata)
            try:
                while True:
                    async with asyncio.timeout(SILENCE_SECONDS_MAX):
                        known = await stream.read()
                    if not isinstance(known, directory_pb2.WatchResponse):
                        raise _Silent
                    self.epochs = {lane.shard: lane.epoch for lane in known.lanes}
                    if known.HasField("shard_map"):
                        self._hear_map(known.shard_map)
                    backoff, trouble = BACKOFF_SECONDS_MIN, ""
            except (
                grpc.aio.AioRpcError,
                asyncio.InvalidStateError,
                TimeoutError,
                _Silent,
            ) as error:
                self.epochs = {}
                trouble = self._noted(trouble, error)
            finally:
                stream.cancel()
            await asyncio.sleep(random.uniform(BACKOFF_SECONDS_MIN / 2, backoff))
            backoff = min(backoff * 2, BACKOFF_SECONDS_MAX)

    def _noted(self, trouble: str, error: Exception) -> str:
        reason = error.code().name if isinstance(error, grpc.aio.AioRpcError) else "SILENT"
        if reason != trouble:
            log.warning("peer_not_heard", target=self.target, reason=reason)
        return reason


class RemotePeers:
    """All processors, as they tell of themselves; `run` keeps listening to them."""

    def __init__(
        self, targets: Sequence[str], token: str, hear_map: HearMap = _keep_no_map
    ) -> None:
        self._peers = [_Peer(target, token, hear_map) for target in targets]
        self._metadata = internal_auth.metadata(token)

    async def run(self) -> None:
        """Listen to all, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for peer in self._peers:
                group.create_task(peer.watch())

    async def close(self) -> None:
        """Close the channels."""
        for peer in self._peers:
            await peer.channel.close()

    async def carry(
        self, source: str, destination: str, first_number: int, legs: Sequence[bytes]
    ) -> int:
        """Carry legs to the lane of the destination; return the last number that it has from there.

        Raises Unavailable: nobody holds that lane now, or nothing is known of what came of it.
        """
        peer = self._holder(destination)
        request = lane_pb2.CarryRequest(
            source=source, destination=destination, first_number=first_number, legs=legs
        )
        try:
            answer: lane_pb2.CarryResponse = await peer.lanes.Carry(
                request, timeout=CARRY_SECONDS_MAX, metadata=self._metadata
            )
        except grpc.aio.AioRpcError as error:
            raise Unavailable(f"{destination} at {peer.target}: {error.code().name}") from None
        return answer.position

    def _holder(self, shard: str) -> _Peer:
        """Return who names the highest epoch: of two that claim a lane, the other one lost it."""
        holder = max(self._peers, key=lambda peer: peer.epochs.get(shard, 0), default=None)
        if holder is None or shard not in holder.epochs:
            raise Unavailable(f"nobody holds {shard}")
        return holder


class NearestPeers:
    """Lanes of this process, which need no call, and all others through it."""

    def __init__(self, lanes: Mapping[str, LegTaker], others: RemotePeers) -> None:
        """The mapping may change at any time."""
        self._lanes = lanes
        self._others = others

    async def carry(
        self, source: str, destination: str, first_number: int, legs: Sequence[bytes]
    ) -> int:
        """Carry legs; see `ports.Peers`."""
        lane = self._lanes.get(destination)
        if lane is not None and lane.is_open:
            return await lane.carry(source, first_number, legs)
        return await self._others.carry(source, destination, first_number, legs)

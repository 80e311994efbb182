"""Other processors: who of them is heard and holds which lane, and how legs are carried there."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import grpc
import structlog

from kit import internal_auth, metrics, serving
from processor import sharing
from processor.ports import CARRY_SECONDS_MAX, LegTaker, Unavailable
from tender.v1 import directory_pb2, directory_pb2_grpc, lane_pb2, lane_pb2_grpc

SILENCE_SECONDS_MAX: Final = 1.5
"""A processor that lives says so twice a second."""

FIRST_WORD_SECONDS_MAX: Final = 1.0
"""For those that live to say which lanes they hold, before this process opens any."""

BACKOFF_SECONDS_MIN: Final = 0.1
BACKOFF_SECONDS_MAX: Final = 1.0
RECEIVE_BYTES_MAX: Final = serving.RECEIVE_BYTES_MAX

log = structlog.get_logger()


HearMap = Callable[[directory_pb2.ShardMap], None]
"""Is given the shard map that a peer tells, again and again."""


def _keep_no_map(_shard_map: directory_pb2.ShardMap) -> None:
    """For those who have the map already."""


def _wake_nobody() -> None:
    """For those who only carry."""


class _Silent(Exception):
    """A processor ended its stream, or said nothing for too long."""


class _Peer:
    """One other processor: its channel, and what it says of itself."""

    def __init__(
        self, target: str, token: str, hear_map: HearMap, changed: Callable[[], None]
    ) -> None:
        self.target = target
        self.asked = asyncio.Event()
        self.known: sharing.Peer | None = None  # None while it is not heard.
        self._hear_map = hear_map
        self._changed = changed
        self.channel = grpc.aio.insecure_channel(
            target, options=serving.client_options(RECEIVE_BYTES_MAX)
        )
        self.lanes = lane_pb2_grpc.LaneServiceStub(self.channel)
        self._directory = directory_pb2_grpc.DirectoryServiceStub(self.channel)
        self._metadata = internal_auth.metadata(token)

    async def watch(self) -> None:
        """Keep up with what it says, until cancelled; while it is silent it holds nothing."""
        backoff, trouble = BACKOFF_SECONDS_MIN, ""
        while True:
            stream = self._directory.Watch(directory_pb2.WatchRequest(), metadata=self._metadata)
            try:
                while True:
                    async with asyncio.timeout(SILENCE_SECONDS_MAX):
                        known = await stream.read()
                    if not isinstance(known, directory_pb2.WatchResponse):
                        raise _Silent
                    if known.HasField("shard_map"):
                        self._hear_map(known.shard_map)
                    self._hear(known)
                    backoff, trouble = BACKOFF_SECONDS_MIN, ""
            except (
                grpc.aio.AioRpcError,
                asyncio.InvalidStateError,
                TimeoutError,
                _Silent,
            ) as error:
                self._know(None)
                trouble = self._noted(trouble, error)
            finally:
                stream.cancel()
            await asyncio.sleep(random.uniform(BACKOFF_SECONDS_MIN / 2, backoff))
            backoff = min(backoff * 2, BACKOFF_SECONDS_MAX)

    def _hear(self, said: directory_pb2.WatchResponse) -> None:
        before = self.known
        is_same = before is not None and before.name == said.processor
        self._know(
            sharing.Peer(
                said.processor,
                {lane.shard: lane.epoch for lane in said.lanes},
                before.steady_since if before is not None and is_same else time.monotonic(),
                said.leaving,
            )
        )

    def _know(self, known: sharing.Peer | None) -> None:
        self.asked.set()
        if known != self.known:
            self.known = known
            self._changed()

    def _noted(self, trouble: str, error: Exception) -> str:
        reason = error.code().name if isinstance(error, grpc.aio.AioRpcError) else "SILENT"
        if reason != trouble:
            log.warning("peer_not_heard", target=self.target, reason=reason)
        return reason


class RemotePeers:
    """All processors, as they tell of themselves; `run` keeps listening to them."""

    def __init__(
        self,
        targets: Sequence[str],
        token: str,
        hear_map: HearMap = _keep_no_map,
        changed: Callable[[], None] = _wake_nobody,
    ) -> None:
        """`changed` is called whenever somebody says something new, or is not heard any more."""
        self._tell_change = changed
        self._peers = [_Peer(target, token, hear_map, self._note_change) for target in targets]
        self._metadata = internal_auth.metadata(token)
        self._note_unheard()

    async def run(self) -> None:
        """Listen to all, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for peer in self._peers:
                group.create_task(peer.watch())

    async def first_words(self) -> None:
        """Return once everybody has spoken or cannot be reached, after a second in any case."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_WORD_SECONDS_MAX):
                for peer in self._peers:
                    await peer.asked.wait()

    @property
    def are_any(self) -> bool:
        """Whether there is anybody to listen to."""
        return bool(self._peers)

    def heard(self) -> list[sharing.Peer]:
        """Return what those say who are heard now; oneself may be among them."""
        return [peer.known for peer in self._peers if peer.known is not None]

    def _note_change(self) -> None:
        self._note_unheard()
        self._tell_change()

    def _note_unheard(self) -> None:
        metrics.PEERS_UNHEARD.set(sum(1 for peer in self._peers if peer.known is None))

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
        epochs = [peer.known.epochs.get(shard, 0) if peer.known else 0 for peer in self._peers]
        highest = max(epochs, default=0)
        if not highest:
            raise Unavailable(f"nobody holds {shard}")
        return self._peers[epochs.index(highest)]


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

"""What this process knows of where lanes are, and the service that tells gateways and peers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Final

import grpc

from kit import serving
from kit.shard_map import ShardMap
from tender.v1 import directory_pb2, directory_pb2_grpc

SIGN_OF_LIFE_SECONDS: Final = 0.5
"""Between two messages when nothing changes."""

WATCHERS_MAX: Final = 500
"""Gateways, their workers and other processors; each costs two messages a second."""

_TOO_MANY: Final = f"More than {WATCHERS_MAX} watch already."


class Directory:
    """The newest map and the lanes held here; wakes those who watch when either changes."""

    def __init__(self, processor: str) -> None:
        self._processor = processor
        # Where gateways' pipes are taken in; 0 for nowhere.
        self.pipe_port = 0
        self._map: directory_pb2.ShardMap | None = None
        self._epochs: dict[str, int] = {}
        self._watchers: set[asyncio.Event] = set()
        self._leaving = False
        self.closed = False

    def note_map(self, shard_map: ShardMap) -> None:
        """Tell a newer map from now on."""
        self._map = shard_map.to_message()
        self._wake()

    def note_ownership(self, shard: str, epoch: int) -> None:
        """Tell that a lane is held since a takeover, or with 0 that it is not."""
        if epoch:
            self._epochs[shard] = epoch
        elif self._epochs.pop(shard, None) is None:
            return
        self._wake()

    def note_leaving(self) -> None:
        """Tell that this process stops: others take its lanes as it gives them up."""
        self._leaving = True
        self._wake()

    def close(self) -> None:
        """Let everybody who watches go."""
        self.closed = True
        self._wake()

    def known(self) -> directory_pb2.WatchResponse:
        """Return all of it."""
        lanes = [
            directory_pb2.HeldLane(shard=shard, epoch=epoch)
            for shard, epoch in self._epochs.items()
        ]
        return directory_pb2.WatchResponse(
            processor=self._processor,
            shard_map=self._map,
            lanes=lanes,
            leaving=self._leaving,
            pipe_port=self.pipe_port,
        )

    @contextlib.contextmanager
    def watched(self) -> Iterator[asyncio.Event]:
        """Give an event that every change sets."""
        changed = asyncio.Event()
        self._watchers.add(changed)
        try:
            yield changed
        finally:
            self._watchers.discard(changed)

    def has_room(self) -> bool:
        """Say whether one more may watch."""
        return len(self._watchers) < WATCHERS_MAX

    def _wake(self) -> None:
        for changed in self._watchers:
            changed.set()


class DirectoryServicer(directory_pb2_grpc.DirectoryServiceServicer):
    """Keeps any number of watchers informed, up to a bound."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def Watch(
        self, request: directory_pb2.WatchRequest, context: serving.Context
    ) -> AsyncIterator[directory_pb2.WatchResponse]:
        """Send what is known at once, at every change and twice a second, until stopped."""
        directory = self._directory
        if not directory.has_room():
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, _TOO_MANY)
        with directory.watched() as changed:
            while True:
                changed.clear()
                # What changes while this is sent is told next, also if it is the last.
                is_last = directory.closed
                yield directory.known()
                if is_last:
                    return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SIGN_OF_LIFE_SECONDS):
                        await changed.wait()

"""Listens to every processor for what it knows: the shard map, and the lanes that it holds."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping
from typing import Final

import grpc

from gateway.topology import Topology
from kit import internal_auth, logs
from kit.shard_map import BadShardMap
from tender.v1 import directory_pb2

_WATCH: Final = "/tender.v1.DirectoryService/Watch"
SILENCE_SECONDS_MAX: Final = 2.0
"""A processor gives a sign of life twice a second."""
FIRST_WORD_SECONDS_MAX: Final = 1.0
"""At the start, before callers are let in."""
_STARTING: Final = ("UNAVAILABLE", "SILENT")
"""How a processor fails that is perhaps just starting."""
_RETRY_SECONDS_MIN: Final = 0.1
_RETRY_SECONDS_MAX: Final = 1.0

_log = logs.logger()


class Directory:
    """Keeps a topology up to date; `run` listens until cancelled."""

    def __init__(
        self,
        channels: Mapping[str, grpc.aio.Channel],
        token: str,
        topology: Topology,
        changed: Callable[[], None],
    ) -> None:
        """`channels` are those to the processors, by target."""
        self._channels = channels
        self._metadata = internal_auth.metadata(token)
        self._topology = topology
        self._changed = changed
        self._unheard = set(channels)
        self._all_heard = asyncio.Event()

    async def heard(self) -> None:
        """Return once there is a map, or every processor has said that it knows none.

        One that only just starts has its time to say so, but no more than that.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_WORD_SECONDS_MAX):
                await self._all_heard.wait()

    async def run(self) -> None:
        """Listen to all processors until cancelled."""
        async with asyncio.TaskGroup() as group:
            for target, channel in self._channels.items():
                group.create_task(self._listen(target, channel))

    async def _listen(self, target: str, channel: grpc.aio.Channel) -> None:
        watch = channel.unary_stream(
            _WATCH,
            request_serializer=directory_pb2.WatchRequest.SerializeToString,
            response_deserializer=directory_pb2.WatchResponse.FromString,
        )
        failure = ""
        while True:
            call = watch(directory_pb2.WatchRequest(), metadata=self._metadata)
            try:
                while True:
                    async with asyncio.timeout(SILENCE_SECONDS_MAX):
                        said = await call.read()
                    if not isinstance(said, directory_pb2.WatchResponse):
                        break
                    failure = ""
                    self._hear(target, said)
                    # Before its map, one of several lanes has nothing to say: more will come.
                    if said.HasField("shard_map") or said.lanes:
                        self._note_heard(target)
                code = (await call.code()).name
            except grpc.aio.AioRpcError as error:
                code = error.code().name
            except TimeoutError:
                code = "SILENT"
            finally:
                call.cancel()
            if code != failure:
                failure = code
                _log.warning("directory_lost", processor=target, failure=failure)
            if code not in _STARTING:
                self._note_heard(target)
            if self._topology.lose(target):
                self._changed()
            await asyncio.sleep(random.uniform(_RETRY_SECONDS_MIN, _RETRY_SECONDS_MAX))

    def _hear(self, target: str, said: directory_pb2.WatchResponse) -> None:
        try:
            changed = self._topology.hear(target, said)
        except BadShardMap as error:
            # The one before it stays: a map that is not whole would lose payments their way.
            _log.error("shard_map_bad", processor=target, reason=str(error))
            return
        if changed:
            self._changed()

    def _note_heard(self, target: str) -> None:
        self._unheard.discard(target)
        if self._topology.shards or not self._unheard:
            self._all_heard.set()

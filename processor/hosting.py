"""One process, several shards: how a shard's part is found by what a call names."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import structlog

from kit.shard_map import BadShardMap, ShardMap
from tender.v1 import directory_pb2

SHARD_METADATA: Final = "tender-shard"
"""Names the shard that a stream of commands is for."""

NOT_HELD: Final = "This processor does not hold that lane."

log = structlog.get_logger()

_Part = TypeVar("_Part")


def part_of(parts: Mapping[str, _Part], shard: str) -> _Part | None:
    """Return a shard's part; an empty name means the only one, and nobody's if there are more."""
    if not shard and len(parts) == 1:
        return next(iter(parts.values()))
    return parts.get(shard)


class NewestMap:
    """The newest shard map that anybody told: the directory's database, or another processor."""

    def __init__(self, tell: Callable[[ShardMap], None]) -> None:
        """`tell` is called with each map that is newer than the one before."""
        self._tell = tell
        self._version = 0
        self._bad_version = 0
        self._known = asyncio.Event()

    def note(self, found: ShardMap) -> None:
        """Take note of a map, if it is newer."""
        if found.version > self._version:
            self._version = found.version
            self._tell(found)
            self._known.set()

    def hear(self, message: directory_pb2.ShardMap) -> None:
        """Take note of what a processor tells, if it is newer and whole."""
        if message.version <= self._version or message.version == self._bad_version:
            return
        try:
            self.note(ShardMap.from_message(message))
        except BadShardMap as error:
            self._bad_version = message.version
            log.error("shard_map_bad", version=message.version, reason=str(error))

    async def known(self) -> None:
        """Return once there is a map, or nobody is to wait for one any more."""
        await self._known.wait()

    def stop_waiting(self) -> None:
        """Let those go who wait for a map: the process stops."""
        self._known.set()


def homes(shard_map: ShardMap, shard: str) -> Mapping[str, str] | None:
    """Return the shard of every bucket as a lane wants it: None when its own has everything."""
    return None if shard_map.shards().keys() == {shard} else shard_map.homes()

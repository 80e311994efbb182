"""Which shard has which bucket, and which processor holds each shard's lane, as last heard."""

import contextlib
from collections.abc import Mapping

from gateway.errors import Refused
from gateway.lane_pipe import PipeAddress
from gateway.routing import Place
from kit import addresses
from kit.shard_map import ShardMap
from tender.v1 import directory_pb2


class Topology:
    """What the processors said, put together: the newest map, and the highest epoch of each lane.

    A hint in both: the lane says whether it has a bucket, and the database who owns the lane.
    """

    def __init__(self) -> None:
        self.shards: frozenset[str] = frozenset()
        self.regions: frozenset[str] = frozenset()
        self._version = 0
        self._homes: Mapping[str, str] = {}
        # By processor, the epochs of the lanes that it holds.
        self._held: dict[str, Mapping[str, int]] = {}
        # By processor, and kept while it is not heard: mostly it comes back where it was.
        self._pipes: dict[str, PipeAddress] = {}

    def hear(self, target: str, said: directory_pb2.WatchResponse) -> bool:
        """Take note of what a processor says; return whether that changes anything."""
        held = {lane.shard: lane.epoch for lane in said.lanes}
        changed = self._held.get(target) != held
        self._held[target] = held
        changed |= self._hear_pipe(target, said.pipe_port)
        if said.HasField("shard_map") and said.shard_map.version > self._version:
            shard_map = ShardMap.from_message(said.shard_map)
            self._version = shard_map.version
            self._homes = shard_map.homes()
            self.shards = frozenset(self._homes.values())
            self.regions = frozenset(place.partition("/")[0] for place in self._homes)
            changed = True
        return changed

    def _hear_pipe(self, target: str, port: int) -> bool:
        before = self._pipes.pop(target, None)
        if port:
            with contextlib.suppress(ValueError):  # A name that only gRPC resolves: no pipe.
                self._pipes[target] = PipeAddress(addresses.host_and_port(target)[0], port)
        return self._pipes.get(target) != before

    def pipe(self, target: str) -> PipeAddress | None:
        """Return where a processor takes pipes in, as it said last; None if it takes none."""
        return self._pipes.get(target)

    def lose(self, target: str) -> bool:
        """Forget the lanes of a processor that is not heard any more; return whether it had any."""
        return bool(self._held.pop(target, None))

    def holder(self, shard: str) -> str | None:
        """Return the processor that holds a shard's lane, as far as is known.

        Without a name the lane that is held at all is meant: there is one shard.
        """
        best, best_epoch = None, 0
        for target, held in self._held.items():
            epoch = held.get(shard, 0) if shard else max(held.values(), default=0)
            if epoch > best_epoch:
                best, best_epoch = target, epoch
        return best

    @property
    def version(self) -> int:
        """The version of the newest map; 0 before the first."""
        return self._version

    def shard_of(self, place: Place) -> str:
        """Return the shard of a place; raises Refused."""
        if place.region not in self.regions:
            raise Refused("REGION_UNKNOWN")
        if place.shard:
            if place.shard not in self.shards:
                raise Refused("ACCOUNT_UNKNOWN")
            return place.shard
        shard = self._homes.get(f"{place.region}/{place.bucket}")
        if shard is None:
            raise Refused("SHARD_UNAVAILABLE")
        return shard

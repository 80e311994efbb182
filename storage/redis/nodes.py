"""The links to the nodes that take writes: one, or those of a Cluster by slot."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from redis.crc import key_slot

from storage.redis.address import Address, Kind
from storage.redis.link import Answered, Link, LinkLost, connect, packed

SLOTS: Final = 16_384
NODES_MAX: Final = 1_000


class NotFound(Exception):
    """No node that takes writes could be found."""


class Nodes:
    """Open links with a script loaded on each. Made by `find`; any loss makes all of it useless."""

    def __init__(self, digest: str, on_lost: Callable[[], None]) -> None:
        self._digest = digest
        self._on_lost = on_lost
        self._links: list[Link] = []
        # By slot, which of the links; empty when there is one.
        self._by_slot: list[int] = []

    @property
    def is_lost(self) -> bool:
        return any(link.is_lost for link in self._links)

    @property
    def has_slots(self) -> bool:
        """Whether a call may touch only keys of one slot."""
        return bool(self._by_slot)

    def call(
        self,
        slot: int,
        keys: Sequence[bytes],
        arguments: Iterable[bytes | int],
        commands: Sequence[bytes] = (),
    ) -> asyncio.Future[Any]:
        """Run commands, and then the script if it has keys, on the node of a slot."""
        link = self._links[self._by_slot[slot] if self._by_slot else 0]
        if keys:
            script = packed(b"EVALSHA", self._digest, len(keys), *keys, *arguments)
            commands = [*commands, script]
        return link.send(b"".join(commands), len(commands))

    async def ping(self) -> None:
        """Return once every node has answered; raises what a link does."""
        await asyncio.gather(*(link.call("PING") for link in self._links))

    def close(self) -> None:
        for link in self._links:
            link.close()

    async def open(self, places: Iterable[tuple[str, int]], address: Address, script: str) -> None:
        """Connect to all; raises what `connect` does."""
        for host, port in places:
            link = await connect(host, port, address)
            self._links.append(link)
            link.on_lost = self._on_lost
            await link.call("SCRIPT", "LOAD", script)

    def note_slots(self, ranges: Iterable[tuple[int, int, int]]) -> None:
        """Take note of first slot, last slot and number of the link; all slots must be there."""
        by_slot = [-1] * SLOTS
        for first, last, number in ranges:
            by_slot[first : last + 1] = [number] * (last + 1 - first)
        if -1 in by_slot:
            raise NotFound("slots without a node")
        self._by_slot = by_slot


def slot_of(key: bytes) -> int:
    """Return the slot of a key, which is that of its hash tag."""
    slot: int = key_slot(key)
    return slot


async def find(address: Address, script: str, digest: str, on_lost: Callable[[], None]) -> Nodes:
    """Connect to whatever takes writes now; `on_lost` is called when that is over.

    Raises NotFound, OSError, LinkLost or Answered; the caller bounds the time.
    """
    nodes = Nodes(digest, on_lost)
    try:
        if address.kind is Kind.CLUSTER:
            await _open_cluster(nodes, address, script)
        else:
            await nodes.open([await _master(address)], address, script)
    except BaseException:
        nodes.close()
        raise
    return nodes


async def _master(address: Address) -> tuple[str, int]:
    if address.kind is Kind.NODE:
        return address.hosts[0]
    for host, port in address.hosts:
        try:
            sentinel = await connect(host, port, address, plain=True)
        except OSError:
            continue
        try:
            found = await sentinel.call("SENTINEL", "get-master-addr-by-name", address.service)
        except (LinkLost, Answered):
            continue
        finally:
            sentinel.close()
        if found is not None:
            return found[0].decode(), int(found[1])
    raise NotFound("no Sentinel names a master")


async def _open_cluster(nodes: Nodes, address: Address, script: str) -> None:
    ranges, places = await _slots(address)
    await nodes.open(places, address, script)
    nodes.note_slots(ranges)


async def _slots(address: Address) -> tuple[list[tuple[int, int, int]], list[tuple[str, int]]]:
    for host, port in address.hosts:
        try:
            seed = await connect(host, port, address)
        except OSError:
            continue
        try:
            rows = await seed.call("CLUSTER", "SLOTS")
        finally:
            seed.close()
        places: list[tuple[str, int]] = []
        ranges: list[tuple[int, int, int]] = []
        for first, last, master, *_ in rows:
            # A node that does not know its own address means the one that it was asked at.
            place = (master[0].decode() if master[0] else host, int(master[1]))
            if place not in places:
                places.append(place)
            ranges.append((first, last, places.index(place)))
        if len(places) > NODES_MAX:
            raise NotFound("too many nodes")
        return ranges, places
    raise NotFound("no node of the Cluster answers")

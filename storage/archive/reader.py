"""Reads archived rows by their numbers, and checks that all is there and as it was."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from storage.archive import ranges
from storage.archive.manifest import Noted
from storage.archive.ports import Damaged, Files
from storage.archive.ranges import Range, Row


class Checked(NamedTuple):
    """What was looked at."""

    ranges: int
    rows: int
    size: int


class ArchiveReader:
    """The archived rows of one shard, by what its database noted of them."""

    def __init__(self, files: Files, noted: Sequence[Noted]) -> None:
        self._files = files
        self._noted = noted

    @property
    def last_seq(self) -> int:
        """Number of the last archived row."""
        return self._noted[-1].last_seq if self._noted else 0

    async def rows(self, after: int, through: int) -> AsyncIterator[Sequence[tuple[bytes, Row]]]:
        """Yield rows that follow a number, up to another, each with the hash before it.

        Raises ArchiveAway or Damaged.
        """
        for noted in self._noted:
            if noted.last_seq <= after or noted.first_seq > through:
                continue
            one = await self.range(noted)
            before = [one.previous_hash, *(row.hash for row in one.rows[:-1])]
            pairs = zip(before, one.rows, strict=True)
            yield [pair for pair in pairs if after < pair[1].seq <= through]

    async def range(self, noted: Noted) -> Range:
        """Return a range as it was written. Raises ArchiveAway or Damaged."""
        content = await asyncio.to_thread(self._files.get, noted.name)
        found = await asyncio.to_thread(ranges.decoded, noted.name, content, noted.sha256)
        ends = found.first_seq, found.last_seq, found.previous_hash, found.rows[-1].hash
        if ends != (noted.first_seq, noted.last_seq, noted.previous_hash, noted.last_hash):
            raise Damaged(f"{noted.name} is not the range that was noted")
        return found

    async def check(self) -> Checked:
        """Read everything, and walk its chain. Raises ArchiveAway or Damaged."""
        rows = size = 0
        before: Noted | None = None
        for noted in self._noted:
            follows = before is None or (
                noted.first_seq == before.last_seq + 1 and noted.previous_hash == before.last_hash
            )
            if not follows:
                raise Damaged(f"{noted.name} does not follow the range before it")
            found = await self.range(noted)
            await asyncio.to_thread(ranges.check, noted.name, found)
            rows, size, before = rows + len(found.rows), size + noted.size, noted
        return Checked(len(self._noted), rows, size)

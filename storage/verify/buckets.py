"""The shard's buckets: the row is what the journal last said, and versions follow each other."""

from collections.abc import Sequence
from typing import Final

from processor.domain.ownership import Buckets
from processor.domain.view import Position
from storage.postgres import rows
from storage.verify.report import Tally, differs, row
from storage.verify.tables import Connection

SELECT_COPIES: Final = "SELECT bucket, source, incarnation, seq, place FROM bucket_copies"
SELECT_BUCKETS: Final = "SELECT shard, region, version, ranges FROM lane_buckets"


class BucketsCheck:
    """Follows the few batches that change what the shard owns."""

    def __init__(self, tally: Tally, shard: str) -> None:
        """What is found goes to `tally`, that of the journal."""
        self._tally = tally
        self._shard = shard
        self._newest: Buckets | None = None
        self._copies: dict[str, Position] = {}

    def copied(self, positions: Sequence[tuple[str, Position]]) -> None:
        """Take in how far copies of other shards' buckets are."""
        self._copies.update(positions)

    def batch(self, buckets: Buckets | None, seq: int) -> None:
        """Take in what a batch says."""
        if buckets is None:
            return
        expected = (self._newest.version if self._newest else 0) + 1
        if buckets.version != expected:
            where, why = row("journal", seq=seq), "the version before, and one"
            self._tally.breach(differs(where, "buckets", buckets.version, expected, why))
        self._newest = buckets

    async def finish(self, connection: Connection) -> None:
        """Compare with the table."""
        found = {one["shard"]: rows.buckets(one) for one in await connection.fetch(SELECT_BUCKETS)}
        expected = {self._shard: self._newest} if self._newest else {}
        for shard in sorted(found.keys() | expected.keys()):
            stored, image = found.get(shard), expected.get(shard)
            if stored != image:
                where, why = row("lane_buckets", shard=shard), "newest in the journal"
                self._tally.breach(differs(where, "row", stored, image, why))
        copies = {
            one["bucket"]: Position(*one[1:]) for one in await connection.fetch(SELECT_COPIES)
        }
        for bucket in sorted(copies.keys() | self._copies.keys()):
            position, newest = copies.get(bucket), self._copies.get(bucket)
            if position != newest:
                where, why = row("bucket_copies", bucket=bucket), "newest in the journal"
                self._tally.breach(differs(where, "row", position, newest, why))

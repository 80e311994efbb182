"""The shard's buckets: the row is what the journal last said, and versions follow each other."""

from typing import Final

from processor.domain.ownership import Buckets
from storage.postgres import rows
from storage.verify.report import Tally, differs, row
from storage.verify.tables import Connection

SELECT_BUCKETS: Final = "SELECT shard, region, version, ranges FROM lane_buckets"


class BucketsCheck:
    """Follows the few batches that change what the shard owns."""

    def __init__(self, tally: Tally, shard: str) -> None:
        """What is found goes to `tally`, that of the journal."""
        self._tally = tally
        self._shard = shard
        self._newest: Buckets | None = None

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

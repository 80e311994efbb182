"""A processor whose lane commits a thousand commands per second and no more.

`python -m tests.acceptance.held_processor`
"""

import asyncio

from deploy.servers import processor
from processor.ports import Batch, Ownership
from storage.postgres.lane_store import PostgresLaneStore

COMMANDS_PER_SECOND = 1_000
CATCH_UP_SECONDS = 0.1


class Held(PostgresLaneStore):
    """Takes its time for every batch, as a slow disk would."""

    _free_at = 0.0

    async def apply(self, ownership: Ownership, batch: Batch) -> None:
        now = asyncio.get_running_loop().time()
        # What is lost between two batches is made up for, or the pace would be a lower one.
        began = max(now - CATCH_UP_SECONDS, self._free_at)
        self._free_at = began + len(batch.keys) / COMMANDS_PER_SECOND
        await super().apply(ownership, batch)
        await asyncio.sleep(self._free_at - now)


if __name__ == "__main__":
    processor.PostgresLaneStore = Held  # type: ignore[attr-defined]
    processor.main()

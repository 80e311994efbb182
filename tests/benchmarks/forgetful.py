"""A processor that never finds a stored request key: `python -m tests.benchmarks.forgetful`."""

from collections.abc import Sequence

from deploy.servers import processor
from processor.domain.view import Item
from processor.ports import Loaded
from storage.postgres.lane_store import PostgresLaneStore


class Forgetful(PostgresLaneStore):
    """Says of every key that there is none."""

    async def load(self, items: Sequence[Item]) -> Loaded:
        loaded = await super().load(items)
        values = {
            item: None if item.kind == "key" else value for item, value in loaded.values.items()
        }
        return loaded._replace(values=values)


if __name__ == "__main__":
    processor.PostgresLaneStore = Forgetful  # type: ignore[attr-defined]
    processor.main()

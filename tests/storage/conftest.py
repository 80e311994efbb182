"""What several tests of storage share."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import Shard
from tests.storage.office import Office


@pytest.fixture
async def office(shard: Shard) -> AsyncIterator[Office]:
    """A shop whose ledger can be saved to a fresh shard, and read there."""
    office = Office(shard)
    yield office
    await office.queries.close()

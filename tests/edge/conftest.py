"""A running gateway whose callers are served by the HTTP/2 edge."""

from collections.abc import AsyncIterator

import pytest

from tests.gateway import conftest
from tests.gateway.conftest import Stack


@pytest.fixture(scope="session")
async def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with conftest.running(tmp_path_factory.mktemp("edge"), gateway_edge="http2") as stack:
        yield stack


@pytest.fixture
async def stack(shared_stack: Stack) -> AsyncIterator[Stack]:
    """One gateway serves many tests; it must be at rest between two of them."""
    shared_stack.processor.reset()
    yield shared_stack
    await conftest.until(lambda: conftest.metric("tender_gateway_in_flight") == 0)

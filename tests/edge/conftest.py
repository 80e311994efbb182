"""A running gateway whose callers are served by the HTTP/2 edge."""

import gc
from collections.abc import AsyncIterator

import pytest

from gateway.edge.http2.edge import Http2Edge
from tests.gateway import conftest
from tests.gateway.conftest import Stack


def _edges() -> list[Http2Edge]:
    return [one for one in gc.get_objects() if isinstance(one, Http2Edge)]


@pytest.fixture(scope="session")
def others() -> list[Http2Edge]:
    """Edges that were there before: other tests keep theirs for the whole session."""
    return _edges()


@pytest.fixture(scope="session")
async def shared_stack(
    others: list[Http2Edge], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    async with conftest.running(tmp_path_factory.mktemp("edge"), gateway_edge="http2") as stack:
        yield stack


@pytest.fixture(scope="session")
def edge(shared_stack: Stack, others: list[Http2Edge]) -> Http2Edge:
    """What serves the shared stack, to see what it holds."""
    (found,) = (one for one in _edges() if not any(one is other for other in others))
    return found


@pytest.fixture
async def stack(shared_stack: Stack, edge: Http2Edge) -> AsyncIterator[Stack]:
    """One gateway serves many tests; it must be at rest between two of them, and hold nothing."""
    shared_stack.processor.reset()
    yield shared_stack
    await conftest.until(lambda: conftest.metric("tender_gateway_in_flight") == 0)
    await conftest.until(lambda: (edge.calls.amount, edge.held.amount, edge.unsent.amount) == NONE)


NONE = (0, 0, 0)

"""Real stacks on loopback, one that stays calm and one whose parts get killed, and the verdict."""

import asyncio
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from prometheus_client import parser
from prometheus_client.samples import Sample

import tender
from deploy.local import folder
from deploy.local.stack import Stack, StackOptions
from storage.verify import verify_shards
from tests.acceptance.load import Recorder
from tests.checker import History, check
from tests.plugins.figures import measured

__all__ = ["agree", "api_key", "connect", "gauge", "measured", "rest", "samples"]

CALL_SECONDS_MAX = 30.0
"""A client that rides out any fault of these tests."""

SCRAPE_SECONDS_MAX = 5.0

REST_SECONDS_MAX = 30.0
"""From the last call until all money between shards has arrived."""

SENT = "SELECT destination AS peer, max(number) AS number FROM legs_sent GROUP BY destination"
RECEIVED = "SELECT source AS peer, max(number) AS number FROM legs_received GROUP BY source"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of which nothing is ever killed."""
    options = StackOptions(data_dir=Path(tmp_path_factory.mktemp("calm")), replicas=0)
    with Stack(options) as stack:
        yield stack


@pytest.fixture(scope="session")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose parts are killed, stopped and paused, and started again by its supervisor."""
    options = StackOptions(data_dir=Path(tmp_path_factory.mktemp("fragile")), replicas=0)
    with Stack(options) as stack:
        stack.supervise_in_background()
        yield stack


@pytest.fixture
async def recorder(stack: Stack) -> AsyncIterator[Recorder]:
    """Calls the calm stack; at the end what was told and what is stored must agree."""
    async with connect(stack.endpoints) as client:
        recorder = Recorder(client, History())
        yield recorder
    await agree(recorder.history, stack.endpoints)


@pytest.fixture
async def survivor(fragile: Stack) -> AsyncIterator[Recorder]:
    """Calls the fragile stack; at the end what was told and what is stored must agree."""
    async with connect(fragile.endpoints) as client:
        recorder = Recorder(client, History())
        yield recorder
    await agree(recorder.history, fragile.endpoints)


def api_key(endpoints: folder.Endpoints) -> str:
    """Return the stack's development key."""
    return endpoints.api_key_file.read_text().strip()


def connect(
    endpoints: folder.Endpoints,
    *,
    retry: tender.RetryPolicy | None = None,
    timeout: float = CALL_SECONDS_MAX,
    channels: int = 2,
) -> tender.Client:
    """Return a client of the stack's gateway."""
    return tender.Client(
        endpoints.gateway,
        api_key(endpoints),
        channels=channels,
        timeout=timeout,
        retry=retry or tender.RetryPolicy(attempts_max=20),
    )


async def agree(history: History, endpoints: folder.Endpoints) -> None:
    """Judge twice: the clients' own history, and the ledger by itself."""
    await rest(endpoints)
    urls = [shard.owner_url for shard in endpoints.shards]
    assert await check(history, *urls) == []
    report = await verify_shards(urls)
    assert report.breaches == []
    assert [found for one in report.findings for found in one.breaches] == []


async def rest(endpoints: folder.Endpoints) -> None:
    """Wait until each shard has taken all that the others sent it."""
    async with asyncio.timeout(REST_SECONDS_MAX):
        while (  # noqa: ASYNC110
            await _legs(endpoints, SENT) != await _legs(endpoints, RECEIVED)
        ):
            await asyncio.sleep(0.1)


async def _legs(endpoints: folder.Endpoints, query: str) -> dict[tuple[str, str], int]:
    """Return how many legs there are by source and destination."""
    found = {}
    for shard in endpoints.shards:
        connection = await asyncpg.connect(shard.owner_url)
        try:
            for row in await connection.fetch(query):
                pair = (shard.name, row["peer"]) if query == SENT else (row["peer"], shard.name)
                found[pair] = row["number"]
        finally:
            await connection.close()
    return found


def samples(address: str, name: str) -> list[Sample]:
    """Return a metric of one server; raises OSError if it does not answer."""
    with urllib.request.urlopen(
        f"http://{address}/metrics", timeout=SCRAPE_SECONDS_MAX
    ) as response:
        text = response.read().decode()
    return [
        sample
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    ]


def gauge(address: str, name: str) -> float:
    """Return the sum of a metric of one server."""
    return sum(sample.value for sample in samples(address, name))

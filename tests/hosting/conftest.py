"""A real processor with two shards in two regions, called as gateways and peers do."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from deploy.local.stack import Stack
from deploy.servers import processor as processor_server
from kit import internal_auth, settings
from kit.shard_map import ShardMap
from storage.shards.store import ShardMapStore
from tender.v1 import (
    account_pb2,
    directory_pb2,
    directory_pb2_grpc,
    lane_pb2,
    lane_pb2_grpc,
    query_pb2_grpc,
)
from tests.conftest import Shard, fresh_shard
from tests.databases import Databases
from tests.gateway.conftest import accepting, free_address

TOKEN = "internal-token-of-the-tests-0123456789"
METADATA = internal_auth.metadata(TOKEN)
WAIT_SECONDS_MAX = 10.0
REGIONS = {"s1": "eu", "s2": "us"}
MAP = ShardMap.split({"eu": ["s1"], "us": ["s2"]})
OPERATOR = lane_pb2.Principal(tenant_id="dev", operator=True)
_numbers = itertools.count(1)


class Stream:
    """A stream of LaneService.Execute, one command at a time."""

    def __init__(self, channel: grpc.aio.Channel, shard: str | None) -> None:
        named = () if shard is None else (("tender-shard", shard),)
        stub = lane_pb2_grpc.LaneServiceStub(channel)
        self.call: Any = stub.Execute(metadata=(*METADATA, *named))

    async def ask(self, request: account_pb2.CreateAccountRequest) -> lane_pb2.Outcome:
        """Send a command and return its outcome."""
        message = lane_pb2.ExecuteRequest()
        message.commands.add(
            correlation_id=1,
            method=lane_pb2.METHOD_CREATE_ACCOUNT,
            request=request.SerializeToString(),
            principal=OPERATOR,
        )
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            await self.call.write(message)
            response = await self.call.read()
            while isinstance(response, lane_pb2.ExecuteResponse) and not response.outcomes:
                response = await self.call.read()  # It only tells the lane's incarnation.
        assert isinstance(response, lane_pb2.ExecuteResponse), await self.status()
        [outcome] = response.outcomes
        return outcome

    async def is_over(self) -> bool:
        """Return once nothing more comes but, perhaps, that the lane has no incarnation now."""
        while (said := await self.call.read()) is not grpc.aio.EOF:
            assert not said.outcomes
        return True

    async def account(self) -> account_pb2.Account:
        """Open an account that no other test has."""
        user = f"user-{next(_numbers)}"
        outcome = await self.ask(
            account_pb2.CreateAccountRequest(request_id=user, user_id=user, currency_code="EUR")
        )
        assert outcome.WhichOneof("result") == "response", outcome
        return account_pb2.CreateAccountResponse.FromString(outcome.response).account

    async def status(self) -> tuple[grpc.StatusCode, str]:
        """Return with what the stream ended."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            return await self.call.code(), await self.call.details()


@dataclass
class Host:
    """A running processor, and how it is reached."""

    address: str
    channel: grpc.aio.Channel
    stop: asyncio.Future[str]
    stopped: asyncio.Task[None]

    @property
    def reads(self) -> Any:
        return query_pb2_grpc.QueryServiceStub(self.channel)

    def stream(self, shard: str | None) -> Stream:
        return Stream(self.channel, shard)

    def watch(self) -> Any:
        """Start watching; the call yields all that the processor tells."""
        stub: Any = directory_pb2_grpc.DirectoryServiceStub(self.channel)
        return stub.Watch(directory_pb2.WatchRequest(), metadata=METADATA)

    async def tells(self, epochs: Mapping[str, int] | None = None) -> dict[str, int]:
        """Wait until it holds every lane with an epoch above the given one; return the epochs."""
        before = epochs or dict.fromkeys(REGIONS, 0)
        watching = self.watch()
        try:
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                while True:
                    held = lanes(await watching.read())
                    if all(held.get(shard, 0) > epoch for shard, epoch in before.items()):
                        return held
        finally:
            watching.cancel()


def lanes(known: directory_pb2.WatchResponse) -> dict[str, int]:
    """Return the epochs of the lanes that are held."""
    return {lane.shard: lane.epoch for lane in known.lanes}


@pytest.fixture
async def shards(engines: Stack, shard_databases: Databases) -> AsyncIterator[dict[str, Shard]]:
    """Two fresh shards; the first one has the directory's map."""
    async with AsyncExitStack() as stack:
        found = {
            name: await stack.enter_async_context(fresh_shard(engines, shard_databases))
            for name in REGIONS
        }
        directory = ShardMapStore(found["s1"].owner_url)
        await directory.write_first(MAP)
        await directory.close()
        yield found


@asynccontextmanager
async def hosting(
    folder: Path, shards: Mapping[str, Shard], address: str | None = None, **given: Any
) -> AsyncIterator[Host]:
    """Run a processor for the shards until the block ends."""
    token, shards_file = folder / "token", folder / "shards.json"
    token.write_text(TOKEN)
    entries = [
        {
            "shard": name,
            "region": REGIONS[name],
            "database_url": shard.lane_url,
            "query_database_url": shard.reader_url,
        }
        for name, shard in shards.items()
    ]
    shards_file.write_text(json.dumps(entries))
    shards_file.chmod(0o600)
    address = address or free_address()
    processor = settings.ProcessorSettings(
        internal_token_file=token,
        shards_file=shards_file,
        processor_listen=address,
        metrics_listen="127.0.0.1:0",
        **given,
    )
    stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(processor_server.serve(processor, stop))
    try:
        await accepting(address)
        async with grpc.aio.insecure_channel(address) as channel:
            yield Host(address, channel, stop, serving)
    finally:
        if not stop.done():
            stop.set_result("test")
        await serving


@pytest.fixture
async def host(tmp_path: Path, shards: dict[str, Shard]) -> AsyncIterator[Host]:
    """A processor that holds both lanes."""
    async with hosting(tmp_path, shards) as running:
        await running.tells()
        yield running

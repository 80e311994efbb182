"""However wrong the map is, at the gateway and the processor alike: each call reaches its owner."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

import tender
from deploy.local.stack import Stack
from deploy.servers import gateway as gateway_server
from deploy.servers import processor as processor_server
from kit import api_keys, settings
from kit.shard_map import BucketRange, ShardMap
from processor.domain import ids
from processor.domain.ownership import NAMES
from storage.shards.store import ShardMapStore
from storage.verify import verify
from tests.conftest import Shard, fresh_shard
from tests.gateway import conftest
from tests.gateway.scripted import PEPPER

RIGHT = ShardMap(1, (BucketRange("eu", 0, 511, "s1"), BucketRange("eu", 512, 1023, "s2")))
WRONG = ShardMap(2, (BucketRange("eu", 0, 511, "s2"), BucketRange("eu", 512, 1023, "s1")))
USERS = 30
OWNED = "SELECT id FROM accounts WHERE user_id <> ''"


@dataclass
class Company:
    """Two shards of one region, and a key of theirs."""

    folder: Path
    shards: Mapping[str, Shard]
    key: str


@pytest.fixture
async def company(engines: Stack, shard_template: str, tmp_path: Path) -> AsyncIterator[Company]:
    async with AsyncExitStack() as stack:
        shards = {
            name: await stack.enter_async_context(fresh_shard(engines, shard_template))
            for name in ("s1", "s2")
        }
        key = api_keys.generate()
        await execute(
            shards["s1"],
            "INSERT INTO api_keys (key_id, secret_hash, tenant_id, scopes)"
            " VALUES ($1, $2, 'acme', '{service,operator}')",
            key.key_id,
            api_keys.secret_hash(PEPPER, key.secret),
        )
        directory = ShardMapStore(shards["s1"].owner_url)
        await directory.write_first(RIGHT)
        await directory.close()
        yield Company(tmp_path, shards, key.text)


async def execute(shard: Shard, statement: str, *arguments: object) -> None:
    connection = await asyncpg.connect(shard.owner_url)
    await connection.execute(statement, *arguments)
    await connection.close()


async def accounts(shard: Shard) -> set[str]:
    connection = await asyncpg.connect(shard.owner_url)
    found = {row["id"] for row in await connection.fetch(OWNED)}
    await connection.close()
    return found


async def use_wrong_map(company: Company) -> None:
    """Write a map that gives each shard what the other one owns."""
    directory = company.shards["s1"]
    await execute(directory, "DELETE FROM shard_map_ranges")
    for each in WRONG.ranges:
        await execute(directory, "INSERT INTO shard_map_ranges VALUES ($1, $2, $3, $4)", *each)
    await execute(directory, "UPDATE shard_map_version SET version = $1", WRONG.version)


@asynccontextmanager
async def serving(company: Company) -> AsyncIterator[tender.Client]:
    """A processor with both lanes and a gateway; gives a client of it."""
    secrets = conftest.write_secrets(company.folder)
    shards_file = company.folder / "shards.json"
    entries = [
        {
            "shard": name,
            "region": "eu",
            "database_url": shard.lane_url,
            "query_database_url": shard.reader_url,
        }
        for name, shard in company.shards.items()
    ]
    shards_file.write_text(json.dumps(entries))
    shards_file.chmod(0o600)
    target, address = conftest.free_address(), conftest.free_address()
    processor = settings.ProcessorSettings(
        internal_token_file=secrets["internal_token_file"],
        shards_file=shards_file,
        processor_listen=target,
        metrics_listen="127.0.0.1:0",
    )
    gateway = settings.GatewaySettings(
        **secrets,
        gateway_listen=address,
        processor_targets=(target,),
        metrics_listen="127.0.0.1:0",
        quiet_seconds=0,
    )
    stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        group.create_task(processor_server.serve(processor, stop))
        await conftest.accepting(target)
        group.create_task(gateway_server.serve(gateway, stop))
        await conftest.accepting(address)
        try:
            async with tender.Client(address, company.key, timeout=20.0) as client:
                yield client
        finally:
            stop.set_result("test")


def is_of(shard: str, account_id: str) -> bool:
    return (NAMES.index(ids.bucket_of_id(account_id)) < 512) == (shard == "s1")


async def test_calls_with_a_wrong_map_everywhere_reach_the_owners_of_their_buckets(
    company: Company,
) -> None:
    async with serving(company) as client:
        early = [await client.create_account(user_id=f"a-{n}", currency_code="EUR") for n in "ab"]
    await use_wrong_map(company)

    async with serving(company) as client:
        calls = [
            client.create_account(user_id=f"u-{n}", currency_code="EUR", request_id=f"u-{n}")
            for n in range(USERS)
        ]
        opened = await asyncio.gather(*calls)
        again = await asyncio.gather(
            *(
                client.create_account(user_id=f"u-{n}", currency_code="EUR", request_id=f"u-{n}")
                for n in range(USERS)
            )
        )
        frozen = await client.freeze_account(account_id=early[0].account.id)

    assert frozen.account.id == early[0].account.id
    assert [one.account.id for one in again] == [one.account.id for one in opened]
    stored = {name: await accounts(shard) for name, shard in company.shards.items()}
    assert sum(len(found) for found in stored.values()) == USERS + len(early)
    for name, shard in company.shards.items():
        assert all(is_of(name, account_id) for account_id in stored[name])
        assert (await verify(shard.owner_url)).breaches == []

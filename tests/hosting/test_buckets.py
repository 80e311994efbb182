"""Each call reaches the owner of its bucket: while the map is wrong, and while the bucket moves."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import tender
from deploy.local.commands import moving
from deploy.local.stack import Stack
from deploy.servers import gateway as gateway_server
from deploy.servers import processor as processor_server
from kit import api_keys, settings
from kit.shard_map import BucketRange, ShardMap
from processor.domain import ids
from processor.domain.ownership import NAMES
from storage.shards.store import ShardMapStore
from storage.verify import verify, verify_shards
from tender import accounts as accounts_of
from tender import merchants, payments
from tests.conftest import Shard, fresh_shard
from tests.databases import Databases
from tests.gateway import conftest
from tests.gateway.scripted import PEPPER, TOKEN

RIGHT = ShardMap(1, (BucketRange("eu", 0, 511, "s1"), BucketRange("eu", 512, 1023, "s2")))
WRONG = ShardMap(2, (BucketRange("eu", 0, 511, "s2"), BucketRange("eu", 512, 1023, "s1")))
USERS = 30
MOVER_SECONDS_MAX = 40.0
OWNED = "SELECT id FROM accounts WHERE user_id <> ''"


@dataclass
class Company:
    """Two shards of one region, and a key of theirs."""

    folder: Path
    shards: Mapping[str, Shard]
    key: str
    processor: str = ""


@pytest.fixture
async def company(
    engines: Stack, shard_databases: Databases, tmp_path: Path
) -> AsyncIterator[Company]:
    async with AsyncExitStack() as stack:
        shards = {
            name: await stack.enter_async_context(fresh_shard(engines, shard_databases))
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
    company.processor = target
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


@dataclass
class Told:
    """What the mover printed, and with what it ended."""

    exit_code: int
    stdout: str
    stderr: str


async def move(company: Company, buckets: str, to: str, *options: str) -> Told:
    """Run the mover beside the servers."""
    mover = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.local.cli", "shards", "move", "--json"),
        *("--region", "eu", "--bucket", buckets, "--to", to),
        *("--dsn", company.shards["s1"].owner_url, "--processor", company.processor),
        *("--internal-token-file", str(company.folder / "token"), *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await asyncio.wait_for(mover.communicate(), MOVER_SECONDS_MAX)
    assert mover.returncode is not None
    return Told(mover.returncode, stdout.decode(), stderr.decode())


def user_in(first: int, last: int) -> str:
    while True:
        user = tender.new_request_id()
        if first <= NAMES.index(ids.bucket_of_owner("eu", user)) <= last:
            return user


class Newcomers:
    """Users who open accounts in some buckets, one after the other, and are never refused."""

    def __init__(self, client: tender.Client, first: int, last: int) -> None:
        self._client, self._first, self._last = client, first, last
        self.opened: list[str] = []
        self.longest_seconds = 0.0
        self.stopping = False

    async def come(self) -> None:
        while not self.stopping:
            user, began = user_in(self._first, self._last), time.monotonic()
            answer = await self._client.create_account(user_id=user, currency_code="EUR")
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)
            self.opened.append(answer.account.id)


async def test_buckets_move_while_payments_go_on_and_new_users_land_where_they_went(
    company: Company,
) -> None:
    async with serving(company) as client:
        others = Newcomers(client, 100, 1023)
        coming = [asyncio.create_task(others.come()) for _ in range(4)]
        moved = await move(company, "0-9", "s2")
        again = await move(company, "0-9", "s2")
        landed = [
            (await client.create_account(user_id=user_in(0, 9), currency_code="EUR")).account.id
            for _ in range(5)
        ]
        others.stopping = True
        await asyncio.gather(*coming)

    assert moved.exit_code == 0, moved.stderr
    assert json.loads(moved.stdout) == {
        "version": 2,
        "moved": [{"source": "s1", "first_bucket": 0, "last_bucket": 9}],
    }
    assert json.loads(again.stdout) == {"version": 2, "moved": []}
    assert others.opened
    stored = {name: await accounts(shard) for name, shard in company.shards.items()}
    assert stored["s2"].issuperset(landed)
    assert stored["s1"] | stored["s2"] == {*landed, *others.opened}
    for shard in company.shards.values():
        assert (await verify(shard.owner_url)).breaches == []


async def test_a_mover_that_died_after_the_release_is_repeated_to_the_end(
    company: Company,
) -> None:
    """The lanes have agreed and the map does not know it: callers do not notice."""
    part = moving.Part("s1", 20, 29)
    async with serving(company) as client:
        await client.create_account(user_id=user_in(0, 9), currency_code="EUR")
        lanes = moving.Lanes([company.processor], TOKEN)
        await asyncio.to_thread(lanes.release, part, "s2")
        lanes.close()
        landed = await client.create_account(user_id=user_in(20, 29), currency_code="EUR")
        stale = await read_map(company)
        finished = await move(company, "20-29", "s2")
        newest = await read_map(company)

    assert landed.account.id in await accounts(company.shards["s2"])
    assert stale == RIGHT
    assert finished.exit_code == 0, finished.stderr
    assert newest == RIGHT.moved("eu", 20, 29, "s2")


async def read_map(company: Company) -> ShardMap | None:
    directory = ShardMapStore(company.shards["s1"].owner_url)
    try:
        return await directory.read()
    finally:
        await directory.close()


class Shopping:
    """A customer who pays again and again in a bucket that moves; every answer is kept."""

    def __init__(self, client: tender.Client, payer: str, merchant: str) -> None:
        self._client, self._payer, self._merchant = client, payer, merchant
        self.paid: dict[str, str] = {}
        self.longest_seconds = 0.0
        self.stopping = False

    async def go(self) -> None:
        while not self.stopping:
            request_id, began = tender.new_request_id(), time.monotonic()
            answer = await self.pay(request_id)
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)
            self.paid[request_id] = answer.payment.id

    async def pay(self, request_id: str) -> Any:
        call = payments.authorize(
            payer_account_id=self._payer,
            merchant_id=self._merchant,
            amount=tender.money("EUR", 1),
            request_id=request_id,
        )
        return await self._client.invoke(call)


async def test_a_bucket_with_users_moves_while_they_pay(company: Company) -> None:
    async with serving(company) as client:
        user = user_in(100, 400)
        payer = (await client.create_account(user_id=user, currency_code="EUR")).account.id
        await client.invoke(
            accounts_of.transfer(
                source_account_id="world",
                destination_account_id=payer,
                amount=tender.money("EUR", 100_000),
            )
        )
        merchant = await new_merchant(client, user_in(401, 500))
        shopping = [Shopping(client, payer, merchant) for _ in range(3)]
        going = [asyncio.create_task(each.go()) for each in shopping]
        await asyncio.sleep(0.3)
        bucket = NAMES.index(ids.bucket_of_id(payer))
        moved = await move(company, str(bucket), "s2")
        for each in shopping:
            each.stopping = True
        await asyncio.gather(*going)
        paid = {request_id: name for each in shopping for request_id, name in each.paid.items()}
        again = [(await shopping[0].pay(request_id)).payment.id for request_id in list(paid)[::10]]
        account = (await client.invoke(accounts_of.get(account_id=payer))).account
        listed = await all_of(client, merchant)
        back = await move(company, str(bucket), "s2", "--undo")

    assert moved.exit_code == 0, moved.stderr
    told = json.loads(moved.stdout)
    assert [one["bucket"] for one in told["buckets"]] == [bucket]
    assert again == list(paid.values())[::10]
    assert account.posted.minor_units == 100_000 - len(paid)
    assert sorted(listed) == sorted(paid.values())
    assert back.exit_code == 0, back.stderr
    assert await read_map(company) == RIGHT.moved("eu", bucket, bucket, "s2").moved(
        "eu", bucket, bucket, "s1"
    )
    report = await verify_shards([shard.owner_url for shard in company.shards.values()])
    assert report.breaches == []


async def new_merchant(client: tender.Client, reference: str) -> str:
    """Create a merchant with a wallet."""
    wallet = await client.create_account(
        user_id=reference, currency_code="EUR", kind=tender.Account.KIND_MERCHANT_WALLET
    )
    terms = tender.SettlementTerms(
        currency_code="EUR",
        account_id=wallet.account.id,
        fee_schedule=tender.FeeSchedule(
            basis_points=0, fixed_minor_units=0, refund_policy=tender.FEE_REFUND_POLICY_KEEP
        ),
    )
    created = await client.invoke(
        merchants.create(reference=reference, display_name="Shop", settlement_terms=[terms])
    )
    merchant_id: str = created.merchant.id
    return merchant_id


async def all_of(client: tender.Client, merchant_id: str) -> list[str]:
    """Return the ids of a merchant's payments, page by page over all shards."""
    found: list[str] = []
    page_token = ""
    while True:
        page = await client.invoke(payments.page(merchant_id=merchant_id, page_token=page_token))
        found += [one.id for one in page.payments]
        page_token = page.next_page_token
        if not page_token:
            return found


async def test_several_ranges_with_and_without_users_move_in_one_command(
    company: Company,
) -> None:
    async with serving(company) as client:
        users = [user_in(3, 3), user_in(21, 21)]
        opened = [
            (await client.create_account(user_id=user, currency_code="EUR")).account.id
            for user in users
        ]
        moved = await move(company, "0-9", "s2", "--bucket", "20-22")
        newest = await read_map(company)
        found = [await client.get_account(account_id=account_id) for account_id in opened]

    assert moved.exit_code == 0, moved.stderr
    told = json.loads(moved.stdout)
    assert [(one["first_bucket"], one["last_bucket"]) for one in told["moved"]] == [
        (0, 9),
        (20, 22),
    ]
    assert [one["bucket"] for one in told["buckets"]] == [3, 21]
    assert newest is not None
    assert {newest.shard_of("eu", NAMES[number]) for number in (*range(10), 20, 21, 22)} == {"s2"}
    assert {newest.shard_of("eu", NAMES[number]) for number in (10, 19, 23)} == {"s1"}
    assert [one.as_of[0].shard for one in found] == ["s2", "s2"]

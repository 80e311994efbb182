"""Verify over several shards: silent about the truth, at rest and in flight, exact about lies."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import NamedTuple

import asyncpg
import pytest

from deploy.local.stack import Stack
from storage.postgres.lane_store import PostgresLaneStore
from storage.verify import ShardsReport, verify_shards
from tender.v1 import account_pb2
from tests.conftest import Shard, fresh_shard
from tests.databases import Databases
from tests.lane.city import REGIONS, City, city_of, refund
from tests.lane.harness import authorize, euros, unique
from tests.storage.alterations import altered

LEGS = "legs are taken as they were sent"
PAIRS = "clearing accounts cancel but for what is in flight"
ROUNDS = 5
TOTALS = "debits = credits over all shards"


class Content(NamedTuple):
    """A city at rest or not, and what is in it."""

    shards: dict[str, Shard]
    city: City
    payer: str
    merchant: str
    wallet: str

    @property
    def urls(self) -> list[str]:
        return [shard.reader_url for shard in self.shards.values()]


@pytest.fixture(scope="module")
async def content(engines: Stack, shard_databases: Databases) -> AsyncIterator[Content]:
    """Three shards that sent each other every kind of leg, and are at rest."""
    async with contextlib.AsyncExitStack() as stack:
        shards = {
            name: await stack.enter_async_context(fresh_shard(engines, shard_databases))
            for name in REGIONS
        }

        def store(name: str) -> PostgresLaneStore:
            return PostgresLaneStore(shards[name].lane_url, name, tenure_seconds_min=0)

        city = await stack.enter_async_context(city_of(store))
        yield await fill(shards, city)


async def fill(shards: dict[str, Shard], city: City) -> Content:
    payer = await city["s1"].account("alice", 100_000)
    merchant = await city["s2"].merchant("cafe", basis_points=1_000)
    friend = await city["s3"].account("bob", 500)
    paid = await city["s1"].ask(authorize(payer, merchant, 1_000))
    await city["s1"].ask(refund(paid.payment, 300))
    await city["s3"].ask(give(friend, payer, 200))
    await city.rest()
    await city.rest()
    wallet = paid.payment.settlement_account_id
    await city["s2"].ask(account_pb2.FreezeAccountRequest(request_id=unique(), account_id=wallet))
    await city["s1"].ask(authorize(payer, merchant, 90))
    await city["s1"].ask(refund(paid.payment, 10))
    await city.rest()
    await city.rest()
    await city["s2"].ask(account_pb2.UnfreezeAccountRequest(request_id=unique(), account_id=wallet))
    return Content(shards, city, payer, merchant, wallet)


def give(source: str, destination: str, amount: int) -> account_pb2.CreateTransferRequest:
    return account_pb2.CreateTransferRequest(
        request_id=unique(),
        source_account_id=source,
        destination_account_id=destination,
        amount=euros(amount),
    )


def check_of(report: ShardsReport, name: str) -> list[str]:
    [check] = [one for one in report.checks if one.name == name]
    assert check.ok == (not check.breaches)
    return check.breaches


async def test_shards_at_rest_are_in_order(content: Content) -> None:
    report = await verify_shards(content.urls)

    assert report.breaches == []
    assert report.ok
    assert [one.head.shard for one in report.shards] == ["s1", "s2", "s3"]
    assert {check.name: check.rows > 0 for check in report.checks} == {
        LEGS: True,
        PAIRS: True,
        TOTALS: True,
    }
    assert [(one.rows > 0, one.breaches) for one in report.findings] == [(True, [])]
    told = json.loads(report.to_json())
    assert told["ok"] is True
    assert [one["head"]["shard"] for one in told["shards"]] == ["s1", "s2", "s3"]


async def test_what_is_in_flight_is_what_clearing_accounts_differ_by(content: Content) -> None:
    content.city.peers.away.add("s2")
    try:
        for amount in (500, 70):
            await content.city["s1"].ask(authorize(content.payer, content.merchant, amount))
        sums = [
            await value(shard, "SELECT sum(posted) FROM accounts WHERE kind = 'CLEARING'")
            for shard in content.shards.values()
        ]
        report = await verify_shards(content.urls)
    finally:
        content.city.peers.away.clear()
        await content.city.rest()

    assert sum(each or 0 for each in sums) == 570
    assert report.breaches == []


LIES = {
    "money in flight is not there": (
        "s1",
        "accounts",
        "UPDATE accounts SET posted = posted + 5 WHERE id = 'sys_eu_s1_dev_clearing.s2_EUR'",
        PAIRS,
        "clearing between s1 and s2 of tenant_id=dev currency=EUR: adds up to 5, in flight is 0",
    ),
    "money is made": (
        "s3",
        "accounts",
        "UPDATE accounts SET posted = posted + 5 WHERE user_id = 'bob'",
        TOTALS,
        "accounts of tenant_id=dev currency=EUR and what is in flight add up to 5, expected 0",
    ),
    "a leg was taken that was never sent": (
        "s1",
        "legs_sent",
        "DELETE FROM legs_sent WHERE destination = 's2'"
        " AND number = (SELECT max(number) FROM legs_sent WHERE destination = 's2')",
        LEGS,
        "from s1 to s2: was taken, but never sent",
    ),
    "a leg was taken with another amount": (
        "s2",
        "legs_received",
        "UPDATE legs_received SET body ="
        " replace(convert_from(body, 'UTF8'), '\"amount\":90', '\"amount\":91')::bytea"
        " WHERE source = 's1'",
        LEGS,
        "from s1 to s2: sent was",
    ),
    "a leg is lost on its way, and its place is taken by none": (
        "s2",
        "legs_received",
        "DELETE FROM legs_received WHERE source = 's1' AND number ="
        " (SELECT number FROM legs_received WHERE outcome = 'SUSPENSE')",
        PAIRS,
        "clearing between s1 and s2 of tenant_id=dev currency=EUR: adds up to 0, in flight is 90",
    ),
    "a leg was taken twice": (
        "s2",
        "legs_received",
        "INSERT INTO legs_received SELECT source, 1000, seq, '', payment_id, remote_account_id,"
        " outcome, body, created_at FROM legs_received WHERE outcome = 'SUSPENSE'",
        LEGS,
        "leg 1000 from s1 to s2: was taken, but never sent",
    ),
    "a leg cannot be read": (
        "s1",
        "legs_sent",
        "INSERT INTO legs_sent VALUES ('s2', 1000, 1, '', '', '', 'nonsense', now())",
        LEGS,
        "leg 1000 from s1 to s2: cannot be read",
    ),
    "a shard is missing": (
        "s1",
        "legs_received",
        "UPDATE legs_received SET source = 's9' WHERE source = 's3'",
        LEGS,
        "s1 has legs with s9, which was not given",
    ),
}


@pytest.mark.parametrize("what", LIES)
async def test_a_lie_between_shards_is_found(what: str, content: Content) -> None:
    name, table, sql, check, says = LIES[what]

    async with altered(content.shards[name], table, sql):
        report = await verify_shards(content.urls)

    assert not report.ok
    assert any(says in breach for breach in check_of(report, check)), report.breaches
    assert not json.loads(report.to_json())["ok"]


async def test_a_request_id_used_on_two_shards_is_named_but_breaks_nothing(
    content: Content,
) -> None:
    payer = await content.city["s3"].account("carol", 1_000)
    first = authorize(content.payer, content.merchant, 11, "twice")
    second = authorize(payer, content.merchant, 11, "twice")

    assert (await content.city["s1"].ask(first)).payment.captured == euros(11)
    assert (await content.city["s3"].ask(second)).payment.captured == euros(11)
    await content.city.rest()
    report = await verify_shards(content.urls)

    assert report.ok
    [finding] = report.findings
    assert finding.invariant == "R15"
    assert finding.breaches == ["tenant_id=dev request_id=twice: is stored on s1 and s3"]


async def test_a_shard_given_twice_is_told(content: Content) -> None:
    report = await verify_shards([*content.urls, content.urls[0]])

    assert "one shard was given twice" in report.breaches


async def test_lanes_that_go_on_meanwhile_are_not_reported(content: Content) -> None:
    city, is_over = content.city, asyncio.Event()

    async def pay() -> None:
        while not is_over.is_set():
            await city["s1"].ask(authorize(content.payer, content.merchant, 7))

    paying = [asyncio.create_task(pay()) for _ in range(3)]
    try:
        reports = [await verify_shards(content.urls) for _ in range(ROUNDS)]
    finally:
        is_over.set()
        await asyncio.gather(*paying)
        await city.rest()

    assert [report.breaches for report in reports] == [[]] * ROUNDS


async def value(shard: Shard, sql: str) -> int | None:
    connection = await asyncpg.connect(shard.owner_url)
    try:
        found: int | None = await connection.fetchval(sql)
        return found
    finally:
        await connection.close()

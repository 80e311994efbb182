"""The projection says what the ledgers say, in whatever order it hears of it."""

import asyncio
import random

import pytest

from services.reporting import bodies
from services.reporting.records import Records
from storage.memory import Database
from tender.v1 import event_pb2
from tests.lane.city import City, refund
from tests.lane.harness import Caller, authorize
from tests.services.reporting.projections import (
    Projected,
    collected,
    events_of,
    journal_of,
    states_of,
    sums_of,
)
from tests.storage.test_verify import Content, fill

SEEDS = (1, 2, 3)


@pytest.fixture
async def told(city: City, ledgers: dict[str, Database]) -> list[event_pb2.Event]:
    """What three shards say after all kinds of things, some of them between shards."""
    content = await fill(city["s1"])
    cafe = await city["s2"].merchant("cafe", basis_points=1_000)
    await city.rest()
    for _ in range(5):
        paid = await city["s1"].ask(authorize(content.payer, cafe, 150))
        await city.rest()
        await city["s1"].ask(refund(paid.payment, 40))
        await city.rest()
    await asyncio.gather(*(_twice(city["s1"], content) for _ in range(20)))
    return events_of(ledgers)


async def _twice(caller: Caller, content: Content) -> None:
    """Pay, and give back half of it two times, much of it in one commit."""
    paid = await caller.ask(authorize(content.payer, content.merchant, 10))
    await asyncio.gather(*(caller.ask(refund(paid.payment, 5)) for _ in range(2)))


async def test_totals_are_those_of_the_ledgers_to_the_cent(
    projected: Projected, told: list[event_pb2.Event], ledgers: dict[str, Database]
) -> None:
    await projected.take(told)

    assert len(sums_of(ledgers)) == 2
    assert await projected.sums() == sums_of(ledgers)
    assert await projected.states() == states_of(ledgers)


@pytest.mark.parametrize("seed", SEEDS)
async def test_order_and_repeats_change_nothing(
    projected: Projected, told: list[event_pb2.Event], seed: int
) -> None:
    await projected.take(told)
    expected = await projected.content()
    await projected.empty()

    mixed = [*told, *random.Random(seed).sample(told, len(told) // 2)]
    random.Random(seed).shuffle(mixed)
    await projected.take(mixed)

    assert await projected.content() == expected


async def test_a_journal_says_what_its_events_say(
    projected: Projected, told: list[event_pb2.Event], ledgers: dict[str, Database]
) -> None:
    await projected.take(told)
    # Not all commits have something to say.
    expected = await projected.content(without=["positions"])
    rows = journal_of(ledgers)

    await projected.take_rows(rows)
    assert await projected.content(without=["positions"]) == expected
    await projected.empty()
    await projected.take_rows(rows)
    assert await projected.content(without=["positions"]) == expected

    from_rows = Records()
    for row in rows:
        bodies.collect(row, from_rows)
    from_events = collected(told)
    assert from_rows.transfers == from_events.transfers
    assert {it.id for it in from_rows.merchants} == {it.id for it in from_events.merchants}
    assert any(it.remote_account_id for it in from_rows.transfers)


async def test_accounts_have_the_balances_of_the_ledgers(
    projected: Projected, told: list[event_pb2.Event], ledgers: dict[str, Database]
) -> None:
    await projected.take(told)

    rows = await projected.connection.fetch("SELECT id, posted, held, version FROM report.accounts")
    found = {row["id"]: tuple(row)[1:] for row in rows}
    assert found == {
        account.id: (account.posted, account.held, account.version)
        for ledger in ledgers.values()
        for account in ledger.accounts.values()
        if account.version
    }


async def test_running_balances_follow_from_amounts(
    projected: Projected, told: list[event_pb2.Event]
) -> None:
    await projected.take(told)

    accounts = await projected.connection.fetch("SELECT id, posted FROM report.accounts")
    moved = 0
    for account in accounts:
        balance = 0
        for row in await projected.connection.fetch(
            "SELECT CASE WHEN source_account_id = $1 THEN -amount ELSE amount END AS amount,"
            " CASE WHEN source_account_id = $1 THEN source_posted_after"
            " ELSE destination_posted_after END AS posted"
            " FROM report.transfers WHERE $1 IN (source_account_id, destination_account_id)"
            " ORDER BY told_at, seq, place",
            account["id"],
        ):
            balance += row["amount"]
            assert row["posted"] == balance
            moved += 1
        assert account["posted"] == balance
    assert moved > 50

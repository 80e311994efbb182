"""Money between the shards of a real stack: it arrives once, is counted, and never gets lost."""

import asyncio
import itertools
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import tender
from deploy.local.stack import Stack, StackOptions
from kit.shard_map import ShardMap
from tender import accounts, payments
from tests.acceptance.conftest import agree, connect, measured, rest
from tests.acceptance.load import (
    MANUAL,
    Recorder,
    Town,
    names_on,
    new_load,
    open_shop,
    open_town,
)
from tests.checker import History
from tests.docs import readme

FUNDS = 100_000
ARRIVAL_SECONDS_MAX = 20.0
CALLS_MIN = 50
BETWEEN_SECONDS = 1.5
"""Long enough for the supervisor not to take the kills for a crash loop."""

README_SECONDS_MAX = 90.0
RECOVERY_SECONDS_MAX = 30.0
"""How soon is measured elsewhere; here it only has to come back."""


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Four shards in two regions on two Postgres servers, joined by one processor."""
    options = StackOptions(
        tmp_path_factory.mktemp("city"), shards=4, regions=("eu", "us"), servers=2, replicas=0
    )
    with Stack(options) as stack:
        stack.supervise_in_background()
        yield stack


@pytest.fixture
def homes(city: Stack) -> ShardMap:
    return city.options.layout().first_map()


@pytest.fixture
async def citizen(city: Stack) -> AsyncIterator[Recorder]:
    """Calls the city; at the end what was told and what is stored must agree on all shards."""
    async with connect(city.endpoints) as client:
        recorder = Recorder(client, History())
        yield recorder
    await agree(recorder.history, city.endpoints)


async def posted(recorder: Recorder, account_id: str) -> int:
    found = await recorder.client.get_account(account_id=account_id)
    return found.account.posted.minor_units


async def has(recorder: Recorder, account_id: str, amount: int) -> None:
    """Wait until an account has an amount; it arrives when it does."""
    async with asyncio.timeout(ARRIVAL_SECONDS_MAX):
        while await posted(recorder, account_id) != amount:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def is_posted(recorder: Recorder, payment_id: str, amounts: list[int]) -> None:
    """Wait until the payment's own shard shows that all its legs are posted."""
    async with asyncio.timeout(ARRIVAL_SECONDS_MAX):
        while True:
            legs = (await recorder.client.get_payment(payment_id=payment_id)).legs
            assert [leg.amount.minor_units for leg in legs] == amounts
            if all(leg.state == tender.Leg.STATE_POSTED for leg in legs):
                return
            assert {leg.state for leg in legs} <= {
                tender.Leg.STATE_PENDING,
                tender.Leg.STATE_POSTED,
            }
            await asyncio.sleep(0.02)


def fee_of(amount: int) -> int:
    return (amount * 150 + 5_000) // 10_000 + 5


def from_each_to_each(town: Town) -> list[tuple[str, str]]:
    return list(itertools.product(town.shops, town.shops))


async def test_every_shard_s_payer_pays_every_shard_s_merchant(
    citizen: Recorder, homes: ShardMap
) -> None:
    town = await open_town(citizen, homes, customers=1, funds=FUNDS)
    calls = [
        payments.authorize(
            payer_account_id=town.shops[payer].customers[0],
            merchant_id=town.shops[payee].merchant_id,
            amount=tender.money("EUR", 1_000),
        )
        for payer, payee in from_each_to_each(town)
    ]

    answers = await asyncio.gather(*map(citizen.surely, calls))
    again = await asyncio.gather(*map(citizen.surely, calls))

    assert {answer.payment.state for answer in answers} == {tender.Payment.STATE_CAPTURED}
    assert again == answers
    for (payer, payee), answer in zip(from_each_to_each(town), answers, strict=True):
        await is_posted(citizen, answer.payment.id, [] if payer == payee else [1_000])
    for shop in town.shops.values():
        assert await posted(citizen, shop.customers[0]) == FUNDS - 4_000
        await has(citizen, shop.account_id, 4 * (1_000 - fee_of(1_000)))


async def test_holds_for_merchants_elsewhere_are_captured_in_part_or_voided(
    citizen: Recorder, homes: ShardMap
) -> None:
    town = await open_town(citizen, homes, customers=1, funds=FUNDS)

    async def hold_twice(payer: str, payee: str) -> None:
        def hold() -> Any:
            return payments.authorize(
                payer_account_id=town.shops[payer].customers[0],
                merchant_id=town.shops[payee].merchant_id,
                amount=tender.money("EUR", 500),
                capture_method=MANUAL,
            )

        taken, released = await citizen.surely(hold()), await citizen.surely(hold())
        part = tender.money("EUR", 300)
        await citizen.surely(payments.capture(payment_id=taken.payment.id, amount=part))
        await citizen.surely(payments.void(payment_id=released.payment.id))

    await asyncio.gather(*(hold_twice(*pair) for pair in from_each_to_each(town)))

    for shop in town.shops.values():
        await has(citizen, shop.account_id, 4 * (300 - fee_of(300)))
        payer = await citizen.client.get_account(account_id=shop.customers[0])
        assert payer.account.posted.minor_units == FUNDS - 4 * 300
        assert payer.account.held.minor_units == 0


async def test_refunds_come_back_from_every_shard(citizen: Recorder, homes: ShardMap) -> None:
    town = await open_town(citizen, homes, customers=1, funds=FUNDS)

    async def pay_and_take_back(payer: str, payee: str) -> str:
        paid = await citizen.surely(
            payments.authorize(
                payer_account_id=town.shops[payer].customers[0],
                merchant_id=town.shops[payee].merchant_id,
                amount=tender.money("EUR", 1_000),
            )
        )
        part = tender.money("EUR", 400)
        first = await citizen.surely(payments.refund(payment_id=paid.payment.id, amount=part))
        rest_of_it = await citizen.surely(payments.refund(payment_id=paid.payment.id))
        states = {first.refund.state, rest_of_it.refund.state}
        near = payer == payee
        assert states == {tender.Refund.STATE_SUCCEEDED if near else tender.Refund.STATE_PENDING}
        assert rest_of_it.refund.amount.minor_units == 600
        return str(paid.payment.id)

    ids = await asyncio.gather(*(pay_and_take_back(*pair) for pair in from_each_to_each(town)))

    for shop in town.shops.values():
        await has(citizen, shop.customers[0], FUNDS)
        await has(citizen, shop.account_id, 0)
    for payment_id in ids:
        found = await citizen.client.get_payment(payment_id=payment_id)
        assert found.payment.refunded.minor_units == 1_000
        assert found.payment.refund_pending.minor_units == 0
        assert {refund.state for refund in found.refunds} == {tender.Refund.STATE_SUCCEEDED}


async def test_people_give_each_other_money_whatever_their_shards(
    citizen: Recorder, homes: ShardMap
) -> None:
    town = await open_town(citizen, homes, customers=1, funds=FUNDS)
    amounts = {pair: 10 + number for number, pair in enumerate(from_each_to_each(town))}
    calls = {
        (one, other): accounts.transfer(
            source_account_id=town.shops[one].customers[0],
            destination_account_id=town.shops[other].customers[0],
            amount=tender.money("EUR", amount),
        )
        for (one, other), amount in amounts.items()
        if one != other
    }

    answers = await asyncio.gather(*map(citizen.surely, calls.values()))
    again = await asyncio.gather(*map(citizen.surely, calls.values()))

    assert again == answers
    for answer, (_, other) in zip(answers, calls, strict=True):
        assert answer.transfer.remote_account_id == town.shops[other].customers[0]
    for shard, shop in town.shops.items():
        given = sum(amounts[one, other] for one, other in calls if one == shard)
        got = sum(amounts[one, other] for one, other in calls if other == shard)
        await has(citizen, shop.customers[0], FUNDS - given + got)


@pytest.mark.parametrize("stop", ["frozen", "closed"])
async def test_money_for_an_account_that_takes_none_lies_in_suspense(
    city: Stack, citizen: Recorder, homes: ShardMap, stop: str
) -> None:
    payer = await open_shop(citizen, 1, FUNDS, names_on(homes, "s1"))
    payee = await open_shop(citizen, 1, 1, names_on(homes, "s2"))
    friend = payee.customers[0]
    if stop == "frozen":
        await citizen.surely(accounts.freeze(account_id=payee.account_id))
        await citizen.surely(accounts.freeze(account_id=friend))
    else:
        await citizen.surely(
            accounts.transfer(
                source_account_id=friend,
                destination_account_id="world",
                amount=tender.money("EUR", 1),
            )
        )
        await citizen.surely(accounts.close(account_id=payee.account_id))
        await citizen.surely(accounts.close(account_id=friend))

    paid = await citizen.surely(
        payments.authorize(
            payer_account_id=payer.customers[0],
            merchant_id=payee.merchant_id,
            amount=tender.money("EUR", 700),
        )
    )
    await citizen.surely(
        accounts.transfer(
            source_account_id=payer.customers[0],
            destination_account_id=friend,
            amount=tender.money("EUR", 55),
        )
    )
    given = await citizen.surely(payments.refund(payment_id=paid.payment.id))
    await rest(city.endpoints)
    found = await citizen.client.get_payment(payment_id=paid.payment.id)
    [suspended] = found.legs

    assert suspended.state == tender.Leg.STATE_SUSPENSE
    assert suspended.amount.minor_units == 700
    assert paid.payment.state == tender.Payment.STATE_CAPTURED
    assert given.refund.state == tender.Refund.STATE_PENDING
    [refund] = found.refunds
    assert refund.state == tender.Refund.STATE_FAILED
    assert refund.failure_reason == f"ACCOUNT_{stop.upper()}"
    assert found.payment.refund_pending.minor_units == 0
    assert await posted(citizen, payee.account_id) == 0
    assert await posted(citizen, payer.customers[0]) == FUNDS - 755


async def test_a_batch_and_a_stream_pay_over_all_shards(citizen: Recorder, homes: ShardMap) -> None:
    town = await open_town(citizen, homes, customers=2, funds=FUNDS)
    batch = [town.pay(number, 100 + number) for number in range(32)]
    stream = [town.pay(number, 200 + number) for number in range(32)]
    told = {call.request_id: citizen.history.invoke(call.request) for call in (*batch, *stream)}

    outcomes = await citizen.client.payments.authorize_many(batch)
    async with citizen.client.payments.stream() as opened:
        waiting = [await opened.submit(call) for call in stream]
        answers = await asyncio.gather(*waiting)

    for call, answer in zip((*batch, *stream), (*outcomes, *answers), strict=True):
        told[call.request_id].ok(answer if call in stream else answer.result())
    assert {one.response.payment.state for one in told.values()} == {tender.Payment.STATE_CAPTURED}


@pytest.mark.timeout(2 * README_SECONDS_MAX)
def test_the_readme_s_payment_between_shards_is_what_it_says(city: Stack) -> None:
    blocks = readme.blocks(readme.PATH.read_text(), "run on shards")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TENDER_DATA_DIR": str(city.options.data_dir),
        "COLUMNS": "200",
    }
    done = subprocess.run(
        ["sh"],
        input=readme.script(blocks),
        env=environment,
        cwd=readme.PATH.parent,
        capture_output=True,
        text=True,
        timeout=README_SECONDS_MAX,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    shown, verified = readme.outputs(done.stdout)
    assert readme.alike(shown, "text") == readme.alike(blocks[0].expected, "text")
    assert "clearing accounts cancel but for what is in flight" in verified


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("name", "kills"), [("processor", 3), ("postgres2", 2)])
async def test_what_is_killed_between_two_legs_loses_and_doubles_nothing(
    city: Stack, citizen: Recorder, homes: ShardMap, name: str, kills: int
) -> None:
    load = new_load(citizen, await open_town(citizen, homes))
    recoveries = []

    async with load.running():
        for _ in range(kills):
            await asyncio.sleep(BETWEEN_SECONDS)
            killed_at = time.monotonic()
            await asyncio.to_thread(city.kill, name)
            recoveries.append(await load.answered_after(time.monotonic()) - killed_at)
        await asyncio.sleep(BETWEEN_SECONDS)
    began = time.monotonic()
    await rest(city.endpoints)

    measured(
        f"{name} of four shards killed {kills} times: back after"
        f" {', '.join(f'{seconds:.2f}' for seconds in recoveries)} s, {len(load.answered)} calls"
        f" answered, {citizen.unknown} asked again, at rest {time.monotonic() - began:.2f} s later"
    )
    assert len(load.answered) > CALLS_MIN
    assert max(recoveries) < RECOVERY_SECONDS_MAX

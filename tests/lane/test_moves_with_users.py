"""A bucket moves with its users: money, payments, holds and request keys are where it is."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from processor.domain import ids
from processor.domain.ownership import NAMES
from storage.memory import Database
from storage.verify import verify_shards
from tender.v1 import account_pb2, payment_pb2
from tests.conftest import Shard
from tests.lane import city as cities
from tests.lane.city import City, city_of, refund
from tests.lane.conftest import Databases, store_of
from tests.lane.harness import Caller, authorize, euros, unique
from tests.lane.moving import Mover, bucket_of, repeated, user_in
from tests.lane.test_legs import wallet_of

SHARDS = ("s1", "s2", "s3")
SHARE = 341
MANUAL = payment_pb2.CAPTURE_METHOD_MANUAL
CLOCK_AHEAD_US = 300_000
RESERVED = NAMES.index(ids.bucket_of_owner("eu", ""))


@pytest.fixture
async def town(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[City]:
    """Three shards of one region, a third of the buckets each; verified in the end."""
    homes = {f"eu/{name}": SHARDS[min(number // SHARE, 2)] for number, name in enumerate(NAMES)}
    monkeypatch.setattr(cities, "HOMES", homes)
    monkeypatch.setattr(cities, "REGIONS", dict.fromkeys(SHARDS, "eu"))
    async with city_of(store_of(databases)) as city:
        yield city
        await city.rest()
    urls = [one.owner_url for one in databases.values() if isinstance(one, Shard)]
    if urls:
        report = await verify_shards(urls)
        assert report.breaches == []
        assert [finding.breaches for finding in report.findings] == [[]]


def first_of(shard: str) -> tuple[int, int]:
    """Return the buckets of a shard, but for that of the tenants' own accounts."""
    first = SHARDS.index(shard) * SHARE
    last = first + SHARE - 1
    return (first, RESERVED - 1) if first < RESERVED <= last else (first, last)


async def open_on(caller: Caller, shard: str, funds: int = 0) -> str:
    return await caller.account(user_in(*first_of(shard)), funds)


async def merchant_on(caller: Caller, shard: str) -> str:
    return await caller.merchant(user_in(*first_of(shard)), basis_points=100)


async def balance(caller: Caller, account_id: str) -> tuple[int, int]:
    """Return what is posted and held; the account is open again at once."""
    frozen = await caller.ask(
        account_pb2.FreezeAccountRequest(request_id=unique(), account_id=account_id)
    )
    await caller.ask(account_pb2.UnfreezeAccountRequest(request_id=unique(), account_id=account_id))
    posted, available = frozen.account.posted, frozen.account.available
    return posted.minor_units, posted.minor_units - available.minor_units


async def test_money_and_holds_are_where_the_bucket_went(town: City) -> None:
    payer = await open_on(town["s1"], "s1", 1_000)
    merchant = await merchant_on(town["s1"], "s1")
    held = await town["s1"].ask(authorize(payer, merchant, 300, capture_method=MANUAL))
    await town["s1"].ask(authorize(payer, merchant, 200))
    mover = Mover(town, bucket_of(payer))

    await mover.move()

    assert await balance(mover.caller, payer) == (800, 300)
    captured = await mover.caller.ask(
        payment_pb2.CapturePaymentRequest(request_id=unique(), payment_id=held.payment.id)
    )
    assert captured.payment.captured.minor_units == 300
    assert await balance(mover.caller, payer) == (500, 0)
    declined = await mover.caller.ask(authorize(payer, merchant, 501))
    assert declined.payment.decline_reason == payment_pb2.DECLINE_REASON_INSUFFICIENT_FUNDS


async def test_what_happens_after_a_move_has_later_ids_although_the_clocks_differ(
    town: City, databases: Databases
) -> None:
    payer = await open_on(town["s1"], "s1", 1_000)
    mover = Mover(town, bucket_of(payer))
    beats = town.lanes["s1"]._beats
    assert beats is not None
    beats.clock._base += CLOCK_AHEAD_US

    await mover.move()

    left, came = [await last_transfer(databases[name], payer) for name in ("s1", "s2")]
    assert left < came


async def last_transfer(shard: Shard | Database, account_id: str) -> str:
    """Return the newest transfer of an account as a shard has stored it."""
    if isinstance(shard, Database):
        return shard.accounts[account_id].last_transfer_id
    connection = await asyncpg.connect(shard.owner_url)
    try:
        found = "SELECT last_transfer_id FROM accounts WHERE id = $1"
        return str(await connection.fetchval(found, account_id))
    finally:
        await connection.close()


async def test_a_repeat_after_the_move_gets_its_first_answer(town: City) -> None:
    payer = await open_on(town["s1"], "s1", 1_000)
    merchant = await merchant_on(town["s1"], "s1")
    request = authorize(payer, merchant, 100, "the-first")
    first = await town["s1"].ask(request)
    declined = authorize(payer, merchant, 5_000, "declined")
    said = await town["s1"].ask(declined)
    mover = Mover(town, bucket_of(payer))

    await mover.move()

    there = await repeated(mover.caller, request)
    here = await repeated(town["s1"], request)
    other = await repeated(mover.caller, authorize(payer, merchant, 101, "the-first"))
    assert first == payment_pb2.AuthorizePaymentResponse.FromString(there.response)
    assert there.response == here.response
    assert (other.reason, other.metadata["fields"]) == (
        "REQUEST_ID_REUSED",
        "amount.minor_units",
    )
    assert await mover.caller.ask(declined) == said
    assert await balance(mover.caller, payer) == (900, 0)


async def test_refunds_and_reversals_of_what_was_paid_before_the_move(town: City) -> None:
    payer = await open_on(town["s1"], "s1", 1_000)
    near = await merchant_on(town["s1"], "s1")
    far = await merchant_on(town["s2"], "s2")
    paid = [await town["s1"].ask(authorize(payer, shop, 200)) for shop in (near, far)]
    original = authorize(payer, near, 50)
    await town["s1"].ask(original)
    await town.rest()
    mover = Mover(town, bucket_of(payer))
    await mover.move()

    for one in paid:
        await mover.caller.ask(refund(one.payment, 80))
    reversed_ = await mover.caller.ask(
        payment_pb2.ReversePaymentRequest(
            request_id=unique(),
            original_request_id=original.request_id,
            payer_account_id=payer,
            merchant_id=near,
        )
    )
    await town.rest()
    await town.rest()

    assert reversed_.result == payment_pb2.ReversePaymentResponse.RESULT_REFUNDED
    assert await balance(mover.caller, payer) == (1_000 - 240, 0)


async def test_an_original_reversed_before_the_move_is_declined_after_it(town: City) -> None:
    payer = await open_on(town["s1"], "s1", 1_000)
    merchant = await merchant_on(town["s1"], "s1")
    await town["s1"].ask(
        payment_pb2.ReversePaymentRequest(
            request_id="undo",
            original_request_id="late",
            payer_account_id=payer,
            merchant_id=merchant,
        )
    )
    mover = Mover(town, bucket_of(payer))
    await mover.move()

    late = await mover.caller.ask(authorize(payer, merchant, 10, "late"))

    assert late.payment.decline_reason == payment_pb2.DECLINE_REASON_REVERSED


async def test_money_for_an_account_that_has_moved_is_sent_on(town: City) -> None:
    merchant = await merchant_on(town["s1"], "s1")
    wallet = await wallet_of(town["s1"], merchant)
    friend = await open_on(town["s1"], "s1")
    payer = await open_on(town["s3"], "s3", 1_000)
    for account_id in (wallet, friend):
        await Mover(town, bucket_of(account_id)).move()

    paid = await town["s3"].ask(authorize(payer, merchant, 400))
    await town["s3"].ask(
        account_pb2.CreateTransferRequest(
            request_id=unique(),
            source_account_id=payer,
            destination_account_id=friend,
            amount=euros(70),
        )
    )
    await town["s3"].ask(refund(paid.payment, 100))
    for _ in range(4):
        await town.rest()

    assert await balance(town["s2"], wallet) == (400 - 4 - 100 + 1, 0)
    assert await balance(town["s2"], friend) == (70, 0)
    assert await balance(town["s3"], payer) == (1_000 - 400 - 70 + 100, 0)


async def test_a_refund_that_is_pending_ends_where_the_payment_went(town: City) -> None:
    payer = await open_on(town["s1"], "s1", 1_000)
    merchant = await merchant_on(town["s3"], "s3")
    paid = await town["s1"].ask(authorize(payer, merchant, 400))
    await town.rest()
    town.peers.away.add("s3")
    await town["s1"].ask(refund(paid.payment, 100))
    mover = Mover(town, bucket_of(payer))
    await mover.move()
    town.peers.away.clear()
    for _ in range(4):
        await town.rest()

    assert await balance(mover.caller, payer) == (700, 0)
    rest = await mover.caller.ask(refund(paid.payment))
    assert rest.refund.amount.minor_units == 300


async def test_there_and_back_again(town: City) -> None:
    payer = await open_on(town["s1"], "s1", 1_000)
    merchant = await merchant_on(town["s1"], "s1")
    held = await town["s1"].ask(authorize(payer, merchant, 300, "early", capture_method=MANUAL))
    mover = Mover(town, bucket_of(payer))
    await mover.move()
    await mover.caller.ask(
        payment_pb2.CapturePaymentRequest(
            request_id="part", payment_id=held.payment.id, amount=euros(50)
        )
    )
    await mover.caller.ask(authorize(payer, merchant, 20, "middle"))
    await town.rest()

    await mover.back().move()

    assert await balance(town["s1"], payer) == (930, 0)
    again = await repeated(town["s1"], authorize(payer, merchant, 20, "middle"))
    assert again.replayed
    await town["s1"].ask(authorize(payer, merchant, 930, "all"))
    await Mover(town, bucket_of(payer)).move()
    assert await balance(town["s2"], payer) == (0, 0)

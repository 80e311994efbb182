"""A bucket on its way is one shard's at any moment, whatever dies, comes late or is asked twice."""

import asyncio
import contextlib
import random
import time

import pytest

from processor.domain import payments as rules
from processor.domain.ownership import MOVED, OWNED
from processor.domain.refusals import BadBuckets
from processor.ports import Unavailable
from tender.v1 import account_pb2, payment_pb2
from tests.lane.city import City
from tests.lane.harness import authorize, euros, unique
from tests.lane.moving import Mover, bucket_of, repeated, user_in
from tests.lane.test_moves_with_users import (
    MANUAL,
    balance,
    merchant_on,
    open_on,
    town,
)

__all__ = ["town"]

ROUNDS = 6
HOLD_SECONDS = 2


async def test_a_frozen_bucket_is_nobody_s_and_the_others_go_on(town: City) -> None:
    payer, other = [await open_on(town["s1"], "s1", 1_000) for _ in range(2)]
    merchant = await merchant_on(town["s1"], "s1")
    mover = Mover(town, bucket_of(payer))
    await mover.copy()

    await mover.freeze()

    refused = await repeated(town["s1"], authorize(payer, merchant, 10))
    assert (refused.reason, refused.metadata["shard"]) == ("BUCKET_ELSEWHERE", "")
    await town["s1"].ask(authorize(other, merchant, 10))
    await town.lanes["s1"].freeze_bucket(mover.bucket, 0)
    await town["s1"].ask(authorize(payer, merchant, 10))


async def test_a_freeze_ends_by_itself(town: City) -> None:
    payer = await open_on(town["s1"], "s1", 1_000)
    merchant = await merchant_on(town["s1"], "s1")
    mover = Mover(town, bucket_of(payer))
    await mover.copy()
    await mover.freeze(0.2)

    async with asyncio.timeout(10):
        while (await repeated(town["s1"], authorize(payer, merchant, 10))).reason:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    with pytest.raises(BadBuckets, match="not frozen"):
        await mover.release()
    await mover.move()
    assert await balance(mover.caller, payer) == (990, 0)


async def test_a_bucket_is_not_released_while_its_copy_is_behind(town: City) -> None:
    payer = await open_on(town["s1"], "s1", 1_000)
    merchant = await merchant_on(town["s1"], "s1")
    mover = Mover(town, bucket_of(payer))
    await mover.copy()
    await town["s1"].ask(authorize(payer, merchant, 10, "behind"))
    await mover.freeze()

    with pytest.raises(BadBuckets, match="behind"):
        await mover.release()

    await mover.copy()
    await mover.release()
    await mover.taken()
    assert (await repeated(mover.caller, authorize(payer, merchant, 10, "behind"))).replayed


async def test_a_bucket_whose_copies_were_lost_waits_until_they_are_there(town: City) -> None:
    """The position says how far the copy is; a lane that has less does not take the bucket."""
    payer = await open_on(town["s1"], "s1", 1_000)
    merchant = await merchant_on(town["s1"], "s1")
    await town["s1"].ask(authorize(payer, merchant, 10, "first"))
    mover = Mover(town, bucket_of(payer))
    await mover.copy()
    await mover.freeze()
    await mover.copy()
    position = await mover.position()
    assert position is not None
    await lose_position(town, mover)

    await town.lanes["s1"].release_bucket(mover.bucket, "s2", position)
    await asyncio.sleep(0.3)

    assert (mover.state("s1"), mover.state("s2")) == (MOVED, "")
    assert (await repeated(mover.caller, authorize(payer, merchant, 5))).reason
    await mover.copy()
    await mover.taken()
    assert await balance(mover.caller, payer) == (990, 0)


async def lose_position(town: City, mover: Mover) -> None:
    """Let the new shard believe that its copy has only begun, as after a failover."""
    page = await town.lanes["s1"].copy_bucket(mover.bucket, None)
    start = page.to._replace(seq=max(page.to.seq - 1, 0), place='["payments",""]')
    await town.lanes["s2"].take_copies(mover.bucket, page._replace(to=start, payments=(), keys=()))


async def test_a_page_that_does_not_continue_changes_nothing(town: City) -> None:
    payer = await open_on(town["s1"], "s1", 1_000)
    merchant = await merchant_on(town["s1"], "s1")
    await town["s1"].ask(authorize(payer, merchant, 10))
    mover = Mover(town, bucket_of(payer))
    await mover.copy()
    known = await mover.position()
    assert known is not None
    page = await town.lanes["s1"].copy_bucket(mover.bucket, known)
    stranger = known._replace(seq=known.seq + 7)

    after = await town.lanes["s2"].take_copies(
        mover.bucket, page._replace(after=stranger, to=stranger)
    )

    assert after == known


async def test_what_is_the_shard_s_own_is_never_overwritten_by_copies(town: City) -> None:
    payer = await open_on(town["s1"], "s1", 1_000)
    merchant = await merchant_on(town["s1"], "s1")
    held = await town["s1"].ask(authorize(payer, merchant, 10, capture_method=MANUAL))
    mover = Mover(town, bucket_of(payer))
    early = await town.lanes["s1"].copy_bucket(mover.bucket, None)
    await mover.move()
    await mover.caller.ask(
        payment_pb2.VoidPaymentRequest(request_id=unique(), payment_id=held.payment.id)
    )

    await town.lanes["s2"].take_copies(mover.bucket, early._replace(after=None))

    late = payment_pb2.CapturePaymentRequest(request_id=unique(), payment_id=held.payment.id)
    assert await mover.caller.refused(late) == "PAYMENT_STATE"
    assert await balance(mover.caller, payer) == (1_000, 0)


async def test_no_repeat_is_answered_from_a_copy_before_the_bucket_has_come(town: City) -> None:
    payer = await open_on(town["s1"], "s1", 1_000)
    merchant = await merchant_on(town["s1"], "s1")
    request = authorize(payer, merchant, 10, "early")
    await town["s1"].ask(request)
    mover = Mover(town, bucket_of(payer))
    await mover.copy()

    astray = await repeated(mover.caller, request)

    assert astray.reason == "BUCKET_ELSEWHERE"
    assert (await repeated(town["s1"], request)).replayed


async def test_the_same_request_id_on_both_shards_keeps_both_answers_apart(town: City) -> None:
    """R15: each lane keeps what it answered itself; the moved one's repeat is a conflict."""
    payer, other = await open_on(town["s1"], "s1", 100), await open_on(town["s2"], "s2", 100)
    merchant = await merchant_on(town["s1"], "s1")
    await town["s1"].ask(authorize(payer, merchant, 10, "twice"))
    own = await town["s2"].ask(authorize(other, merchant, 10, "twice"))
    await town.rest()
    mover = Mover(town, bucket_of(payer))

    await mover.move()

    assert await mover.caller.ask(authorize(other, merchant, 10, "twice")) == own
    moved = await repeated(mover.caller, authorize(payer, merchant, 10, "twice"))
    assert moved.reason == "REQUEST_ID_REUSED"
    assert await balance(mover.caller, payer) == (90, 0)


async def test_legs_for_a_frozen_bucket_wait_and_arrive_once(town: City) -> None:
    friend = await open_on(town["s1"], "s1")
    payer = await open_on(town["s3"], "s3", 1_000)
    mover = Mover(town, bucket_of(friend))
    await mover.copy()
    await mover.freeze()

    await town["s3"].ask(
        account_pb2.CreateTransferRequest(
            request_id=unique(),
            source_account_id=payer,
            destination_account_id=friend,
            amount=euros(70),
        )
    )
    await asyncio.sleep(0.1)
    sent, heard = (await town.routes())["s3", "s1"]
    assert heard < sent
    await mover.copy()
    await mover.release()
    await mover.taken()
    await town.rest()
    await town.rest()

    assert await balance(mover.caller, friend) == (70, 0)


async def test_money_sent_on_to_a_closed_account_is_in_suspense_and_its_sender_knows(
    town: City,
) -> None:
    friend = await open_on(town["s1"], "s1")
    payer = await open_on(town["s3"], "s3", 1_000)
    mover = Mover(town, bucket_of(friend))
    await mover.move()
    await mover.caller.ask(account_pb2.CloseAccountRequest(request_id=unique(), account_id=friend))

    await town["s3"].ask(
        account_pb2.CreateTransferRequest(
            request_id=unique(),
            source_account_id=payer,
            destination_account_id=friend,
            amount=euros(70),
        )
    )
    for _ in range(4):
        await town.rest()

    routes = await town.routes()
    assert routes["s2", "s1"][0] >= 1  # The notice,
    assert routes["s1", "s3"][0] >= 1  # and on to the sender.


async def test_a_hold_expires_where_the_bucket_is_and_nowhere_else(
    town: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "HOLD_SECONDS_MIN", 1)
    monkeypatch.setattr("processor.domain.methods.wallet.HOLD_SECONDS_MIN", 1)
    payer = await open_on(town["s1"], "s1", 1_000)
    merchant = await merchant_on(town["s1"], "s1")
    await town["s1"].ask(
        authorize(payer, merchant, 300, capture_method=MANUAL, hold_duration_seconds=HOLD_SECONDS)
    )
    mover = Mover(town, bucket_of(payer))
    await mover.move()
    before = town.lanes["s1"].committed_seq

    async with asyncio.timeout(20):
        while (await balance(mover.caller, payer))[1]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await asyncio.sleep(1.5)

    assert await balance(mover.caller, payer) == (1_000, 0)
    assert town.lanes["s1"].committed_seq <= before + 1  # A note of how far s2 is, no expiry.


async def test_accounts_that_are_frozen_closed_or_in_debt_move_as_they_are(town: City) -> None:
    caller = town["s1"]
    open_, closed = await open_on(caller, "s1", 50), await open_on(caller, "s1")
    await caller.ask(account_pb2.FreezeAccountRequest(request_id=unique(), account_id=open_))
    await caller.ask(account_pb2.CloseAccountRequest(request_id=unique(), account_id=closed))
    debtor = await in_debt(town)
    for account_id in (open_, closed, debtor):
        await Mover(town, bucket_of(account_id)).move()

    there = town["s2"]
    thawed = await there.ask(
        account_pb2.UnfreezeAccountRequest(request_id=unique(), account_id=open_)
    )
    assert thawed.account.posted.minor_units == 50
    assert await there.refused(
        account_pb2.FreezeAccountRequest(request_id=unique(), account_id=closed)
    )
    assert await balance(there, debtor) == (-30, 0)


async def in_debt(town: City) -> str:
    """Open an account that may be below zero, and is."""
    from tests.lane.test_moves_with_users import first_of

    opened = await town["s1"].ask(
        account_pb2.CreateAccountRequest(
            request_id=unique(),
            user_id=user_in(*first_of("s1")),
            currency_code="EUR",
            floor_minor_units=-100,
        )
    )
    account_id: str = opened.account.id
    await town["s1"].ask(
        account_pb2.CreateTransferRequest(
            request_id=unique(),
            source_account_id=account_id,
            destination_account_id="world",
            amount=euros(30),
        )
    )
    return account_id


async def test_lanes_that_die_while_a_bucket_moves_lose_and_double_nothing(town: City) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)  # noqa: T201
    chance = random.Random(seed)
    payer = await open_on(town["s1"], "s1", 1_000_000)
    merchant = await merchant_on(town["s1"], "s1")
    mover = Mover(town, bucket_of(payer))
    paid = 0
    town.peers.fault_share = 0.2
    for round_ in range(ROUNDS):
        moving = asyncio.create_task(persist(mover))
        deaths = asyncio.create_task(die(town, chance))
        # Asked of whoever has the bucket, again and again, as gateways do.
        for number in range(5):
            request = authorize(payer, merchant, 1, f"{round_}-{number}")
            await surely(town, mover, request)
            paid += 1
        await asyncio.wait_for(asyncio.gather(moving, deaths), 60)
        assert [mover.state(mover.to), mover.state(mover.source)] == [OWNED, MOVED]
        mover = mover.back()
    town.peers.fault_share = 0.0
    await town.rest()

    assert await balance(Mover(town, mover.bucket, "", mover.source).caller, payer) == (
        1_000_000 - paid,
        0,
    )


async def die(town: City, chance: random.Random) -> None:
    for shard in chance.sample(("s1", "s2"), chance.randrange(3)):
        await asyncio.sleep(chance.random() * 0.2)
        await town.kill(shard)
        await town.start(shard)


async def persist(mover: Mover) -> None:
    """Go on with a move until it is known to be done, as the command does."""
    until = time.monotonic() + 40
    while time.monotonic() < until:
        with contextlib.suppress(BadBuckets, Unavailable, TimeoutError, KeyError):
            async with asyncio.timeout(3.0):
                if mover.state(mover.source) == MOVED:
                    if mover.state(mover.to) == OWNED:
                        return
                    await mover.copy()
                else:
                    await mover.copy()
                    await mover.freeze(1.0)
                    await mover.copy()
                    await mover.release()
        await asyncio.sleep(0.02)
    raise AssertionError("the bucket did not move")


async def surely(town: City, mover: Mover, request: payment_pb2.AuthorizePaymentRequest) -> None:
    """Repeat a call at either lane until one of them has carried it out."""
    async with asyncio.timeout(40):
        while True:
            for shard in (mover.source, mover.to):
                with contextlib.suppress(TimeoutError, KeyError):
                    async with asyncio.timeout(2.0):
                        if not (await town[shard].send(request)).reason:
                            return
            await asyncio.sleep(0.02)

"""Holds that run out and request keys that grow old (R14, R18)."""

import asyncio

import pytest

from processor.domain.methods import wallet
from processor.lane import Limits
from processor.ports import LaneStorage
from tender.v1 import account_pb2, payment_pb2
from tests.lane.conftest import running
from tests.lane.harness import Caller, authorize, euros, unique

MANUAL = payment_pb2.CAPTURE_METHOD_MANUAL
NEVER = Limits(housekeeping_seconds=3_600)
OFTEN = Limits(housekeeping_seconds=0.1)


@pytest.fixture(autouse=True)
def short_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test cannot wait for the minute that a hold lasts at least."""
    monkeypatch.setattr(wallet, "HOLD_SECONDS_MIN", 1)


async def test_an_expired_hold_frees_funds_at_once_for_the_next_decision(
    storage: LaneStorage,
) -> None:
    async with running(storage, limits=NEVER) as lane:
        caller = Caller(lane)
        payer, merchant = await caller.account("alice", 1_000), await caller.merchant("cafe")
        await caller.ask(
            authorize(payer, merchant, 1_000, capture_method=MANUAL, hold_duration_seconds=1)
        )
        declined = await caller.ask(authorize(payer, merchant, 1_000))
        assert declined.payment.state == payment_pb2.Payment.STATE_DECLINED

        await asyncio.sleep(1.1)
        paid = await caller.ask(authorize(payer, merchant, 1_000))

        assert paid.payment.state == payment_pb2.Payment.STATE_CAPTURED


async def test_an_expired_hold_is_released_once_and_cannot_be_captured(
    storage: LaneStorage,
) -> None:
    async with running(storage, limits=NEVER) as lane:
        caller = Caller(lane)
        payer, merchant = await caller.account("alice", 1_000), await caller.merchant("cafe")
        held = await caller.ask(
            authorize(payer, merchant, 600, capture_method=MANUAL, hold_duration_seconds=1)
        )
        await asyncio.sleep(1.1)
        capture = payment_pb2.CapturePaymentRequest(request_id=unique(), payment_id=held.payment.id)

        replies = await asyncio.gather(
            caller.send(capture), *(caller.send(authorize(payer, merchant, 100)) for _ in range(9))
        )

        assert replies[0].reason == "PAYMENT_STATE"
        assert not any(reply.reason for reply in replies[1:])
        frozen = await caller.ask(
            account_pb2.FreezeAccountRequest(request_id=unique(), account_id=payer)
        )
        assert (frozen.account.posted.minor_units, frozen.account.held.minor_units) == (100, 0)


async def test_the_sweep_expires_holds_on_accounts_that_nobody_touches(
    storage: LaneStorage,
) -> None:
    async with running(storage, limits=OFTEN) as lane:
        caller = Caller(lane)
        payer, merchant = await caller.account("alice", 1_000), await caller.merchant("cafe")
        held = await caller.ask(
            authorize(payer, merchant, 600, capture_method=MANUAL, hold_duration_seconds=1)
        )

        await asyncio.sleep(1.5)

        loaded = lane._cache.payment(held.payment.id)
        assert loaded is not None
        assert loaded.state == "EXPIRED"


async def test_a_hold_survives_a_takeover_and_still_expires(storage: LaneStorage) -> None:
    async with running(storage, limits=NEVER) as lane:
        caller = Caller(lane)
        payer, merchant = await caller.account("alice", 1_000), await caller.merchant("cafe")
        await caller.ask(
            authorize(payer, merchant, 1_000, capture_method=MANUAL, hold_duration_seconds=1)
        )

    await asyncio.sleep(1.1)
    async with running(storage, limits=NEVER, owner="successor") as lane:
        paid = await Caller(lane).ask(authorize(payer, merchant, 1_000))

    assert paid.payment.state == payment_pb2.Payment.STATE_CAPTURED


async def test_a_request_key_is_forgotten_after_its_retention_and_may_be_used_again(
    storage: LaneStorage,
) -> None:
    limits = Limits(housekeeping_seconds=0.1, request_key_retention_seconds=1)
    async with running(storage, limits=limits) as lane:
        caller = Caller(lane)
        payer, merchant = await caller.account("alice", 1_000), await caller.merchant("cafe")
        first = await caller.ask(authorize(payer, merchant, 100, "reused"))

        await asyncio.sleep(2)
        again = await caller.send(authorize(payer, merchant, 200, "reused"))

        assert not again.reason
        second = payment_pb2.AuthorizePaymentResponse.FromString(again.response)
        assert second.payment.id != first.payment.id
        assert second.payment.amount == euros(200)

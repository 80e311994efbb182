"""A batch is decided while the one before it is applied: exact when that one fails (R3)."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from processor.lane import Lane
from processor.ports import (
    Ambiguous,
    Batch,
    Conflict,
    Fenced,
    KeyTaken,
    LaneStorage,
    Ownership,
    Rejected,
    StorageError,
)
from tender.v1 import payment_pb2
from tests.lane.conftest import running
from tests.lane.faulty import FaultyStore
from tests.lane.harness import Caller, authorize, euros, unique
from tests.lane.test_faults import posted

DECIDED_SECONDS = 0.1
"""Longer than it takes to decide a handful of commands."""


class Gated(FaultyStore):
    """A shard whose applies wait for a gate, and then fail as told."""

    def __init__(self, store: LaneStorage) -> None:
        super().__init__(store)
        self.gate = asyncio.Event()
        self.gate.set()
        self.sizes: list[int] = []
        self.fails_with: StorageError | None = None
        self.commits_first = False

    async def apply(self, ownership: Ownership, batch: Batch) -> None:
        await self.gate.wait()
        self.sizes.append(len(batch.payments))
        failure, self.fails_with = self.fails_with, None
        if failure is None or self.commits_first:
            await super().apply(ownership, batch)
        if failure is not None:
            raise failure


@pytest.fixture
async def gated(storage: LaneStorage) -> Gated:
    return Gated(storage)


@pytest.fixture
async def lane(gated: Gated) -> AsyncIterator[Lane]:
    async with running(gated) as lane:
        yield lane


async def forget_keys(lane: Lane) -> None:
    """Let no request key be in memory, and none be looked up unasked."""
    lane._room._loads_keys_until = 0.0
    await asyncio.sleep(DECIDED_SECONDS)
    lane._cache._keys.clear()


async def test_commands_are_decided_together_while_a_batch_is_applied(
    lane: Lane, gated: Gated
) -> None:
    caller = Caller(lane)
    payer, merchant = await caller.account("alice", 1_000), await caller.merchant("cafe")
    gated.gate.clear()
    gated.sizes.clear()

    first = caller.send(authorize(payer, merchant, 100))
    await asyncio.sleep(DECIDED_SECONDS)
    others = [caller.send(authorize(payer, merchant, 10)) for _ in range(5)]
    await asyncio.sleep(DECIDED_SECONDS)
    assert not first.done()
    gated.gate.set()
    replies = await asyncio.gather(first, *others)

    assert not any(reply.reason for reply in replies)
    assert gated.sizes == [1, 5]
    assert await posted(caller, payer) == 850


@pytest.mark.parametrize(
    "failure",
    [
        Rejected("told to reject"),
        KeyTaken("told that a key is taken"),
        Conflict("told to conflict"),
        Ambiguous("lost"),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_what_was_decided_on_a_batch_that_failed_is_decided_again(
    lane: Lane, gated: Gated, failure: StorageError
) -> None:
    """The second payment is covered only if the first did not happen, and the reverse."""
    caller = Caller(lane)
    payer, merchant = await caller.account("alice", 1_000), await caller.merchant("cafe")
    gated.gate.clear()
    first = caller.send(authorize(payer, merchant, 700))
    await asyncio.sleep(DECIDED_SECONDS)
    second = caller.send(authorize(payer, merchant, 700))
    third = caller.send(authorize(payer, merchant, 300))
    await asyncio.sleep(DECIDED_SECONDS)

    gated.fails_with = failure
    gated.gate.set()
    replies = list(await asyncio.gather(first, second, third))

    if isinstance(failure, Rejected):
        # Bisected down to the one command in the batch: that is failed, and the next stands alone.
        assert replies[0].reason == "INTERNAL"
        replies = replies[1:]
    states = [
        payment_pb2.AuthorizePaymentResponse.FromString(reply.response).payment.state
        for reply in replies
    ]
    captured, declined = payment_pb2.Payment.STATE_CAPTURED, payment_pb2.Payment.STATE_DECLINED
    expected = [captured, declined, captured]
    assert states == (expected if len(states) == 3 else [captured, captured])
    assert await posted(caller, payer) == 0


async def test_nothing_decided_on_a_lost_batch_that_did_commit_happens_twice(
    lane: Lane, gated: Gated
) -> None:
    caller = Caller(lane)
    payer, merchant = await caller.account("alice", 1_000), await caller.merchant("cafe")
    gated.gate.clear()
    first = caller.send(authorize(payer, merchant, 400))
    await asyncio.sleep(DECIDED_SECONDS)
    others = [caller.send(authorize(payer, merchant, 200)) for _ in range(4)]
    await asyncio.sleep(DECIDED_SECONDS)

    gated.commits_first = True
    gated.fails_with = Ambiguous("lost after the commit")
    gated.gate.set()
    replies = await asyncio.gather(first, *others)

    assert [reply.declined for reply in replies] == [False, False, False, False, True]
    assert await posted(caller, payer) == 0


async def test_a_fenced_owner_forgets_what_it_decided_ahead(lane: Lane, gated: Gated) -> None:
    caller = Caller(lane)
    payer, merchant = await caller.account("alice", 1_000), await caller.merchant("cafe")
    gated.gate.clear()
    first = caller.send(authorize(payer, merchant, 600))
    await asyncio.sleep(DECIDED_SECONDS)
    second = caller.send(authorize(payer, merchant, 600))
    await asyncio.sleep(DECIDED_SECONDS)

    gated.fails_with = Fenced("told to be fenced")
    gated.gate.set()
    replies = await asyncio.gather(first, second)

    assert [reply.declined for reply in replies] == [False, True]
    assert await posted(caller, payer) == 400


async def test_a_request_of_before_that_is_not_in_memory_is_answered_again(
    storage: LaneStorage,
) -> None:
    """The unique key finds it, the batch is decided anew with the key loaded, and others go on."""
    faulty = FaultyStore(storage)
    async with running(faulty) as lane:
        caller = Caller(lane)
        payer, merchant = await caller.account("alice", 1_000), await caller.merchant("cafe")
        old = authorize(payer, merchant, 100)
        first = await caller.send(old)
        lane._room._loads_keys_until = 0.0
        await asyncio.sleep(DECIDED_SECONDS)
        assert not lane._room.loads_keys
        assert old.request_id in {key for _, key in lane._cache._keys}
        lane._cache._keys.clear()

        again, fresh = await asyncio.gather(
            caller.send(old), caller.send(authorize(payer, merchant, 50))
        )

        assert again.replayed
        assert again.response == first.response
        assert not fresh.reason
        assert not fresh.replayed
        assert lane._room.loads_keys
        assert await posted(caller, payer) == 850


async def test_an_old_request_id_with_another_amount_is_refused_when_it_is_not_in_memory(
    storage: LaneStorage,
) -> None:
    async with running(storage) as lane:
        caller = Caller(lane)
        payer, merchant = await caller.account("alice", 1_000), await caller.merchant("cafe")
        old = authorize(payer, merchant, 100)
        await caller.ask(old)
        await forget_keys(lane)

        reply = await caller.send(authorize(payer, merchant, 101, old.request_id))

        assert reply.reason == "REQUEST_ID_REUSED"
        assert reply.metadata["fields"] == "amount.minor_units"


async def test_a_tombstone_that_is_not_in_memory_still_declines_its_original(
    storage: LaneStorage,
) -> None:
    async with running(storage) as lane:
        caller = Caller(lane)
        payer, merchant = await caller.account("alice", 1_000), await caller.merchant("cafe")
        original = authorize(payer, merchant, 100)
        await caller.ask(
            payment_pb2.ReversePaymentRequest(
                request_id=unique(),
                original_request_id=original.request_id,
                payer_account_id=payer,
                merchant_id=merchant,
            )
        )
        await forget_keys(lane)

        late = await caller.ask(original)

        assert late.payment.state == payment_pb2.Payment.STATE_DECLINED
        assert late.payment.amount == euros(100)
        assert await posted(caller, payer) == 1_000


async def test_only_repeated_requests_make_the_lane_look_keys_up(storage: LaneStorage) -> None:
    """Not the original of a reversal, which is looked up whenever it is not in memory."""
    async with running(storage) as lane:
        caller = Caller(lane)
        payer, merchant = await caller.account("alice", 1_000), await caller.merchant("cafe")
        original = authorize(payer, merchant, 100)
        await caller.ask(original)
        await forget_keys(lane)

        await caller.ask(
            payment_pb2.ReversePaymentRequest(
                request_id=unique(),
                original_request_id=original.request_id,
                payer_account_id=payer,
                merchant_id=merchant,
            )
        )

        assert not lane._room.loads_keys
        assert await posted(caller, payer) == 1_000

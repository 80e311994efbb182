"""What a lane does when its storage fails: never a false answer, never two effects."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from processor.lane import Lane, Limits
from processor.ports import Batch, LaneStorage, Opened, Ownership, Unavailable
from tender.v1 import account_pb2, payment_pb2
from tests.lane.conftest import running
from tests.lane.faulty import FaultyStore
from tests.lane.harness import SERVICE, Caller, authorize, unique


@pytest.fixture
async def faulty(storage: LaneStorage) -> FaultyStore:
    return FaultyStore(storage)


@pytest.fixture
async def lane(faulty: FaultyStore) -> AsyncIterator[Lane]:
    async with running(faulty) as lane:
        yield lane


async def posted(caller: Caller, account_id: str) -> int:
    frozen = await caller.ask(
        account_pb2.FreezeAccountRequest(request_id=unique(), account_id=account_id)
    )
    amount: int = frozen.account.posted.minor_units
    return amount


async def test_a_batch_lost_before_its_commit_is_decided_again(
    lane: Lane, faulty: FaultyStore
) -> None:
    caller = Caller(lane)
    payer, merchant = await caller.account("alice", 1_000), await caller.merchant("cafe")

    faulty.lose_before = 1
    reply = await caller.send(authorize(payer, merchant, 100))

    assert not reply.reason
    assert not reply.replayed
    assert await posted(caller, payer) == 900


async def test_a_batch_lost_after_its_commit_is_found_by_its_keys(
    lane: Lane, faulty: FaultyStore
) -> None:
    caller = Caller(lane)
    payer, merchant = await caller.account("alice", 1_000), await caller.merchant("cafe")

    faulty.lose_after = 1
    reply = await caller.send(authorize(payer, merchant, 100))

    assert not reply.reason
    assert reply.replayed
    assert await posted(caller, payer) == 900


async def test_nothing_is_answered_before_it_is_committed(lane: Lane, faulty: FaultyStore) -> None:
    caller = Caller(lane)
    payer, merchant = await caller.account("alice", 1_000), await caller.merchant("cafe")
    before = faulty.applies

    faulty.lose_before = 3
    reply = await caller.send(authorize(payer, merchant, 100))

    assert not reply.reason
    assert faulty.applies - before == 4


async def test_a_replay_and_a_refusal_check_that_the_lane_is_still_owned(
    lane: Lane, faulty: FaultyStore
) -> None:
    caller = Caller(lane)
    payer, merchant = await caller.account("alice", 1_000), await caller.merchant("cafe")
    request = authorize(payer, merchant, 100)
    await caller.ask(request)
    before = faulty.checks

    await caller.send(request)
    await caller.refused(authorize(payer, "mer_eu_0000000000000000000000", 100))

    assert faulty.checks - before >= 2


@pytest.mark.parametrize("fault", ["conflicts", "fences"])
async def test_a_lane_takes_over_again_and_answers(
    lane: Lane, faulty: FaultyStore, fault: str
) -> None:
    caller = Caller(lane)
    payer, merchant = await caller.account("alice", 1_000), await caller.merchant("cafe")

    setattr(faulty, fault, 1)
    reply = await caller.send(authorize(payer, merchant, 100))

    assert not reply.reason
    assert await posted(caller, payer) == 900


async def test_one_poisonous_command_fails_alone(lane: Lane, faulty: FaultyStore) -> None:
    caller = Caller(lane)
    payers = [await caller.account(f"user-{n}", 1_000) for n in range(20)]
    merchant = await caller.merchant("cafe")

    def poisoned(batch: Batch) -> bool:
        return any(row.description == "poison" for _, row in batch.payments)

    faulty.rejects = poisoned
    replies = await asyncio.gather(
        *(
            caller.send(authorize(payer, merchant, 100, description="poison" if n == 7 else "tea"))
            for n, payer in enumerate(payers)
        )
    )

    assert [n for n, reply in enumerate(replies) if reply.reason] == [7]
    assert replies[7].reason == "INTERNAL"
    assert set(replies[7].metadata) == {"error_id"}
    assert await posted(caller, payers[7]) == 1_000


class Unreachable(FaultyStore):
    """A shard that cannot be opened."""

    async def open(self, owner: str, *, evict: bool) -> Opened:
        raise Unavailable("told to be away")


async def test_callers_of_a_shard_that_stays_away_are_told_to_repeat(
    storage: LaneStorage,
) -> None:
    lane = Lane(Unreachable(storage), region="eu", shard="s1", owner="o")
    running_lane = asyncio.create_task(lane.run())

    reply = await asyncio.wait_for(Caller(lane).send(authorize("acc", "mer", 1)), 5)

    assert reply.reason == "SHARD_UNAVAILABLE"
    assert reply.retry_delay_ms > 0
    await lane.stop(0)
    await running_lane


async def test_a_full_queue_refuses_with_a_hint(storage: LaneStorage) -> None:
    lane = Lane(storage, region="eu", shard="s1", owner="o", limits=Limits(queue_commands_max=10))
    caller = Caller(lane)

    futures = [
        caller.send(account_pb2.CreateAccountRequest(request_id=f"r{n}", user_id=f"u{n}"))
        for n in range(11)
    ]

    reply = await futures[10]
    assert (reply.reason, reply.retry_delay_ms > 0) == ("LANE_QUEUE_FULL", True)
    assert not any(future.done() for future in futures[:10])


async def test_bulk_gives_way_first_and_what_finishes_a_payment_last(
    storage: LaneStorage,
) -> None:
    lane = Lane(storage, region="eu", shard="s1", owner="o", limits=Limits(queue_commands_max=100))
    caller = Caller(lane)

    def refused(request: object, count: int, *, bulk: bool = False) -> int:
        futures = [caller.send(request, bulk=bulk) for _ in range(count)]
        return sum(future.done() for future in futures)

    assert refused(authorize("acc_a", "mer", 1, unique()), 70, bulk=True) == 10
    assert refused(authorize("acc_b", "mer", 1, unique()), 30) == 5
    assert refused(payment_pb2.VoidPaymentRequest(request_id=unique(), payment_id="p"), 20) == 5


async def test_a_command_whose_deadline_has_passed_is_dropped_undecided(
    storage: LaneStorage,
) -> None:
    async with running(storage) as lane:
        caller = Caller(lane)
        payer, merchant = await caller.account("alice", 1_000), await caller.merchant("cafe")

        reply = await caller.send(authorize(payer, merchant, 100), timeout_seconds=0)

        assert reply.reason == "DEADLINE_PASSED"
        assert await posted(caller, payer) == 1_000


async def test_a_second_call_is_told_that_the_first_is_still_running(
    storage: LaneStorage,
) -> None:
    stuck = Stuck(storage)
    async with running(stuck) as lane:
        caller = Caller(lane)
        payer, merchant = await caller.account("alice", 1_000), await caller.merchant("cafe")
        request = authorize(payer, merchant, 100)
        stuck.gate.clear()
        first = caller.send(request)
        await asyncio.sleep(0.05)

        second = await caller.send(request, timeout_seconds=0.3)

        assert second.reason == "REQUEST_IN_PROGRESS"
        assert second.retry_delay_ms > 0
        stuck.gate.set()
        assert not (await first).reason


class Stuck(FaultyStore):
    """A shard whose applies wait for a gate."""

    def __init__(self, store: LaneStorage) -> None:
        super().__init__(store)
        self.gate = asyncio.Event()
        self.gate.set()

    async def apply(self, ownership: Ownership, batch: Batch) -> None:
        await self.gate.wait()
        await super().apply(ownership, batch)


async def test_other_payers_go_on_while_one_account_is_loaded(storage: LaneStorage) -> None:
    async with running(storage) as lane:
        caller = Caller(lane)
        payer, merchant = await caller.account("alice", 1_000), await caller.merchant("cafe")
        cold = caller.send(authorize("acc_eu_0000000000000000000000", merchant, 1), SERVICE)

        warm = await caller.ask(authorize(payer, merchant, 100))

        assert warm.payment.state == payment_pb2.Payment.STATE_CAPTURED
        assert (await cold).reason == "ACCOUNT_UNKNOWN"

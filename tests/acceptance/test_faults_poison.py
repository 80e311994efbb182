"""A command that the database refuses, among many others that load what they need."""

import asyncio

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from processor.ports import Batch
from storage.postgres.lane_store import PostgresLaneStore
from tests.conftest import Shard
from tests.lane.conftest import running
from tests.lane.faulty import FaultyStore
from tests.lane.harness import Caller, authorize

CUSTOMERS = 400
POISONED = 3


def poisoned(batch: Batch) -> bool:
    return any(changed.row.description == "poison" for changed in batch.payments)


async def test_poisonous_commands_fail_alone_and_do_not_cost_the_lane_while_others_are_loaded(
    shard: Shard,
) -> None:
    async with running(PostgresLaneStore(shard.lane_url, "s1")) as lane:
        caller = Caller(lane)
        merchant = await caller.merchant("shop")
        names = (f"user-{number}" for number in range(CUSTOMERS))
        customers = await asyncio.gather(*(caller.account(name, 1_000) for name in names))
    store = FaultyStore(PostgresLaneStore(shard.lane_url, "s1"))
    store.rejects = poisoned
    with capture_logs() as events:
        async with running(store, owner="successor") as lane:
            before = takeovers()
            reasons = await asyncio.gather(
                *(pay(Caller(lane), merchant, *pair) for pair in enumerate(customers))
            )
            after = takeovers()

    assert [reason for reason in reasons if reason] == ["INTERNAL"] * POISONED
    assert [event["event"] for event in events].count("command_failed") == POISONED
    assert after == before


async def pay(caller: Caller, merchant: str, number: int, customer: str) -> str:
    """Pay a moment after the customer before; return the reason if it was refused."""
    await asyncio.sleep(number * 0.0005)
    description = "poison" if number % (CUSTOMERS // POISONED) == 50 else "tea"
    reply = await caller.send(authorize(customer, merchant, 10, description=description))
    return reply.reason


def takeovers() -> float:
    return REGISTRY.get_sample_value("tender_lane_takeovers_total", {"shard": "s1"}) or 0.0

"""Reads of money between shards, on the payment's own shard: pending, posted, in suspense."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.message import Message

from processor.queries import METHODS, QueryServicer
from storage.postgres.lane_store import PostgresLaneStore
from storage.postgres.queries import PostgresQueries
from tender.v1 import account_pb2, payment_pb2, query_pb2
from tests.conftest import Shard
from tests.lane.city import City, city_of, refund
from tests.lane.harness import OPERATOR, authorize, euros, unique

Leg = payment_pb2.Leg
NUMBERS = {message: number for number, (message, _) in METHODS.items()}
ANSWERS: dict[type[Message], Any] = {
    payment_pb2.GetPaymentRequest: payment_pb2.GetPaymentResponse,
    account_pb2.GetAccountRequest: account_pb2.GetAccountResponse,
    account_pb2.ListTransfersRequest: account_pb2.ListTransfersResponse,
}


class Town(City):
    """Lanes of three shards in Postgres, and reads of each."""

    queries: dict[str, PostgresQueries]

    async def read(self, shard: str, request: Message) -> Any:
        servicer = QueryServicer({shard: self.queries[shard]}, self.queries[shard])
        query = query_pb2.ReadRequest(
            method=NUMBERS[type(request)],  # type: ignore[arg-type]
            request=request.SerializeToString(),
            principal=OPERATOR,
        )
        answer = await servicer.Read(query, None)  # type: ignore[arg-type]
        assert answer.WhichOneof("result") == "response", answer
        return ANSWERS[type(request)].FromString(answer.response)

    async def payment(self, payment_id: str) -> Any:
        return await self.read("s1", payment_pb2.GetPaymentRequest(payment_id=payment_id))

    async def transfers(self, shard: str, account_id: str) -> list[Any]:
        request = account_pb2.ListTransfersRequest(account_id=account_id)
        return list((await self.read(shard, request)).transfers)


@pytest.fixture
async def town(three_shards: dict[str, Shard]) -> AsyncIterator[Town]:
    def store(name: str) -> PostgresLaneStore:
        return PostgresLaneStore(three_shards[name].lane_url, name, tenure_seconds_min=0)

    queries = {
        name: PostgresQueries(shard.reader_url, name) for name, shard in three_shards.items()
    }
    async with city_of(store) as city:
        town = Town(store)
        town.__dict__.update(city.__dict__)
        town.queries = queries
        yield town
    for one in queries.values():
        await one.close()


async def test_a_leg_is_pending_until_the_other_shard_has_confirmed_it(town: Town) -> None:
    payer = await town["s1"].account("alice", 10_000)
    merchant = await town["s2"].merchant("cafe", basis_points=1_000)
    await town.rest()
    town.peers.away.add("s2")
    paid = await town["s1"].ask(authorize(payer, merchant, 1_000))

    before = await town.payment(paid.payment.id)
    town.peers.away.clear()
    await town.rest()
    after = await town.payment(paid.payment.id)

    [leg] = before.legs
    assert leg.state == Leg.STATE_PENDING
    assert leg.amount == euros(1_000)
    assert leg.account_id == paid.payment.settlement_account_id
    assert leg.create_time == paid.payment.create_time
    [leg] = after.legs
    assert leg.state == Leg.STATE_POSTED
    [sent, _] = await town.transfers("s1", payer)
    assert sent.id == leg.transfer_id


async def test_each_capture_of_a_part_is_a_leg_oldest_first(town: Town) -> None:
    payer = await town["s1"].account("alice", 10_000)
    merchant = await town["s2"].merchant("cafe")
    method = payment_pb2.CAPTURE_METHOD_MANUAL_MULTIPLE
    held = await town["s1"].ask(authorize(payer, merchant, 900, capture_method=method))
    assert not (await town.payment(held.payment.id)).legs
    for amount in (300, 200):
        await town["s1"].ask(
            payment_pb2.CapturePaymentRequest(
                request_id=unique(), payment_id=held.payment.id, amount=euros(amount)
            )
        )
    await town.rest()

    found = await town.payment(held.payment.id)

    assert [leg.amount.minor_units for leg in found.legs] == [300, 200]
    assert {leg.state for leg in found.legs} == {Leg.STATE_POSTED}


async def test_a_leg_whose_money_lies_in_suspense_says_so(town: Town) -> None:
    payer = await town["s1"].account("alice", 10_000)
    merchant = await town["s2"].merchant("cafe")
    paid = await town["s1"].ask(authorize(payer, merchant, 1_000))
    await town.rest()
    wallet = paid.payment.settlement_account_id
    await town["s2"].ask(account_pb2.FreezeAccountRequest(request_id=unique(), account_id=wallet))

    late = await town["s1"].ask(authorize(payer, merchant, 70))
    await town.rest()

    assert [leg.state for leg in (await town.payment(paid.payment.id)).legs] == [Leg.STATE_POSTED]
    assert [leg.state for leg in (await town.payment(late.payment.id)).legs] == [Leg.STATE_SUSPENSE]
    [suspended] = await town.transfers("s2", "sys_us_s2_dev_suspense_EUR")
    assert suspended.remote_account_id == payer


async def test_a_payment_within_a_shard_has_no_legs(town: Town) -> None:
    payer = await town["s1"].account("alice", 10_000)
    merchant = await town["s1"].merchant("cafe")
    paid = await town["s1"].ask(authorize(payer, merchant, 1_000))

    assert not (await town.payment(paid.payment.id)).legs


async def test_a_refund_is_pending_until_the_merchant_s_shard_has_answered(town: Town) -> None:
    payer = await town["s1"].account("alice", 10_000)
    merchant = await town["s2"].merchant("cafe")
    paid = await town["s1"].ask(authorize(payer, merchant, 1_000))
    await town.rest()
    town.peers.away.add("s2")
    await town["s1"].ask(refund(paid.payment, 400))

    before = await town.payment(paid.payment.id)
    town.peers.away.clear()
    await town.rest()
    await town.rest()
    after = await town.payment(paid.payment.id)

    assert [one.state for one in before.refunds] == [payment_pb2.Refund.STATE_PENDING]
    assert before.payment.refund_pending == euros(400)
    assert [one.state for one in after.refunds] == [payment_pb2.Refund.STATE_SUCCEEDED]
    assert (after.payment.refunded, after.payment.refund_pending) == (euros(400), euros(0))


async def test_a_refund_that_failed_says_why(town: Town) -> None:
    payer = await town["s1"].account("alice", 10_000)
    merchant = await town["s2"].merchant("cafe")
    paid = await town["s1"].ask(authorize(payer, merchant, 1_000))
    wallet = paid.payment.settlement_account_id
    await town["s2"].ask(account_pb2.FreezeAccountRequest(request_id=unique(), account_id=wallet))
    await town["s1"].ask(refund(paid.payment))
    await town.rest()
    await town.rest()

    found = await town.payment(paid.payment.id)

    [failed] = found.refunds
    assert failed.state == payment_pb2.Refund.STATE_FAILED
    assert failed.failure_reason == "ACCOUNT_FROZEN"
    assert found.payment.refund_pending == euros(0)


async def test_lists_of_transfers_name_the_account_on_the_other_shard(town: Town) -> None:
    payer = await town["s1"].account("alice", 10_000)
    merchant = await town["s2"].merchant("cafe", basis_points=1_000)
    friend = await town["s2"].account("bob", 5)
    paid = await town["s1"].ask(authorize(payer, merchant, 1_000))
    await town["s1"].ask(refund(paid.payment, 100))
    await town["s1"].ask(
        account_pb2.CreateTransferRequest(
            request_id=unique(),
            source_account_id=payer,
            destination_account_id=friend,
            amount=euros(70),
        )
    )
    await town.rest()
    await town.rest()
    wallet = paid.payment.settlement_account_id

    mine = await town.transfers("s1", payer)
    theirs = await town.transfers("s2", wallet)
    friends = await town.transfers("s2", friend)

    reasons = account_pb2.Transfer
    assert {one.reason: one.remote_account_id for one in mine} == {
        reasons.REASON_TOP_UP: "",
        reasons.REASON_CAPTURE: wallet,
        reasons.REASON_REFUND: wallet,
        reasons.REASON_PERSON_TO_PERSON: friend,
    }
    assert {one.reason: one.remote_account_id for one in theirs} == {
        reasons.REASON_CAPTURE: payer,
        reasons.REASON_FEE: "",
        reasons.REASON_FEE_REFUND: "",
        reasons.REASON_REFUND: payer,
    }
    assert [one.remote_account_id for one in friends] == [payer, ""]


async def test_what_is_between_two_shards_is_the_balance_of_a_clearing_account(
    town: Town,
) -> None:
    payer = await town["s1"].account("alice", 10_000)
    merchant = await town["s2"].merchant("cafe")
    await town["s1"].ask(authorize(payer, merchant, 1_000))
    await town.rest()
    account_id = "sys_eu_s1_dev_clearing.s2_EUR"

    found = await town.read("s1", account_pb2.GetAccountRequest(account_id=account_id))
    [sent] = await town.transfers("s1", account_id)

    assert found.account.kind == account_pb2.Account.KIND_CLEARING
    assert found.account.posted == euros(1_000)
    assert sent.source_account_id == payer

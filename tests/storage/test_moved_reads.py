"""Reads of what moved: the shard that has it answers, and rows that stayed behind are nobody's."""

import pytest

from kit import read_tokens
from processor.domain import commands, refusals
from processor.queries import Reader
from storage.postgres.replicas import ReplicatedQueries
from tender.v1 import account_pb2, payment_pb2, request_pb2
from tests.conftest import Shard
from tests.lane.city import City
from tests.lane.harness import authorize
from tests.lane.moving import Mover, bucket_of
from tests.lane.test_moves_with_users import merchant_on, open_on, town

__all__ = ["town"]

WHO = commands.Principal("dev", "", True)
NOW = 1 << 62


@pytest.fixture
def databases(three_shards: dict[str, Shard]) -> dict[str, Shard]:
    return three_shards


class Moved:
    """A payer whose bucket has moved from s1 to s2."""

    def __init__(self, shards: dict[str, Shard], payer: str, merchant: str, paid: str) -> None:
        self._shards = shards
        self.payer, self.merchant, self.paid = payer, merchant, paid

    async def read(self, shard: str, method: str, request: object, token: str = "") -> object:
        queries = ReplicatedQueries(self._shards[shard].reader_url, (), shard)
        try:
            after = read_tokens.parse(token)[0] if token else None
            answer, _ = await queries.read(
                lambda snapshot: getattr(Reader(snapshot, WHO, NOW), method)(request), after
            )
            return answer
        finally:
            await queries.close()


@pytest.fixture
async def moved(town: City, databases: dict[str, Shard]) -> Moved:
    payer = await open_on(town["s1"], "s1", 1_000)
    merchant = await merchant_on(town["s1"], "s1")
    paid = await town["s1"].ask(authorize(payer, merchant, 10, "order"))
    await Mover(town, bucket_of(payer)).move()
    return Moved(databases, payer, merchant, paid.payment.id)


async def test_single_reads_are_sent_on_to_where_the_bucket_is(moved: Moved) -> None:
    payment = payment_pb2.GetPaymentRequest(payment_id=moved.paid)
    account = account_pb2.GetAccountRequest(account_id=moved.payer)
    for method, request in (("get_payment", payment), ("get_account", account)):
        with pytest.raises(refusals.BucketElsewhere) as refused:
            await moved.read("s1", method, request)
        assert refused.value.metadata["shard"] == "s2"
        assert await moved.read("s2", method, request)


async def test_lists_show_each_payment_and_account_once(moved: Moved) -> None:
    by_merchant = payment_pb2.ListPaymentsRequest(merchant_id=moved.merchant)
    of_tenant = account_pb2.ListAccountsRequest()

    paid = [await moved.read(shard, "list_payments", by_merchant) for shard in ("s1", "s2")]
    held = [await moved.read(shard, "list_accounts", of_tenant) for shard in ("s1", "s2")]

    assert [[one.id for one in page.payments] for page in paid] == [[], [moved.paid]]  # type: ignore[attr-defined]
    shown = [[one.id for one in page.accounts] for page in held]  # type: ignore[attr-defined]
    assert (moved.payer in shown[0], moved.payer in shown[1]) == (False, True)


async def test_a_request_is_found_once(moved: Moved) -> None:
    stored = request_pb2.GetRequestRequest(request_id="order")
    by_request = payment_pb2.GetPaymentRequest(merchant_id=moved.merchant, request_id="order")

    for method, request in (("get_request", stored), ("get_payment", by_request)):
        with pytest.raises((refusals.RequestUnknown, refusals.PaymentUnknown)):
            await moved.read("s1", method, request)
        assert await moved.read("s2", method, request)


async def test_a_token_of_the_former_shard_counts_at_the_new_one(moved: Moved, town: City) -> None:
    request = account_pb2.GetAccountRequest(account_id=moved.payer)
    token = f"s1.{town.lanes['s1'].incarnation}.1"

    assert await moved.read("s2", "get_account", request, token)
    with pytest.raises(refusals.ReadTokenElsewhere):
        await moved.read("s2", "get_account", request, token.replace("s1.", "s3."))


async def test_a_payment_shows_the_legs_of_its_former_shard(
    town: City, databases: dict[str, Shard]
) -> None:
    payer = await open_on(town["s1"], "s1", 1_000)
    merchant = await merchant_on(town["s3"], "s3")
    paid = await town["s1"].ask(authorize(payer, merchant, 10))
    await town.rest()
    mover = Mover(town, bucket_of(payer))
    shown = Moved(databases, payer, merchant, paid.payment.id)
    request = payment_pb2.GetPaymentRequest(payment_id=paid.payment.id)
    legs = [(await shown.read("s1", "get_payment", request)).legs]  # type: ignore[attr-defined]

    await mover.move()
    legs.append((await shown.read("s2", "get_payment", request)).legs)  # type: ignore[attr-defined]
    await mover.back().move()
    legs.append((await shown.read("s1", "get_payment", request)).legs)  # type: ignore[attr-defined]

    assert [len(each) for each in legs] == [1, 1, 1]
    assert legs[0] == legs[1] == legs[2]


async def test_what_was_before_the_move_is_said_to_be_missing(moved: Moved) -> None:
    account = await moved.read(
        "s2", "get_account", account_pb2.GetAccountRequest(account_id=moved.payer)
    )
    request = account_pb2.GetBalanceAtRequest(account_id=moved.payer)
    request.time.CopyFrom(account.account.create_time)  # type: ignore[attr-defined]

    with pytest.raises(refusals.HistoryMissing):
        await moved.read("s2", "get_balance_at", request)
    listed = await moved.read(
        "s2", "list_transfers", account_pb2.ListTransfersRequest(account_id=moved.payer)
    )
    reasons = [one.reason for one in listed.transfers]  # type: ignore[attr-defined]
    assert reasons == [account_pb2.Transfer.REASON_BUCKET_MOVE]

"""Reads from a real Postgres: what is found, and what happens when Postgres is away."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import grpc
import pytest

from deploy.local.stack import Stack
from processor import pages
from processor.domain.payments import Payment
from processor.ports import Unavailable
from processor.queries import QueryServicer
from storage.postgres.queries import POOL_MAX, PostgresQueries
from tender.v1 import (
    lane_pb2,
    payment_pb2,
    query_pb2,
    query_pb2_grpc,
)
from tests.databases import with_database
from tests.domain.shop import AUTOMATIC, MANUAL
from tests.storage.office import Office, by_id


async def test_every_row_comes_back_as_it_was_decided(office: Office) -> None:
    shop = office.shop
    for amount, method in ((100, MANUAL), (200, AUTOMATIC), (10**6, MANUAL)):
        shop.ledger.now += 123_457
        shop.authorize(amount, method)
    shop.refund(list(shop.ledger.payments.values())[1], 50)
    await office.save()

    async with office.queries.snapshot() as snapshot:
        payments = [await snapshot.payment(key) for key in shop.ledger.payments]
        accounts = [await snapshot.account(key) for key in shop.ledger.accounts]
        merchants = [await snapshot.merchant(key) for key in shop.ledger.merchants]
        refunds = await snapshot.refunds_of(shop.ledger.refunds[0].payment_id)
        transfers = await snapshot.list_transfers(shop.settlement_id, pages.FIRST, 50)

    assert payments == list(shop.ledger.payments.values())
    assert accounts == list(shop.ledger.accounts.values())
    assert merchants == list(shop.ledger.merchants.values())
    assert refunds == shop.ledger.refunds
    assert list(transfers.rows) == [
        transfer
        for transfer in reversed(shop.ledger.transfers)
        if shop.settlement_id in (transfer.debit_account_id, transfer.credit_account_id)
    ]


async def test_a_payment_comes_with_its_refunds_oldest_first(office: Office) -> None:
    shop = office.shop
    payment = shop.authorize(300, AUTOMATIC)
    given = [shop.refund(payment, amount).id for amount in (10, 20, 30)]
    await office.save()

    answer = await office.payment(by_id(payment.id))

    assert [refund.id for refund in answer.refunds] == given
    assert answer.payment.refunded.minor_units == 60


async def test_an_answer_names_the_newest_commit(office: Office) -> None:
    payment = office.shop.authorize()
    await office.save()

    answer = await office.payment(by_id(payment.id))

    assert answer.read_token == "s1.i1.1"


async def test_before_the_first_commit_the_read_token_is_empty(office: Office) -> None:
    page = await office.payments(payment_pb2.ListPaymentsRequest())

    assert (page.read_token, list(page.payments)) == ("", [])


async def test_a_payment_is_found_by_its_request(office: Office) -> None:
    shop = office.shop
    payment = shop.authorize(request_id="order-1")
    await office.save()

    answer = await office.payment(
        payment_pb2.GetPaymentRequest(merchant_id=shop.merchant_id, request_id="order-1")
    )

    assert answer.payment.id == payment.id


async def test_the_request_of_a_capture_leads_to_no_payment(office: Office) -> None:
    shop = office.shop
    shop.capture(shop.authorize())
    captured = list(shop.ledger.keys)[-1][1]
    await office.save()

    refusal = await office.refusal(
        payment_pb2.GetPaymentRequest(merchant_id=shop.merchant_id, request_id=captured)
    )

    assert refusal.reason == "PAYMENT_UNKNOWN"


async def test_a_payment_asked_for_by_nothing_is_refused(office: Office) -> None:
    refusal = await office.refusal(payment_pb2.GetPaymentRequest(merchant_id="mer_eu_x"))

    assert refusal.reason == "FIELD_INVALID"
    assert refusal.field_problems[0].field == "payment_id"


async def test_a_snapshot_stays_as_it_was_when_others_write(office: Office) -> None:
    payment = office.shop.authorize()
    await office.save()

    async with office.queries.snapshot() as snapshot:
        before = await snapshot.head()
        await office.execute("DELETE FROM journal")
        await office.execute("DELETE FROM payments")
        found = await snapshot.payment(payment.id)
        after = await snapshot.head()

    assert (found, after) == (payment, before)


@pytest.fixture
async def stub(office: Office) -> AsyncIterator[query_pb2_grpc.QueryServiceStub]:
    server = grpc.aio.server()
    query_pb2_grpc.add_QueryServiceServicer_to_server(
        QueryServicer({"s1": office.queries}, office.queries), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield query_pb2_grpc.QueryServiceStub(channel)
    await server.stop(None)


async def test_an_api_key_is_found_until_it_is_revoked(
    office: Office, stub: query_pb2_grpc.QueryServiceStub
) -> None:
    await office.execute(
        "INSERT INTO api_keys (key_id, secret_hash, tenant_id, scopes, merchant_id)"
        " VALUES ('k1', '\\x01', 'acme', '{merchant}', 'mer_eu_x')"
    )

    key = await stub.GetApiKey(query_pb2.GetApiKeyRequest(key_id="k1"))
    await office.execute("UPDATE api_keys SET revoked_at = now()")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.GetApiKey(query_pb2.GetApiKeyRequest(key_id="k1"))

    assert (key.secret_hash, key.tenant_id) == (b"\x01", "acme")
    assert (list(key.scopes), key.merchant_id) == (["merchant"], "mer_eu_x")
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


async def test_reads_without_postgres_are_refused_as_unavailable() -> None:
    queries = PostgresQueries("postgresql://nobody@127.0.0.1:1/none", "s1")
    servicer = QueryServicer({"s1": queries}, queries)

    answer = await servicer.Read(
        query_pb2.ReadRequest(method=lane_pb2.METHOD_LIST_PAYMENTS),
        None,  # type: ignore[arg-type]
    )
    await queries.close()

    assert answer.refusal.reason == "SHARD_UNAVAILABLE"
    assert answer.refusal.retry_delay_ms > 0


async def test_a_connection_that_postgres_ended_is_replaced(office: Office) -> None:
    payment = office.shop.authorize()
    await office.save()
    await office.payment(by_id(payment.id))
    await office.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'tender_query' AND datname = current_database()"
    )

    answers = [await office.read(by_id(payment.id)) for _ in range(2)]

    assert answers[-1].WhichOneof("result") == "response"


async def test_queries_that_were_never_asked_can_be_closed() -> None:
    await PostgresQueries("postgresql://nobody@127.0.0.1:1/none", "s1").close()


async def test_readers_cannot_write(office: Office) -> None:
    await office.save()

    async with office.queries.snapshot() as snapshot:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await snapshot._connection.execute("UPDATE accounts SET posted = 0")


async def test_many_first_reads_at_once_share_the_connections(office: Office) -> None:
    payment = office.shop.authorize()
    await office.save()

    answers = await asyncio.gather(
        *(office.payment(by_id(payment.id)) for _ in range(4 * POOL_MAX))
    )

    assert {answer.payment.id for answer in answers} == {payment.id}


async def test_cancelled_reads_give_their_connections_back(office: Office) -> None:
    payment = office.shop.authorize()
    await office.save()

    for hops in range(30):
        reads = [asyncio.create_task(office.read(by_id(payment.id))) for _ in range(POOL_MAX)]
        for _ in range(hops):
            await asyncio.sleep(0)
        for read in reads:
            read.cancel()
        await asyncio.gather(*reads, return_exceptions=True)

    assert (await office.payment(by_id(payment.id))).payment.id == payment.id


async def test_a_replica_answers_as_its_primary_does(office: Office, engines: Stack) -> None:
    payment = office.shop.authorize()
    await office.save()
    name = urlsplit(office.owner_url).path.lstrip("/")
    replica = PostgresQueries(with_database(engines.endpoints.replica_urls[0], name), "s1")

    found = await first_seen(replica, payment.id)
    await replica.close()

    assert found == payment


async def first_seen(queries: PostgresQueries, payment_id: str) -> Payment | None:
    """Return a payment once a replica has it, at the latest after ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(Unavailable, asyncpg.InvalidCatalogNameError):
            async with queries.snapshot() as snapshot:
                found = await snapshot.payment(payment_id)
            if found is not None:
                return found
        await asyncio.sleep(0.05)
    return None


async def test_an_answer_says_which_commit_it_is_as_of(office: Office) -> None:
    office.shop.authorize(100, AUTOMATIC)
    await office.save()
    [payment] = office.shop.ledger.payments

    answer = await office.payment(by_id(payment))

    [as_of] = answer.as_of
    assert (as_of.shard, as_of.as_of_seq) == ("s1", 1)
    assert as_of.HasField("staleness")
    assert as_of.staleness.ToMicroseconds() == 0


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("s1.i1.1", ""),
        ("s2.i1.1", "READ_TOKEN_ELSEWHERE"),
        ("s1.i1.2", "READ_TOKEN_AHEAD"),
        ("s1.i0.1", "HISTORY_LOST"),
        ("s1.i0.7", "HISTORY_LOST"),
        ("s1.i1", "FIELD_INVALID"),
    ],
)
async def test_a_read_token_is_honoured_or_refused(office: Office, token: str, reason: str) -> None:
    office.shop.authorize(100, AUTOMATIC)
    await office.save()
    await office.execute(
        "INSERT INTO lanes (shard, epoch, owner, incarnation, backend_pid, opened_at)"
        " VALUES ('s1', 1, 'o', 'i1', 1, now())"
    )
    [payment] = office.shop.ledger.payments
    request = by_id(payment)
    request.read_token = token

    answer = await office.read(request)

    assert answer.refusal.reason == reason

"""A shop of tests/domain whose ledger is written to Postgres, and reads on it."""

from collections.abc import Iterable
from typing import Any, Final

import asyncpg
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from processor.domain.commands import Principal
from processor.domain.fees import RefundPolicy
from processor.queries import METHODS, QueryServicer
from storage.postgres import rows
from storage.postgres.columns import instant
from storage.postgres.replicas import ReplicatedQueries
from tender.v1 import (
    account_pb2,
    lane_pb2,
    payment_pb2,
    query_pb2,
)
from tests.conftest import Shard
from tests.domain.ledger import Ledger
from tests.domain.shop import SERVICE, TENANT, Shop

LATER: Final = 10**9
"""Lets every test's clock stand far behind what it reads."""

REQUEST_TYPES: Final = {message: number for number, (message, _) in METHODS.items()}


class Office:
    """A shop whose ledger is in Postgres, and reads on it."""

    def __init__(self, shard: Shard) -> None:
        self.shop = Shop(10_000, basis_points=100, fixed=3, policy=RefundPolicy.RETURN)
        self.replicated = ReplicatedQueries(shard.reader_url, (), "s1")
        self.queries = self.replicated.primary
        self.owner_url = shard.owner_url

    async def save(self) -> None:
        """Write the ledger down, as no lane would: row by row, as the superuser."""
        connection = await asyncpg.connect(self.owner_url)
        try:
            await write(connection, self.shop.ledger)
        finally:
            await connection.close()

    async def execute(self, sql: str, *arguments: Any) -> None:
        connection = await asyncpg.connect(self.owner_url)
        try:
            await connection.execute(sql, *arguments)
        finally:
            await connection.close()

    async def read(
        self, request: Message, by: Principal = SERVICE, *, seconds_later: int = LATER
    ) -> query_pb2.ReadResponse:
        now = self.shop.ledger.now + seconds_later * 1_000_000
        servicer = QueryServicer({"s1": self.replicated}, self.queries, lambda: now)
        query = query_pb2.ReadRequest(
            method=REQUEST_TYPES[type(request)],  # type: ignore[arg-type]
            request=request.SerializeToString(),
            principal=lane_pb2.Principal(
                tenant_id=by.tenant_id, merchant_id=by.merchant_id, operator=by.operator
            ),
        )
        return await servicer.Read(query, None)  # type: ignore[arg-type]

    async def refusal(self, request: Message, by: Principal = SERVICE) -> lane_pb2.Refusal:
        answer = await self.read(request, by)
        assert answer.WhichOneof("result") == "refusal"
        return answer.refusal

    async def payment(
        self, request: payment_pb2.GetPaymentRequest, by: Principal = SERVICE
    ) -> payment_pb2.GetPaymentResponse:
        return payment_pb2.GetPaymentResponse.FromString((await self.read(request, by)).response)

    async def payments(
        self, request: payment_pb2.ListPaymentsRequest, by: Principal = SERVICE
    ) -> payment_pb2.ListPaymentsResponse:
        answer = await self.read(request, by)
        return payment_pb2.ListPaymentsResponse.FromString(answer.response)

    async def all_payments(
        self, request: payment_pb2.ListPaymentsRequest, by: Principal = SERVICE
    ) -> list[str]:
        """Return the ids of every page."""
        found: list[str] = []
        while True:
            page = await self.payments(request, by)
            found += [payment.id for payment in page.payments]
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    async def accounts(
        self, request: account_pb2.ListAccountsRequest, by: Principal = SERVICE
    ) -> list[str]:
        answer = await self.read(request, by)
        page = account_pb2.ListAccountsResponse.FromString(answer.response)
        return [account.id for account in page.accounts]

    async def balance_at(self, account_id: str, time_us: int, nanos: int = 0) -> int:
        answer = await self.read(
            account_pb2.GetBalanceAtRequest(account_id=account_id, time=moment(time_us, nanos))
        )
        assert answer.WhichOneof("result") == "response", answer
        return account_pb2.GetBalanceAtResponse.FromString(answer.response).posted.minor_units


def moment(time_us: int, nanos: int = 0) -> Timestamp:
    seconds, micros = divmod(time_us, 1_000_000)
    return Timestamp(seconds=seconds, nanos=micros * 1_000 + nanos)


async def write(connection: "asyncpg.Connection[asyncpg.Record]", ledger: Ledger) -> None:
    """Insert all that a ledger holds, with a journal of one row."""
    now = instant(ledger.now)
    await insert(connection, "accounts", ledger.accounts.values())
    await insert(connection, "payments", ledger.payments.values())
    await insert(connection, "transfers", ledger.transfers, seq=1)
    await insert(connection, "refunds", ledger.refunds, seq=1)
    merchants = [
        (*row[:5], rows.encode_terms(row.settlement_terms), *row[6:])
        for row in ledger.merchants.values()
    ]
    names = list(next(iter(ledger.merchants.values()))._fields)
    await insert_named(connection, "merchants", names, merchants)
    await insert(connection, "requests", ledger.keys.values(), seq=1, created_at=now)
    await connection.execute(
        "INSERT INTO journal (seq, epoch, incarnation, body, previous_hash, hash, created_at)"
        " VALUES (1, 1, 'i1', '', $1, $1, $2)",
        bytes(32),
        now,
    )


async def insert(
    connection: "asyncpg.Connection[asyncpg.Record]",
    table: str,
    values: Iterable[Any],
    **more: object,
) -> None:
    found = list(values)
    if found:
        names = [*found[0]._fields, *more]
        await insert_named(connection, table, names, [(*row, *more.values()) for row in found])


async def insert_named(
    connection: "asyncpg.Connection[asyncpg.Record]",
    table: str,
    names: list[str],
    values: list[tuple[Any, ...]],
) -> None:
    times = [number for number, name in enumerate(names) if name.endswith("_at")]
    for row in values:
        cells = [
            instant(cell) if number in times and isinstance(cell, int) else cell
            for number, cell in enumerate(row)
        ]
        marks = ", ".join(f"${number}" for number in range(1, len(cells) + 1))
        await connection.execute(
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", *cells
        )


def by_id(payment_id: str) -> payment_pb2.GetPaymentRequest:
    return payment_pb2.GetPaymentRequest(payment_id=payment_id)


FILL = """
    INSERT INTO payments (
        id, tenant_id, merchant_id, payer_account_id, settlement_account_id, state,
        capture_method, decline_reason, currency, amount, captured, capturable, refunded,
        refund_pending, fee, fee_refunded, fee_basis_points, fee_fixed, fee_refund_policy,
        description, metadata, version, created_at, updated_at, payer_previous_id
    )
    SELECT 'pay_eu_1' || lpad(n::text, 12, '0'), $2, 'mer_eu_' || n % 20, 'acc_eu_' || n % 100,
           'acc_eu_s', 'CAPTURED', 'AUTOMATIC', '', 'EUR', 1, 1, 0, 0, 0, 0, 0, 0, 0, 'KEEP', '',
           '', 1, now(), now(),
           CASE WHEN n > 100 THEN 'pay_eu_1' || lpad((n - 100)::text, 12, '0') ELSE '' END
      FROM generate_series(1, $1::int) AS n
"""


async def fill_payments(office: Office, count: int, *, tenant_id: str = TENANT) -> None:
    await office.execute(FILL, count, tenant_id)
    await office.execute("ANALYZE payments")

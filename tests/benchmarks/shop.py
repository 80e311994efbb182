"""A small gRPC server with Tender's contract and a mind of its own, to see what the bench says."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from benchmarks.load import process
from benchmarks.load.process import Job
from benchmarks.load.record import percentiles
from benchmarks.load.world import Merchant, World
from tender.v1 import (
    account_pb2,
    account_pb2_grpc,
    merchant_pb2,
    merchant_pb2_grpc,
    money_pb2,
    payment_pb2,
    payment_pb2_grpc,
)

Context = grpc.aio.ServicerContext[Any, Any]
Request = payment_pb2.AuthorizePaymentRequest
Payment = payment_pb2.Payment
Behaviour = Callable[[Request, Context], Awaitable[None]]


def new_id(prefix: str, number: int) -> str:
    """Return an id of the usual length."""
    return f"{prefix}_eu_{number:022d}"


def world(payers: int = 50) -> World:
    """Return a world that any of these servers knows."""
    ids = "".join(new_id("acc", number) for number in range(payers))
    merchants = [Merchant(new_id("mer", n), new_id("acc", 1_000 + n)) for n in range(3)]
    return World(ids.encode(), len(new_id("acc", 0)), merchants, 1_000, 140, 5)


class Shop(
    payment_pb2_grpc.PaymentServiceServicer,
    account_pb2_grpc.AccountServiceServicer,
    merchant_pb2_grpc.MerchantServiceServicer,
):
    """Answers as Tender does, from memory; `behave` runs first and may do otherwise."""

    def __init__(self, behave: Behaviour, *, forgets: bool = False) -> None:
        self._behave = behave
        self._forgets = forgets
        self._numbers = itertools.count(1)
        self._paid: dict[str, Payment] = {}
        self.seen: list[Request] = []

    async def AuthorizePayment(
        self, request: Request, context: Context
    ) -> payment_pb2.AuthorizePaymentResponse:
        self.seen.append(request)
        await self._behave(request, context)
        return payment_pb2.AuthorizePaymentResponse(payment=self._pay(request), read_token="t")

    async def AuthorizePayments(
        self, request: payment_pb2.AuthorizePaymentsRequest, _context: Context
    ) -> payment_pb2.AuthorizePaymentsResponse:
        outcomes = [self._outcome(one) for one in request.requests]
        return payment_pb2.AuthorizePaymentsResponse(outcomes=outcomes)

    async def StreamPayments(
        self, requests: AsyncIterator[payment_pb2.StreamPaymentsRequest], _context: Context
    ) -> AsyncIterator[payment_pb2.StreamPaymentsResponse]:
        async for request in requests:
            outcomes = [self._outcome(one.authorize) for one in request.commands]
            middle = len(outcomes) // 2
            yield payment_pb2.StreamPaymentsResponse(outcomes=outcomes[middle:])
            yield payment_pb2.StreamPaymentsResponse(outcomes=outcomes[:middle])

    async def CreateAccount(
        self, request: account_pb2.CreateAccountRequest, _context: Context
    ) -> account_pb2.CreateAccountResponse:
        made = account_pb2.Account(id=new_id("acc", next(self._numbers)), user_id=request.user_id)
        return account_pb2.CreateAccountResponse(account=made)

    async def CreateTransfer(
        self, _request: account_pb2.CreateTransferRequest, _context: Context
    ) -> account_pb2.CreateTransferResponse:
        return account_pb2.CreateTransferResponse()

    async def CreateMerchant(
        self, _request: merchant_pb2.CreateMerchantRequest, _context: Context
    ) -> merchant_pb2.CreateMerchantResponse:
        made = merchant_pb2.Merchant(id=new_id("mer", next(self._numbers)))
        return merchant_pb2.CreateMerchantResponse(merchant=made)

    def _outcome(self, request: Request) -> payment_pb2.PaymentOutcome:
        answer = payment_pb2.AuthorizePaymentResponse(payment=self._pay(request))
        return payment_pb2.PaymentOutcome(request_id=request.request_id, authorized=answer)

    def _pay(self, request: Request) -> Payment:
        known = self._paid.get(request.request_id)
        if known is not None and not self._forgets:
            return known
        fee = money_pb2.Money(currency_code="EUR", minor_units=7)
        made = Payment(
            id=new_id("pay", next(self._numbers)),
            merchant_id=request.merchant_id,
            payer_account_id=request.payer_account_id,
            settlement_account_id=new_id("acc", 1_000),
            state=Payment.STATE_CAPTURED,
            capture_method=payment_pb2.CAPTURE_METHOD_AUTOMATIC,
            amount=request.amount,
            captured=request.amount,
            fee=fee,
            version=1,
        )
        self._paid[request.request_id] = made
        return made


async def well(_request: Request, _context: Context) -> None:
    """Behave."""


@asynccontextmanager
async def serving(shop: Shop, **options: int) -> AsyncIterator[int]:
    """Serve a shop; yields its port. Options are gRPC's, with underscores for the dots."""
    given = [(f"grpc.{name}", value) for name, value in options.items()]
    server = grpc.aio.server(options=[*given, ("grpc.so_reuseport", 0)])
    payment_pb2_grpc.add_PaymentServiceServicer_to_server(shop, server)
    account_pb2_grpc.add_AccountServiceServicer_to_server(shop, server)
    merchant_pb2_grpc.add_MerchantServiceServicer_to_server(shop, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


def job(port: int, folder: Path, **fields: Any) -> Job:
    """Return a short job against a shop."""
    world().save(folder / "world")
    given: dict[str, Any] = {
        "shape": "closed",
        "workload": "pay",
        "in_flight": 8,
        "connections": 2,
        "warm_seconds": 0.1,
        "seconds": 0.4,
        "seed": 1,
    }
    return Job(
        host="127.0.0.1",
        port=port,
        api_key="key",
        world=str(folder / "world"),
        history=str(folder / "history.tsv"),
        **(given | fields),
    )


async def load(shop: Shop, folder: Path, fields: dict[str, Any], **options: int) -> dict[str, Any]:
    """Do a job against a shop, both in this process; returns what the generator saw."""
    async with asyncio.timeout(30), serving(shop, **options) as port:
        found = await process.run(job(port, folder, **fields))
        return found | percentiles(found["histogram"])

"""`client.payments`: what takes payment commands many at a time, for both clients."""

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import grpc

from tender import errors, payments, retries
from tender.calls import Call
from tender.outcomes import Batch, Flight, Outcome, chunks
from tender.streams import PaymentStream
from tender.sync_streams import BlockingStream
from tender.v1 import payment_pb2 as pb

IN_FLIGHT_DEFAULT = 1_000  # As many as a gateway lets one stream have unanswered.
Authorizations = Iterable[Call[pb.AuthorizePaymentResponse]]
Authorized = Outcome[pb.AuthorizePaymentResponse]


class Connection(Protocol):
    """What a client lends to its `payments`."""

    def budget_of(self, call: Call[Any]) -> retries.Budget: ...
    def timeout_of(self, call: Call[Any]) -> float: ...
    def unary(self, method: Any) -> Callable[..., Any]: ...
    def bidirectional(self, method: Any) -> Callable[..., Any]: ...


class AsyncPayments:
    """Payment commands many at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def authorize_many(self, calls: Authorizations) -> list[Authorized]:
        """Authorizes any number of payments, up to 1,000 in a call, each on its own.

        Returns an outcome for each, in their order: its answer, or the error that the single call
        would have raised. What a passing failure hit is sent again within its timeout.
        """
        found: list[Authorized] = []
        for chunk in chunks(calls):
            batch = Batch(chunk, self._connection.budget_of)
            while (request := batch.request()) is not None:
                delay = await self._attempt(batch, request)
                if delay > 0:
                    await asyncio.sleep(delay)
            found += batch.outcomes()
        return found

    async def _attempt(self, batch: Batch, request: pb.AuthorizePaymentsRequest) -> float:
        call = self._connection.unary(payments.AUTHORIZE_MANY)
        try:
            answer = await call(request, timeout=batch.attempt_timeout(time.monotonic()))
        except grpc.aio.AioRpcError as error:
            return batch.failed(errors.read(error), time.monotonic(), random.random())
        return batch.answered(answer, time.monotonic(), random.random())

    def stream(self, *, in_flight_max: int = IN_FLIGHT_DEFAULT) -> PaymentStream:
        """Opens a stream of payment commands; see PaymentStream."""
        connection = self._connection
        flight = Flight[Any](connection.budget_of, connection.timeout_of, in_flight_max)
        return PaymentStream(lambda: connection.bidirectional(payments.STREAM)(), flight)


class SyncPayments:
    """Payment commands many at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def authorize_many(self, calls: Authorizations) -> list[Authorized]:
        """Authorizes any number of payments, up to 1,000 in a call, each on its own.

        Returns an outcome for each, in their order: its answer, or the error that the single call
        would have raised. What a passing failure hit is sent again within its timeout.
        """
        found: list[Authorized] = []
        for chunk in chunks(calls):
            batch = Batch(chunk, self._connection.budget_of)
            while (request := batch.request()) is not None:
                time.sleep(self._attempt(batch, request))
            found += batch.outcomes()
        return found

    def _attempt(self, batch: Batch, request: pb.AuthorizePaymentsRequest) -> float:
        call = self._connection.unary(payments.AUTHORIZE_MANY)
        try:
            answer = call(request, timeout=batch.attempt_timeout(time.monotonic()))
        except grpc.RpcError as error:
            return batch.failed(errors.read(error), time.monotonic(), random.random())
        return batch.answered(answer, time.monotonic(), random.random())

    def stream(
        self, calls: Iterable[Call[Any]], *, in_flight_max: int = IN_FLIGHT_DEFAULT
    ) -> Iterator[Outcome[Any]]:
        """Carries out payment commands from an iterator and gives their outcomes as they come.

        Commands on one payment or payer are decided in their order. At most `in_flight_max` are
        taken ahead of their outcomes, by a thread of its own. When the stream breaks another is
        opened, and what has no outcome is sent again within each command's timeout.
        """
        connection = self._connection
        flight = Flight[None](connection.budget_of, connection.timeout_of, in_flight_max)
        open_stream = connection.bidirectional(payments.STREAM)
        return BlockingStream(open_stream, flight, calls).outcomes()

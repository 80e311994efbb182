"""Bulk calls as a client makes them, and errors of single commands as it reads them."""

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2

from tender.v1 import payment_pb2
from tests.gateway import conftest, requests
from tests.gateway.conftest import Stack

Outcome = payment_pb2.PaymentOutcome
STREAM = conftest.path_of("StreamPayments")


class Stream:
    """One open StreamPayments."""

    def __init__(self, stack: Stack, key: str = "service", channel: Any = None) -> None:
        method: Any = (channel or stack.channel).stream_stream(STREAM)
        self.call = method(metadata=(("authorization", f"Bearer {stack.keys[key]}"),))

    async def send(self, *commands: payment_pb2.PaymentCommand) -> None:
        await self.send_bytes(
            payment_pb2.StreamPaymentsRequest(commands=commands).SerializeToString()
        )

    async def send_bytes(self, data: bytes) -> None:
        async with asyncio.timeout(conftest.CALL_SECONDS_MAX):
            await self.call.write(data)

    async def end(self) -> None:
        await self.call.done_writing()

    async def read(self) -> list[Outcome] | None:
        """Return the outcomes of the next message, or None at the end."""
        async with asyncio.timeout(conftest.CALL_SECONDS_MAX):
            data = await self.call.read()
        if data is grpc.aio.EOF:
            return None
        return list(payment_pb2.StreamPaymentsResponse.FromString(data).outcomes)

    async def read_all(self, count: int | None = None) -> list[Outcome]:
        """Return outcomes until the end of the stream, or until there are so many."""
        found: list[Outcome] = []
        while count is None or len(found) < count:
            outcomes = await self.read()
            if outcomes is None:
                break
            found += outcomes
        return found

    async def refusal(self) -> conftest.Answer:
        """Read to the end, which must be a refusal."""
        return await conftest.refusal(self._to_the_end())

    async def _to_the_end(self) -> None:
        while await self.read() is not None:
            pass
        await self.call.wait_for_connection()
        if (code := await self.call.code()) is not grpc.StatusCode.OK:
            raise grpc.aio.AioRpcError(
                code,
                await self.call.initial_metadata(),
                await self.call.trailing_metadata(),
                details=await self.call.details(),
            )


def authorizing(*request_ids: str) -> list[payment_pb2.PaymentCommand]:
    return [
        payment_pb2.PaymentCommand(authorize=requests.authorize(request_id))
        for request_id in request_ids
    ]


def ids(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.request_id for outcome in outcomes]


def reason(outcome: Outcome) -> str:
    """Return why a command was refused; there is one ErrorInfo."""
    return str(details(outcome, error_details_pb2.ErrorInfo).reason)


def details(outcome: Outcome, kind: type[Message]) -> Any:
    assert outcome.WhichOneof("result") == "error", outcome
    found = kind()
    (packed,) = [detail for detail in outcome.error.details if detail.Is(kind.DESCRIPTOR)]
    assert packed.Unpack(found)
    return found

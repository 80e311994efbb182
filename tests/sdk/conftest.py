"""A small real server that answers as a test tells it, and both clients behind one face."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import (
    BadRequest,
    ErrorInfo,
    RetryInfo,
)
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

import tender
from kit.serving import Context
from tender.v1 import payment_pb2, payment_pb2_grpc


@dataclass
class Fault:
    """A Status that the server answers with."""

    code: grpc.StatusCode
    reason: str = ""
    message: str = "No."
    metadata: dict[str, str] = field(default_factory=dict)
    violations: dict[str, str] = field(default_factory=dict)
    retry_delay_ms: int | None = None

    def status(self) -> Status:
        status = Status(code=self.code.value[0], message=self.message)
        packed: list[Message] = []
        if self.reason:
            info = ErrorInfo(reason=self.reason, domain="tender", metadata=self.metadata)
            packed.append(info)
        if self.violations:
            packed.append(
                BadRequest(
                    field_violations=[
                        BadRequest.FieldViolation(field=path, description=text)
                        for path, text in self.violations.items()
                    ]
                )
            )
        if self.retry_delay_ms is not None:
            hint = RetryInfo()
            hint.retry_delay.FromMilliseconds(self.retry_delay_ms)
            packed.append(hint)
        for detail in packed:
            status.details.add().Pack(detail)
        return status


SILENCE = "no answer before the deadline"


@dataclass
class Seen:
    """What the server saw of one attempt."""

    request: Any
    metadata: dict[str, str]
    time_remaining: float
    at: float
    peer: str


class Script(payment_pb2_grpc.PaymentServiceServicer):
    """Answers each attempt with the next step, and with OK when none is left."""

    def __init__(self) -> None:
        self.steps: list[Fault | str] = []
        self.seen: list[Seen] = []
        self.pages: dict[str, payment_pb2.ListPaymentsResponse] = {}

    async def AuthorizePayment(self, request: Any, context: Context) -> Message:
        await self._play(request, context)
        payment = payment_pb2.Payment(id="pay_1", state=payment_pb2.Payment.STATE_CAPTURED)
        return payment_pb2.AuthorizePaymentResponse(payment=payment, read_token="t1")

    async def GetPayment(self, request: Any, context: Context) -> Message:
        await self._play(request, context)
        return payment_pb2.GetPaymentResponse(payment=payment_pb2.Payment(id=request.payment_id))

    async def ListPayments(self, request: Any, context: Context) -> Message:
        await self._play(request, context)
        return self.pages[request.page_token]

    async def _play(self, request: Any, context: Context) -> None:
        sent = context.invocation_metadata() or ()
        self.seen.append(
            Seen(
                request=request,
                metadata={str(key): str(value) for key, value in sent},
                time_remaining=context.time_remaining(),
                at=asyncio.get_running_loop().time(),
                peer=context.peer(),
            )
        )
        if not self.steps:
            return
        step = self.steps.pop(0)
        if isinstance(step, Fault):
            await context.abort_with_status(rpc_status.to_status(step.status()))
        await asyncio.sleep(30)


class Caller(Protocol):
    """Calls an operation by name and waits for its answer, whichever client does it."""

    async def __call__(self, operation: str, /, **arguments: Any) -> Any: ...


@pytest.fixture
async def server() -> AsyncIterator[tuple[Script, str]]:
    script, grpc_server = Script(), grpc.aio.server()
    payment_pb2_grpc.add_PaymentServiceServicer_to_server(script, grpc_server)
    port = grpc_server.add_insecure_port("127.0.0.1:0")
    await grpc_server.start()
    yield script, f"127.0.0.1:{port}"
    await grpc_server.stop(None)


@pytest.fixture
def script(server: tuple[Script, str]) -> Script:
    return server[0]


@pytest.fixture
def target(server: tuple[Script, str]) -> str:
    return server[1]


@pytest.fixture(params=["async", "sync"])
async def connect(
    request: pytest.FixtureRequest, target: str
) -> AsyncIterator[Callable[..., Caller]]:
    """Makes a caller with the client's settings, once with each client."""
    opened: list[tender.Client | tender.SyncClient] = []

    def make(**settings: Any) -> Caller:
        kind = tender.Client if request.param == "async" else tender.SyncClient
        client: Any = kind(target, "key_1.secret", **settings)
        opened.append(client)

        async def call(operation: str, /, **arguments: Any) -> Any:
            method = getattr(client, operation)
            if isinstance(client, tender.SyncClient):
                return await asyncio.to_thread(lambda: drained(method(**arguments)))
            answer = method(**arguments)
            if hasattr(answer, "__aiter__"):
                return [item async for item in answer]
            return await answer

        return call

    yield make
    for client in opened:
        if isinstance(client, tender.Client):
            await client.close()
        else:
            client.close()


def drained(answer: Any) -> Any:
    return list(answer) if hasattr(answer, "__next__") else answer


@pytest.fixture
def call(connect: Callable[..., Caller]) -> Caller:
    return connect()

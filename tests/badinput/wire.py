"""Calls the gateway as any client could, and reads refusals without mercy."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from gateway import methods
from tender.v1 import account_pb2, merchant_pb2, payment_pb2, request_pb2

CALL_SECONDS_MAX: Final = 10.0
_COMMANDS_PER_MESSAGE: Final = 20
Metadata = tuple[tuple[str, str | bytes], ...]

_SERVICES: Final = [
    payment_pb2.DESCRIPTOR.services_by_name["PaymentService"],
    account_pb2.DESCRIPTOR.services_by_name["AccountService"],
    merchant_pb2.DESCRIPTOR.services_by_name["MerchantService"],
    request_pb2.DESCRIPTOR.services_by_name["RequestService"],
]
# They carry commands that have methods of their own; test_bulk.py holds them to the same rules.
AUTHORIZE_PAYMENTS: Final = "/tender.v1.PaymentService/AuthorizePayments"
STREAM_PAYMENTS: Final = "/tender.v1.PaymentService/StreamPayments"
_BULK: Final = {AUTHORIZE_PAYMENTS, STREAM_PAYMENTS}
# From the contract, not from the gateway: a method that the gateway forgets is found.
_METHODS: Final = {
    f"/{service.full_name}/{method.name}": method
    for service in _SERVICES
    for method in service.methods
}
PATHS: Final[dict[str, str]] = {
    method.name: path for path, method in _METHODS.items() if path not in _BULK
}
REQUESTS: Final[dict[str, type[Message]]] = {
    name: GetMessageClass(_METHODS[path].input_type) for name, path in PATHS.items()
}
_RESPONSES: Final = {
    name: GetMessageClass(_METHODS[path].output_type) for name, path in PATHS.items()
}
assert set(_METHODS) >= _BULK
_CODE_NAMES: Final = {code.value[0]: code.name for code in grpc.StatusCode}
_NAMES: Final = {request: name for name, request in REQUESTS.items()}

# What a refusal may never show: SQL, places, names of classes and modules, addresses.
_LEAK: Final = re.compile(
    r"\b(SELECT|INSERT|UPDATE|DELETE|FROM|WHERE|CONSTRAINT|_pkey|plpgsql)\b"
    r"|Traceback|\w(Error|Exception)\b|_pb2|\.py\b|asyncpg|postgres|processor\.|storage\."
    r"|/(work|tmp|usr|home|root|var)\b|127\.0\.0\.1|localhost"
)


class Refusal(NamedTuple):
    """A refusal as a client sees it; `status` is all of it."""

    code: str
    reason: str
    fields: tuple[str, ...]
    retry_ms: int
    metadata: Mapping[str, str]
    text: str
    status: str

    @property
    def brief(self) -> tuple[str, str]:
        """Return the gRPC code and the reason."""
        return self.code, self.reason


class Wire:
    """A channel to the gateway, and API keys by name."""

    def __init__(self, channel: grpc.aio.Channel, keys: dict[str, str]) -> None:
        self.channel = channel
        self.keys = keys

    def send(self, name: str, data: bytes, key: str | None = "dev", metadata: Metadata = ()) -> Any:
        """Start a call with these very bytes."""
        given: Any = metadata
        if key is not None:
            given = (("authorization", f"Bearer {self.keys[key]}"), *metadata)
        method: Any = self.channel.unary_unary(PATHS[name])
        return method(data, metadata=given, timeout=CALL_SECONDS_MAX)

    async def over_a_stream(
        self, commands: Sequence[payment_pb2.PaymentCommand], key: str = "dev"
    ) -> list[payment_pb2.PaymentOutcome]:
        """Return the outcomes of payment commands that one stream carries, in their order."""
        method: Any = self.channel.stream_stream(STREAM_PAYMENTS)
        call = method(
            metadata=(("authorization", f"Bearer {self.keys[key]}"),), timeout=CALL_SECONDS_MAX
        )
        found: dict[str, payment_pb2.PaymentOutcome] = {}
        for start in range(0, len(commands), _COMMANDS_PER_MESSAGE):
            message = payment_pb2.StreamPaymentsRequest(
                commands=commands[start : start + _COMMANDS_PER_MESSAGE]
            )
            await call.write(message.SerializeToString())
        await call.done_writing()
        while (data := await call.read()) is not grpc.aio.EOF:
            for outcome in payment_pb2.StreamPaymentsResponse.FromString(data).outcomes:
                found[outcome.request_id] = outcome
        return [
            found[getattr(each, str(each.WhichOneof("command"))).request_id] for each in commands
        ]

    async def ask(self, request: Message, key: str = "dev") -> Any:
        """Return the response to a request that must succeed."""
        name = _NAMES[type(request)]
        data = await self.send(name, request.SerializeToString(), key)
        return _RESPONSES[name].FromString(data)

    async def refused(
        self, request: Message, key: str | None = "dev", metadata: Metadata = ()
    ) -> Refusal:
        """Return the refusal of a request that must be refused."""
        name = _NAMES[type(request)]
        return await refusal(self.send(name, request.SerializeToString(), key, metadata))

    async def outcome(self, request: Message, key: str = "dev") -> str:
        """Return all that the caller is shown, whether the request is refused or not."""
        name = _NAMES[type(request)]
        try:
            data = await self.send(name, request.SerializeToString(), key)
        except grpc.aio.AioRpcError as error:
            return read(error).status
        return str(_RESPONSES[name].FromString(data))


async def refusal(call: Any) -> Refusal:
    """Await a call that must be refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return read(caught.value)


def read(error: grpc.aio.AioRpcError) -> Refusal:
    """Return a refusal: one ErrorInfo of the domain tender, and nothing of our insides."""
    call: Any = error
    status = rpc_status.from_call(call)
    assert status is not None, f"no rich status: {error.code()} {error.details()}"
    assert (status.code, status.message) == (error.code().value[0], error.details())
    return read_status(status)


def read_status(status: status_pb2.Status) -> Refusal:
    """Return the error of one command of a bulk call, which is that of the single call."""
    infos, fields, retry_ms = [], [], 0
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        bad_request = error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            infos.append(info)
        elif detail.Unpack(bad_request):
            fields = [violation.field for violation in bad_request.field_violations]
        elif detail.Unpack(retry):
            retry_ms = retry.retry_delay.ToMilliseconds()
    [info] = infos
    assert info.domain == "tender"
    shown = str(status)
    assert not _LEAK.search(shown), shown
    return Refusal(
        _CODE_NAMES[status.code],
        info.reason,
        tuple(fields),
        retry_ms,
        dict(info.metadata),
        status.message,
        shown,
    )


def is_read(name: str) -> bool:
    """Say whether a method only reads."""
    return methods.METHODS[PATHS[name]].is_read

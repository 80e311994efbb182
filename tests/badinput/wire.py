"""Calls the gateway as any client could, and reads refusals without mercy."""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from gateway import methods
from tender.v1 import account_pb2, merchant_pb2, payment_pb2

CALL_SECONDS_MAX: Final = 10.0
Metadata = tuple[tuple[str, str | bytes], ...]

_SERVICES: Final = [
    payment_pb2.DESCRIPTOR.services_by_name["PaymentService"],
    account_pb2.DESCRIPTOR.services_by_name["AccountService"],
    merchant_pb2.DESCRIPTOR.services_by_name["MerchantService"],
]
# From the contract, not from the gateway: a method that the gateway forgets is found.
PATHS: Final[dict[str, str]] = {
    method.name: f"/{service.full_name}/{method.name}"
    for service in _SERVICES
    for method in service.methods
}
REQUESTS: Final[dict[str, type[Message]]] = {
    method.name: GetMessageClass(method.input_type)
    for service in _SERVICES
    for method in service.methods
}
_RESPONSES: Final = {
    method.name: GetMessageClass(method.output_type)
    for service in _SERVICES
    for method in service.methods
}
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
        self._channel = channel
        self.keys = keys

    def send(self, name: str, data: bytes, key: str | None = "dev", metadata: Metadata = ()) -> Any:
        """Start a call with these very bytes."""
        given: Any = metadata
        if key is not None:
            given = (("authorization", f"Bearer {self.keys[key]}"), *metadata)
        method: Any = self._channel.unary_unary(PATHS[name])
        return method(data, metadata=given, timeout=CALL_SECONDS_MAX)

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
    assert (status.code, status.message) == (error.code().value[0], error.details())
    shown = str(status)
    assert not _LEAK.search(shown), shown
    return Refusal(
        error.code().name,
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

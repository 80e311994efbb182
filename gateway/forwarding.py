"""Calls that a service behind Kafka answers: the gateway lets callers in and hands them on."""

import time
from typing import Final

import grpc

from gateway import endpoint, errors, methods
from gateway.endpoint import Answer, Backends, Endpoint
from gateway.errors import Refused
from gateway.identity import Identity
from kit import internal_auth
from tender.v1 import forward_pb2, lane_pb2

CALL: Final = "/tender.v1.ForwardService/Call"
CALLS_MAX: Final = 200
"""Of a method at a time: a service that hangs must not take all that the gateway has."""

_AWAY: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)


class ForwardFailed(Exception):
    """A service failed at a call in a way that is nobody's but ours."""


class ServiceClient:
    """The gateway's end of ForwardService, of one service."""

    def __init__(self, name: str, channel: grpc.aio.Channel, token: str) -> None:
        self._name = name
        self._metadata = internal_auth.metadata(token)
        self._call = channel.unary_unary(
            CALL,
            request_serializer=forward_pb2.CallRequest.SerializeToString,
            response_deserializer=forward_pb2.CallResponse.FromString,
        )

    async def call(
        self, method: str, request: bytes, principal: lane_pb2.Principal, timeout_seconds: float
    ) -> bytes:
        """Return the public response, serialized, or raise Refused."""
        asked = forward_pb2.CallRequest(method=method, request=request, principal=principal)
        try:
            answer = await self._call(asked, timeout=timeout_seconds, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() in _AWAY:
                raise Refused("SERVICE_UNAVAILABLE", metadata={"service": self._name}) from None
            raise ForwardFailed(error.code().name) from None
        match answer.WhichOneof("result"):
            case "response":
                return answer.response
            case "refusal":
                raise errors.from_refusal(answer.refusal)
            case _:
                raise ForwardFailed("the answer is empty")


class ForwardEndpoint(Endpoint):
    """A method that a service answers, which checks the request itself."""

    def __init__(self, route: methods.Forwarded, backends: Backends) -> None:
        super().__init__(route)
        self._service = route.service
        self._found = backends.services.get(route.service)
        self._limits = backends.limits
        self._timeout_seconds_max = backends.write_timeout_seconds
        self._under_way = 0

    async def carry_out(self, data: bytes, caller: Identity, seconds_left: float | None) -> Answer:
        if self._limits is not None:
            self._limits.admit(self.route.name, caller)
        if self._found is None:
            raise Refused("SERVICE_ABSENT", metadata={"service": self._service})
        if len(data) > endpoint.MESSAGE_BYTES_MAX:
            raise Refused("MESSAGE_TOO_LARGE")
        timeout = endpoint.timeout_seconds(seconds_left, self._timeout_seconds_max)
        if self._under_way >= CALLS_MAX:
            raise Refused("GATEWAY_BUSY")
        self._under_way += 1
        deadline = time.monotonic() + timeout
        try:
            await self.look_at(data, caller, timeout)
            left = max(deadline - time.monotonic(), 0.001)
            response = await self._found.call(self.route.name, data, caller.principal, left)
        finally:
            self._under_way -= 1
        return Answer(response, replayed=False)

    async def look_at(self, data: bytes, caller: Identity, timeout_seconds: float) -> None:
        """Refuse what the service cannot know to be wrong; nothing unless a method has more."""

"""Answers the public calls that gateways hand on to a service."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import grpc
from google.protobuf.message import DecodeError, Message

from kit import serving
from tender.v1 import forward_pb2, lane_pb2

SERVICE: Final = "tender.v1.ForwardService"

Handler = Callable[[Any, lane_pb2.Principal], Awaitable[Message]]


class Problem(NamedTuple):
    """A field that is not valid; the text is fixed and never repeats the value."""

    field: str
    description: str


class Refused(Exception):
    """A call is not carried out, for a reason of the gateway's catalogue (docs/errors.md)."""

    def __init__(
        self,
        reason: str,
        *,
        message: str = "",
        metadata: Mapping[str, str] = MappingProxyType({}),
        problems: Sequence[Problem] = (),
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.message = message
        self.metadata = metadata
        self.problems = problems

    def refusal(self) -> lane_pb2.Refusal:
        """Return it as a gateway gets it."""
        return lane_pb2.Refusal(
            reason=self.reason,
            message=self.message,
            metadata=self.metadata,
            field_problems=[
                lane_pb2.FieldProblem(field=problem.field, description=problem.description)
                for problem in self.problems
            ],
        )


class Calls:
    """Implements ForwardService: each public method by its name, its request, and who answers it.

    A handler returns the public response or raises Refused; whatever else it raises is for the
    wall in front of it.
    """

    def __init__(self, methods: Mapping[str, tuple[type[Message], Handler]]) -> None:
        self._methods = methods

    async def call(
        self, request: forward_pb2.CallRequest, _context: serving.Context
    ) -> forward_pb2.CallResponse:
        """Answer one call."""
        try:
            response = await self._answer(request)
        except Refused as refused:
            return forward_pb2.CallResponse(refusal=refused.refusal())
        return forward_pb2.CallResponse(response=response.SerializeToString())

    async def _answer(self, request: forward_pb2.CallRequest) -> Message:
        found = self._methods.get(request.method)
        if found is None:
            # A gateway of a newer version.
            raise Refused("METHOD_UNKNOWN")
        request_type, handler = found
        try:
            message = request_type.FromString(request.request)
        except DecodeError:
            raise Refused("MESSAGE_MALFORMED") from None
        return await handler(message, request.principal)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Let a server answer with this."""
        handler = grpc.unary_unary_rpc_method_handler(
            self.call,
            request_deserializer=forward_pb2.CallRequest.FromString,
            response_serializer=forward_pb2.CallResponse.SerializeToString,
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {"Call": handler}),)
        )

"""The transport: grpc.aio. Finds the handler of each call, without an interceptor.

`GrpcEdge.service` is called when a call's metadata is there and before its message is; nothing is
awaited for a caller whose key is known. Everybody else gets a handler that finds out first, and
waits for no message of a stranger.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import grpc

from gateway import identity
from gateway.edge.arrivals import Arrivals
from gateway.endpoint import Endpoint
from gateway.errors import Refused
from gateway.front import Front
from gateway.identity import Identity
from gateway.streams import Gone
from kit import serving

MESSAGE_SECONDS_MAX: Final = 10.0  # A call whose message takes longer to arrive is ended.
_CALLERS_MAX: Final = 10_000  # As many as keys are remembered.
_REFLECTION: Final = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
_STATUS_DETAILS: Final = "grpc-status-details-bin"
_REPLAYED: Final = (("tender-replayed", "1"),)

if TYPE_CHECKING:
    Context: TypeAlias = grpc.aio.ServicerContext[bytes, bytes]
else:  # At run time it cannot be subscripted.
    Context = grpc.aio.ServicerContext

Unary: TypeAlias = Callable[[bytes, Context], Awaitable[bytes]]


class GrpcEdge(grpc.GenericRpcHandler):
    """Finds the handler of a method among those that exist; no other one does."""

    def __init__(self, front: Front, health: serving.Health, *, shows_reflection: bool) -> None:
        self._front = front
        self._endpoints = front.endpoints
        self._streams_path = front.streams.route.path
        self._arrivals = Arrivals()
        # By caller and method. A handler is bound to its caller, so that no call can be another's.
        self._handlers: dict[tuple[Identity, str], serving.RpcHandler] = {}
        self._health = _unary(self._checking(health))
        self._shows_reflection = shows_reflection

    async def run(self) -> None:
        """End calls whose message does not come, until cancelled."""
        await self._arrivals.run(lambda: MESSAGE_SECONDS_MAX)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> serving.RpcHandler | None:
        path = handler_call_details.method
        metadata = handler_call_details.invocation_metadata
        endpoint = self._endpoints.get(path)
        if endpoint is not None:
            caller = self._front.admitted(endpoint, metadata)
            if caller is None:
                return _stream(self._asking_first(endpoint, metadata))
            if self._arrivals.are_too_many:
                return _stream(_refusing(self._front.refused(endpoint, "GATEWAY_BUSY")))
            self._arrivals.expect()
            return self._handlers.get((caller, path)) or self._remembered(caller, endpoint)
        if path == self._streams_path:
            return _stream(self._streaming(metadata))
        if path == serving.HEALTH_CHECK:
            self._arrivals.expect()
            return self._health
        if path == _REFLECTION and self._shows_reflection:
            return None
        return _stream(_refusing(self._front.unknown()))

    def _remembered(self, caller: Identity, endpoint: Endpoint) -> serving.RpcHandler:
        if len(self._handlers) >= _CALLERS_MAX:
            self._handlers.clear()
        handler = _unary(self._answering(endpoint, caller))
        self._handlers[caller, endpoint.route.path] = handler
        return handler

    def _asking_first(self, endpoint: Endpoint, metadata: identity.Metadata) -> Any:
        """Answer one message as a stream does, for a caller who is not known yet."""

        async def handle(_requests: Any, context: Context) -> None:
            caller = await self._front.admit(endpoint, metadata)
            if isinstance(caller, Refused):
                return _refuse(context, caller)
            try:
                async with asyncio.timeout(MESSAGE_SECONDS_MAX):
                    message = await context.read()
            except TimeoutError:
                return _refuse(context, Refused("DEADLINE_PASSED"))
            if isinstance(message, bytes):
                answer = await endpoint.answer(message, caller, context.time_remaining())
                if isinstance(answer, Refused):
                    return _refuse(context, answer)
                if answer.replayed:
                    context.set_trailing_metadata(_REPLAYED)
                await context.write(answer.response)
            return None

        return handle

    def _answering(self, endpoint: Endpoint, caller: Identity) -> Unary:
        answer_of, arrived = endpoint.answer, self._arrivals.arrived

        async def handle(data: bytes, context: Context) -> bytes:
            arrived()
            answer = await answer_of(data, caller, context.time_remaining())
            if isinstance(answer, Refused):
                _refuse(context, answer)
                return b""
            if answer.replayed:
                context.set_trailing_metadata(_REPLAYED)
            return answer.response

        return handle

    def _checking(self, health: serving.Health) -> Unary:
        async def handle(data: bytes, context: Context) -> bytes:
            self._arrivals.arrived()
            return await health.check(data, context)

        return handle

    def _streaming(self, metadata: identity.Metadata) -> Any:
        async def handle(_requests: Any, context: Context) -> None:
            streams = self._front.streams
            caller = await self._front.admit(streams, metadata)
            if isinstance(caller, Refused):
                return _refuse(context, caller)
            try:
                verdict = await streams.serve(
                    _Wire(context), identity.key_text(metadata), context.peer()
                )
            except Gone:
                return None
            return None if verdict is None else _refuse(context, verdict)

        return handle


class _Wire:
    """A stream of grpc.aio."""

    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        self._context = context

    async def read(self) -> bytes | None:
        message: Any = await self._context.read()
        return message if isinstance(message, bytes) else None

    async def write(self, message: bytes) -> None:
        try:
            await self._context.write(message)
        except grpc.aio.BaseError:
            # The only thing that can be wrong with a write is that nobody is there.
            raise Gone from None


def _unary(behavior: Unary) -> serving.RpcHandler:
    return grpc.unary_unary_rpc_method_handler(behavior)


def _stream(behavior: Any) -> serving.RpcHandler:
    """A handler that is not called with a message but reads it itself, or does not."""
    return grpc.stream_stream_rpc_method_handler(behavior)


def _refusing(refused: Refused) -> Any:
    async def handle(_requests: Any, context: Context) -> None:
        _refuse(context, refused)

    return handle


def _refuse(context: Context, refused: Refused) -> None:
    """Set what the call ends with. `abort` would raise, and leave the call in a circle of
    references, where it counts against its connection until the collector comes by."""
    context.set_code(refused.code)
    context.set_details(refused.message)
    context.set_trailing_metadata(((_STATUS_DETAILS, refused.encoded()),))

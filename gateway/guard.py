"""The guard: every call to the gateway passes here, and what is not expected is refused.

Who calls is found out when a call arrives, before its message does: a stranger can hold nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import grpc

from gateway import errors, identity, methods
from gateway.endpoint import SERVER, Backends, Context, Endpoint
from gateway.errors import Refused
from kit import metrics, serving

MESSAGE_SECONDS_MAX: Final = 10.0  # A call whose message takes longer to arrive is ended.
_REFLECTION: Final = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


@dataclass(frozen=True, slots=True)
class _Arrival:
    """What is known of a call when its message comes; interceptor and handler share a task."""

    ender: asyncio.TimerHandle
    caller: identity.Identity | None


_arrival: ContextVar[_Arrival] = ContextVar("arrival")


class Guard(grpc.aio.ServerInterceptor):
    """Finds the handler of a method among those made at the start; no other one exists."""

    def __init__(
        self, backends: Backends, health: serving.Health, *, shows_reflection: bool
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._endpoints = {
            path: Endpoint(method, backends) for path, method in methods.METHODS.items()
        }
        self._handlers: dict[str, serving.RpcHandler] = {
            path: grpc.unary_unary_rpc_method_handler(_after_arrival(endpoint))
            for path, endpoint in self._endpoints.items()
        }
        self._health: serving.RpcHandler = grpc.unary_unary_rpc_method_handler(_health(health))
        self._shows_reflection = shows_reflection
        self._unknown_meter = metrics.RpcMeter(SERVER, "unknown")

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[serving.RpcHandler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> serving.RpcHandler | None:
        method = handler_call_details.method
        endpoint = self._endpoints.get(method)
        if endpoint is not None:
            try:
                caller = await endpoint.admit(handler_call_details.invocation_metadata)
            except Refused as refused:
                return _refusing(refused)
            self._expect_message(caller)
            return self._handlers[method]
        if method == serving.HEALTH_CHECK:
            self._expect_message(None)
            return self._health
        if method == _REFLECTION and self._shows_reflection:
            return await continuation(handler_call_details)
        unknown = Refused("METHOD_UNKNOWN")
        self._unknown_meter.count(unknown.code.name)
        return _refusing(unknown)

    def _expect_message(self, caller: identity.Identity | None) -> None:
        task = asyncio.current_task()
        assert task is not None
        ender = self._loop.call_later(MESSAGE_SECONDS_MAX, task.cancel)
        _arrival.set(_Arrival(ender, caller))


def _after_arrival(endpoint: Endpoint) -> Callable[[bytes, Context], Awaitable[bytes]]:
    async def handle(data: bytes, context: Context) -> bytes:
        arrival = _arrival.get()
        arrival.ender.cancel()
        assert arrival.caller is not None
        return await endpoint.handle(data, context, arrival.caller)

    return handle


def _health(health: serving.Health) -> Callable[[bytes, Context], Awaitable[bytes]]:
    async def handle(data: bytes, context: Context) -> bytes:
        _arrival.get().ender.cancel()
        return await health.check(data, context)

    return handle


def _refusing(refused: Refused) -> serving.RpcHandler:
    """Refuse as a stream does, which waits for no message."""

    async def handle(_requests: Any, context: Context) -> None:
        await errors.abort(context, refused)

    return grpc.stream_stream_rpc_method_handler(handle)

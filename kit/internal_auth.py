"""What stands before the processor's servicers: the internal token, and a wall for exceptions."""

import asyncio
import contextlib
import hmac
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import grpc

from kit import faults, metrics, serving

_SCHEME: Final = "Bearer "
_REFUSED: Final = "The internal token is missing or wrong."
_INTERRUPTED: Final = "The call was interrupted inside; its outcome is unknown."


def metadata(token: str) -> tuple[tuple[str, str], ...]:
    """Return what a client of the processor sends along with every call."""
    return (("authorization", _SCHEME + token),)


class InternalGuard(grpc.aio.ServerInterceptor):
    """Lets only holders of the internal token in; only the health check is open."""

    def __init__(self, token: str, *, server: str = "processor") -> None:
        self._expected = (_SCHEME + token).encode()
        self._server = server
        self._handlers: dict[str, serving.RpcHandler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[serving.RpcHandler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> serving.RpcHandler | None:
        method = handler_call_details.method
        if method != serving.HEALTH_CHECK and not self._admits(handler_call_details):
            return _REFUSAL
        handler = self._handlers.get(method)
        if handler is None:
            found = await continuation(handler_call_details)
            if found is None:
                return None
            # Only methods that exist are remembered, so a stranger cannot fill this.
            handler = self._handlers[method] = self._wrapped(method, found)
        return handler

    def _admits(self, details: grpc.HandlerCallDetails) -> bool:
        values = [
            value for key, value in details.invocation_metadata or () if key == "authorization"
        ]
        return len(values) == 1 and hmac.compare_digest(_as_bytes(values[0]), self._expected)

    def _wrapped(self, method: str, handler: serving.RpcHandler) -> serving.RpcHandler:
        name = method.rpartition("/")[2]
        wall = _Wall(self._server, name)
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                wall.unary(handler.unary_unary),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        if handler.stream_stream is not None:
            return grpc.stream_stream_rpc_method_handler(
                wall.stream(handler.stream_stream),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                wall.stream(handler.unary_stream),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        raise TypeError(f"{method}: no method inside takes a stream and answers once")


class _Wall:
    """Keeps what goes wrong in one method from the peer, and counts what comes of its calls."""

    def __init__(self, server: str, method: str) -> None:
        self._server = server
        self._method = method
        self._meter = metrics.RpcMeter(server, method)

    def unary(self, behavior: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def contained(request: Any, context: serving.Context) -> Any:
            started = time.perf_counter()
            code = "OK"
            try:
                return await behavior(request, context)
            except BaseException as error:
                code, answer = self._judged(error, context)
                if answer is None:
                    raise
                await context.abort(grpc.StatusCode[code], answer)
            finally:
                self._meter.observe(code, time.perf_counter() - started)

        return contained

    def stream(self, behavior: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap what answers with a stream; its length says nothing, so it is only counted."""
        if inspect.isasyncgenfunction(behavior):
            return self._generator(behavior)

        async def contained(requests: Any, context: serving.Context) -> None:
            code = "OK"
            try:
                await behavior(requests, context)
            except BaseException as error:
                code, answer = self._judged(error, context)
                if answer is None:
                    raise
                await context.abort(grpc.StatusCode[code], answer)
            finally:
                self._meter.count(code)

        return contained

    def _generator(self, behavior: Callable[..., Any]) -> Callable[..., AsyncIterator[Any]]:
        async def contained(requests: Any, context: serving.Context) -> AsyncIterator[Any]:
            code = "OK"
            try:
                async with contextlib.aclosing(behavior(requests, context)) as responses:
                    async for response in responses:
                        yield response
            except BaseException as error:
                code, answer = self._judged(error, context)
                if answer is None:
                    raise
                await context.abort(grpc.StatusCode[code], answer)
            finally:
                self._meter.count(code)

        return contained

    def _judged(self, error: BaseException, context: serving.Context) -> tuple[str, str | None]:
        """Return the code, and the text to abort with unless the call is answered or over."""
        match error:
            case grpc.aio.AbortError():
                return serving.code_name(context), None
            case asyncio.CancelledError() if faults.cancelled_from_within():
                return "UNAVAILABLE", _INTERRUPTED
            case Exception():
                error_id = faults.record(self._server, self._method, error)
                return "INTERNAL", f"{faults.INTERNAL_SENTENCE} Error id: {error_id}."
            case _:
                return "CANCELLED", None


def _as_bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


async def _refuse(_requests: Any, context: serving.Context) -> None:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, _REFUSED)


# A stream, so that the refusal does not wait for a message.
_REFUSAL: Final[serving.RpcHandler] = grpc.stream_stream_rpc_method_handler(_refuse)

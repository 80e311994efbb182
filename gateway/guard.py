"""The guard: every call to the gateway passes here, and what is not expected is refused.

Handlers are raw: bytes in, bytes out. So a message that cannot be parsed gets a fixed text, and an
answer goes from the lane to the caller without being parsed at all.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import grpc
from google.protobuf.message import DecodeError

from gateway import access, errors, identity, methods, validation
from gateway.errors import Refused
from kit import faults, metrics, serving
from tender.v1 import lane_pb2

SERVER: Final = "gateway"
MESSAGE_BYTES_MAX: Final = 64 * 1024
_REPLAYED: Final = (("tender-replayed", "1"),)
_REFLECTION: Final = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

Context = grpc.aio.ServicerContext[bytes, bytes]


class Lane(Protocol):
    """Where commands go."""

    def submit(
        self, method: int, request: bytes, principal: lane_pb2.Principal, timeout_seconds: float
    ) -> asyncio.Future[lane_pb2.Outcome]: ...


class Queries(Protocol):
    """Where reads go."""

    async def read(
        self, method: int, request: bytes, principal: lane_pb2.Principal, timeout_seconds: float
    ) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Backends:
    """What carries calls out, and the longest that each kind may take."""

    directory: identity.KeyDirectory
    lane: Lane
    queries: Queries
    write_timeout_seconds: float
    read_timeout_seconds: float


class Guard(grpc.aio.ServerInterceptor):
    """Finds the handler of a method among those made at the start; no other one exists."""

    def __init__(
        self, backends: Backends, health: serving.Health, *, shows_reflection: bool
    ) -> None:
        self._handlers: dict[str, serving.RpcHandler] = {
            path: grpc.unary_unary_rpc_method_handler(_Endpoint(method, backends).handle)
            for path, method in methods.METHODS.items()
        }
        self._handlers[serving.HEALTH_CHECK] = health.handler()
        self._shows_reflection = shows_reflection
        self._unknown: serving.RpcHandler = grpc.stream_stream_rpc_method_handler(_Unknown().handle)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[serving.RpcHandler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> serving.RpcHandler | None:
        handler = self._handlers.get(handler_call_details.method)
        if handler is not None:
            return handler
        if self._shows_reflection and handler_call_details.method == _REFLECTION:
            return await continuation(handler_call_details)
        return self._unknown


class _Unknown:
    """Refuses what no rule allows, as a stream so that it does not wait for a message."""

    def __init__(self) -> None:
        self._meter = metrics.RpcMeter(SERVER, "unknown")

    async def handle(self, _requests: Any, context: Context) -> None:
        refused = Refused("METHOD_UNKNOWN")
        self._meter.count(refused.code.name)
        await errors.abort(context, refused)


class _Endpoint:
    """One public method."""

    __slots__ = ("_backends", "_carry_out", "_meter", "_method", "_parse", "_timeout_seconds_max")

    def __init__(self, method: methods.Method, backends: Backends) -> None:
        self._method = method
        self._backends = backends
        self._parse = method.request.FromString
        self._meter = metrics.RpcMeter(SERVER, method.name)
        self._carry_out = self._read if method.is_read else self._execute
        self._timeout_seconds_max = (
            backends.read_timeout_seconds if method.is_read else backends.write_timeout_seconds
        )

    async def handle(self, data: bytes, context: Context) -> bytes:
        """Answer a call; nothing that goes wrong inside reaches the caller but an error id."""
        started = time.perf_counter()
        code = "OK"
        try:
            return await self._admit_and_carry_out(data, context)
        except Refused as refused:
            code = refused.code.name
            await errors.abort(context, refused)
        except asyncio.CancelledError:
            code = "CANCELLED"
            if not faults.cancelled_from_within():
                raise
            code = "UNAVAILABLE"
            await errors.abort(context, Refused("OUTCOME_UNKNOWN"))
        except Exception as error:  # The last wall: gRPC would send the text to the caller.
            code = "INTERNAL"
            error_id = faults.record(SERVER, self._method.name, error)
            await errors.abort(context, Refused("INTERNAL", metadata={"error_id": error_id}))
        finally:
            self._meter.observe(code, time.perf_counter() - started)

    async def _admit_and_carry_out(self, data: bytes, context: Context) -> bytes:
        key_text = identity.key_text(context.invocation_metadata())
        caller = await self._backends.directory.identify(key_text)
        access.require_scope(self._method.allowed, caller)
        if len(data) > MESSAGE_BYTES_MAX:
            raise Refused("MESSAGE_TOO_LARGE")
        try:
            request = self._parse(data)
        except DecodeError:
            raise Refused("MESSAGE_MALFORMED") from None
        validation.validate(self._method, request)
        if access.RULES[self._method.number](request, caller):
            data = request.SerializeToString()
        return await self._carry_out(data, caller.principal, context)

    async def _execute(self, data: bytes, principal: lane_pb2.Principal, context: Context) -> bytes:
        # Only this RPC waits on the future: if it is cancelled, the command goes on without it.
        outcome = await self._backends.lane.submit(
            self._method.number, data, principal, self._timeout_seconds(context)
        )
        if outcome.replayed:
            context.set_trailing_metadata(_REPLAYED)
        match outcome.WhichOneof("result"):
            case "response":
                return outcome.response
            case "refusal":
                raise errors.from_refusal(outcome.refusal)
            case _:
                raise AssertionError("the lane answered with neither a response nor a refusal")

    async def _read(self, data: bytes, principal: lane_pb2.Principal, context: Context) -> bytes:
        return await self._backends.queries.read(
            self._method.number, data, principal, self._timeout_seconds(context)
        )

    def _timeout_seconds(self, context: Context) -> float:
        """Return what is left of the caller's deadline, at most the server's own maximum."""
        remaining: float | None = context.time_remaining()
        if remaining is None:
            return self._timeout_seconds_max
        if remaining <= 0:
            raise Refused("DEADLINE_PASSED")
        return min(remaining, self._timeout_seconds_max)

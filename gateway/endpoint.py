"""One public method, from the bytes of a request to the bytes of its answer.

Handlers are raw: bytes in, bytes out. So a message that cannot be parsed gets a fixed text, and an
answer goes from the lane to the caller without being parsed at all.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from gateway import access, errors, identity, methods, validation
from gateway.errors import Refused
from kit import faults, metrics
from tender.v1 import lane_pb2

SERVER: Final = "gateway"
MESSAGE_BYTES_MAX: Final = 64 * 1024
_REPLAYED: Final = (("tender-replayed", "1"),)

if TYPE_CHECKING:
    Context: TypeAlias = grpc.aio.ServicerContext[bytes, bytes]
else:  # At run time it cannot be subscripted.
    Context = grpc.aio.ServicerContext


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


class Endpoint:
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

    async def admit(self, metadata: identity.Metadata) -> identity.Identity:
        """Return who calls, before a byte of the message is waited for; raises Refused only."""
        try:
            caller = await self._backends.directory.identify(identity.key_text(metadata))
            access.require_scope(self._method.allowed, caller)
        except BaseException as error:
            refused = self._as_refusal(error)
            self._meter.count(refused.code.name)
            raise refused from None
        return caller

    async def handle(self, data: bytes, context: Context, caller: identity.Identity) -> bytes:
        """Answer a call; nothing that goes wrong inside reaches the caller but an error id."""
        started = time.perf_counter()
        code = "CANCELLED"
        try:
            answer = await self._answer(data, context, caller)
            code = "OK"
            return answer
        except BaseException as error:
            refused = self._as_refusal(error)
            code = refused.code.name
            await errors.abort(context, refused)
        finally:
            self._meter.observe(code, time.perf_counter() - started)

    def _as_refusal(self, error: BaseException) -> Refused:
        """Translate what ended a call; raises it again when nobody waits for an answer.

        This is the last wall: gRPC would send the text of an exception to the caller.
        """
        match error:
            case Refused():
                return error
            case asyncio.CancelledError() if faults.cancelled_from_within():
                return Refused("OUTCOME_UNKNOWN")
            case Exception():
                error_id = faults.record(SERVER, self._method.name, error)
                return Refused("INTERNAL", metadata={"error_id": error_id})
            case _:
                raise error

    async def _answer(self, data: bytes, context: Context, caller: identity.Identity) -> bytes:
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

"""A processor over a real socket that does what a test tells it: answer, twice, late or never."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import grpc

from gateway import methods
from kit import api_keys, internal_auth, serving
from kit.shard_map import ShardMap
from tender.v1 import (
    directory_pb2,
    directory_pb2_grpc,
    lane_pb2,
    lane_pb2_grpc,
    payment_pb2,
    query_pb2,
    query_pb2_grpc,
)

TOKEN = "internal-token-of-the-tests-0123456789"
PEPPER = bytes(range(32))
SIGN_OF_LIFE_SECONDS = 1.0
MERCHANT = "mer_eu_0000000000000000000001"
OTHER_MERCHANT = "mer_eu_0000000000000000000002"
ACCOUNT = "acc_eu_0000000000000000000001"
OTHER_ACCOUNT = "acc_eu_0000000000000000000002"
PAYMENT = "pay_eu_0000000000000000000001"

_RESPONSES: dict[int, Any] = {
    lane_pb2.METHOD_CAPTURE_PAYMENT: payment_pb2.CapturePaymentResponse,
    lane_pb2.METHOD_VOID_PAYMENT: payment_pb2.VoidPaymentResponse,
    lane_pb2.METHOD_REFUND_PAYMENT: payment_pb2.RefundPaymentResponse,
    lane_pb2.METHOD_REVERSE_PAYMENT: payment_pb2.ReversePaymentResponse,
}

Send = Callable[[lane_pb2.Outcome], Awaitable[None]]
Script = Callable[[lane_pb2.Command, Send], Coroutine[Any, Any, None]]


async def echo(command: lane_pb2.Command, send: Send) -> None:
    """Answer with the command's own request_id, so that a mix-up shows."""
    await send(echoed(command))


def echoed(
    command: lane_pb2.Command, *, replayed: bool = False, text: str = ""
) -> lane_pb2.Outcome:
    request: Any = methods.BY_NUMBER[command.method].request.FromString(command.request)
    response = _RESPONSES.get(command.method, payment_pb2.AuthorizePaymentResponse)(
        payment=payment_pb2.Payment(description=text or request.request_id), read_token="s1.1.1"
    )
    return lane_pb2.Outcome(
        correlation_id=command.correlation_id,
        response=response.SerializeToString(),
        replayed=replayed,
    )


def fill_in_principals(message: lane_pb2.ExecuteRequest) -> None:
    """Write out the principal where a gateway leaves it out: it is that of the command before."""
    for before, command in itertools.pairwise(message.commands):
        if not command.HasField("principal"):
            command.principal.CopyFrom(before.principal)


def refused(command: lane_pb2.Command, **refusal: Any) -> lane_pb2.Outcome:
    return lane_pb2.Outcome(
        correlation_id=command.correlation_id, refusal=lane_pb2.Refusal(**refusal)
    )


class ScriptedProcessor(
    lane_pb2_grpc.LaneServiceServicer,
    query_pb2_grpc.QueryServiceServicer,
    directory_pb2_grpc.DirectoryServiceServicer,
):
    """The transport is real; what is said over it is the test's.

    With `lanes`, epochs by shard, it also says what it holds; without it knows no directory.
    """

    def __init__(
        self, lanes: dict[str, int] | None = None, shard_map: ShardMap | None = None
    ) -> None:
        self.lanes = lanes
        self.shard_map = shard_map.to_message() if shard_map else None
        self._said = asyncio.Event()
        self.keys: dict[str, query_pb2.GetApiKeyResponse] = {}
        self._streams: set[asyncio.Event] = set()
        self.streams_opened = 0
        # Of the lane; empty for a processor that does not say.
        self.incarnation = ""
        self._tells: dict[str, Callable[[], Awaitable[None]]] = {}
        self.reset()

    def reset(self) -> None:
        """Forget everything but the keys and the streams."""
        self.script: Script = echo
        self.commands: list[lane_pb2.Command] = []
        # The shard of the stream that each of them came on.
        self.shards: list[str] = []
        self.batch_sizes: list[int] = []
        self.bulk_rounds: list[int] = []
        self.reads: list[query_pb2.ReadRequest] = []
        self.read_answer = query_pb2.ReadResponse(response=b"")
        self.read_script: Callable[[query_pb2.ReadRequest], query_pb2.ReadResponse] | None = None
        self.key_lookups: list[str] = []
        self.key_script: Callable[[], Awaitable[None]] | None = None
        self.refuses_streams = False

    def add_key(self, *scopes: str, merchant_id: str = "", tenant_id: str = "acme") -> str:
        key = api_keys.generate()
        self.keys[key.key_id] = query_pb2.GetApiKeyResponse(
            secret_hash=api_keys.secret_hash(PEPPER, key.secret),
            tenant_id=tenant_id,
            scopes=scopes,
            merchant_id=merchant_id,
        )
        return key.text

    def break_streams(self) -> None:
        """End every stream in the middle of whatever it does."""
        for broken in self._streams:
            broken.set()

    async def Execute(self, request_iterator: Any, context: Any) -> None:
        shard = dict(context.invocation_metadata()).get("tender-shard", "")
        if self.refuses_streams or (shard and shard not in (self.lanes or {})):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "refused by the test")
        broken, writing = asyncio.Event(), asyncio.Lock()
        self._streams.add(broken)
        self.streams_opened += 1
        serving = asyncio.create_task(self._serve(context, writing, shard))
        breaking = asyncio.create_task(broken.wait())
        try:
            await asyncio.wait((serving, breaking), return_when=asyncio.FIRST_COMPLETED)
            # An abort during a write would leave the stream open for ever.
            async with writing:
                serving.cancel()
                await asyncio.wait([serving])
        finally:
            self._streams.discard(broken)
            serving.cancel()
            breaking.cancel()
            self._tells.pop(shard, None)
        if broken.is_set():
            await context.abort(grpc.StatusCode.UNAVAILABLE, "broken by the test")

    async def _serve(self, context: Any, writing: asyncio.Lock, shard: str) -> None:
        async def send(outcome: lane_pb2.Outcome) -> None:
            async with writing:
                await context.write(
                    lane_pb2.ExecuteResponse(outcomes=[outcome], incarnation=self.incarnation)
                )

        async def tell() -> None:
            async with writing:
                await context.write(lane_pb2.ExecuteResponse(incarnation=self.incarnation))

        self._tells[shard] = tell
        if self.incarnation:
            await tell()

        async with asyncio.TaskGroup() as group:
            while (message := await context.read()) is not grpc.aio.EOF:
                self.batch_sizes.append(len(message.commands))
                self.bulk_rounds += [message.bulk_round] * len(message.commands)
                fill_in_principals(message)
                self.commands.extend(message.commands)
                self.shards += [shard] * len(message.commands)
                for command in message.commands:
                    group.create_task(self.script(command, send))

    async def Read(self, request: query_pb2.ReadRequest, context: Any) -> query_pb2.ReadResponse:
        self.reads.append(request)
        return self.read_script(request) if self.read_script else self.read_answer

    async def reopen(self, incarnation: str) -> None:
        """Be a lane with another incarnation from now on, and tell every gateway."""
        self.incarnation = incarnation
        for tell in self._tells.values():
            await tell()

    def say(self, lanes: dict[str, int], shard_map: ShardMap | None = None) -> None:
        """Hold these lanes from now on, perhaps with another map, and tell everybody."""
        self.lanes = lanes
        if shard_map is not None:
            self.shard_map = shard_map.to_message()
        self._said.set()
        self._said = asyncio.Event()

    async def Watch(
        self, request: directory_pb2.WatchRequest, context: Any
    ) -> AsyncIterator[directory_pb2.WatchResponse]:
        while True:
            said = self._said
            held = [
                directory_pb2.HeldLane(shard=shard, epoch=epoch)
                for shard, epoch in (self.lanes or {}).items()
            ]
            yield directory_pb2.WatchResponse(
                processor="scripted", shard_map=self.shard_map, lanes=held
            )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SIGN_OF_LIFE_SECONDS):
                    await said.wait()

    async def GetApiKey(
        self, request: query_pb2.GetApiKeyRequest, context: Any
    ) -> query_pb2.GetApiKeyResponse:
        self.key_lookups.append(request.key_id)
        if self.key_script is not None:
            await self.key_script()
        if request.key_id not in self.keys:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return self.keys[request.key_id]


class _Wire:
    """One stream's way out: a write that was begun is ended, or grpc could not send a status."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._one_at_a_time = asyncio.Lock()
        self._has_ended = False

    async def send(self, outcome: lane_pb2.Outcome) -> None:
        await asyncio.shield(asyncio.ensure_future(self._write(outcome)))

    async def end(self) -> None:
        self._has_ended = True
        async with self._one_at_a_time:
            await self._context.abort(grpc.StatusCode.UNAVAILABLE, "broken by the test")

    async def _write(self, outcome: lane_pb2.Outcome) -> None:
        async with self._one_at_a_time:
            if not self._has_ended:
                await self._context.write(lane_pb2.ExecuteResponse(outcomes=[outcome]))


@asynccontextmanager
async def listening(processor: ScriptedProcessor, address: str) -> AsyncIterator[grpc.aio.Server]:
    server = serving.create_server([internal_auth.InternalGuard(TOKEN)], rpcs_max=1_000)
    lane_pb2_grpc.add_LaneServiceServicer_to_server(processor, server)
    query_pb2_grpc.add_QueryServiceServicer_to_server(processor, server)
    if processor.lanes is not None:
        directory_pb2_grpc.add_DirectoryServiceServicer_to_server(processor, server)
    serving.bind(server, address)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(None)

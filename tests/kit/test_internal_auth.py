"""The wall in front of the processor's servicers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from kit import internal_auth, serving
from tender.v1 import lane_pb2, lane_pb2_grpc, query_pb2, query_pb2_grpc
from tests.gateway import conftest

TOKEN = "internal-token-of-the-tests-0123456789"
PAN = "4111111111111111"
READ = "/tender.v1.QueryService/Read"
EXECUTE = "/tender.v1.LaneService/Execute"
GOOD = internal_auth.metadata(TOKEN)


class Servicer(lane_pb2_grpc.LaneServiceServicer, query_pb2_grpc.QueryServiceServicer):
    """Fails as it is told to."""

    error: BaseException | None = None

    async def Read(self, request: query_pb2.ReadRequest, context: Any) -> query_pb2.ReadResponse:
        if self.error is not None:
            raise self.error
        return query_pb2.ReadResponse(response=b"found")

    async def GetApiKey(self, request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.NOT_FOUND, "no such key")

    async def Execute(self, request_iterator: Any, context: Any) -> None:
        async for _ in request_iterator:
            if self.error is not None:
                raise self.error
            await context.write(lane_pb2.ExecuteResponse())


class GeneratorServicer(Servicer):
    """The same as an asynchronous generator, which grpc also accepts."""

    async def Execute(  # type: ignore[override]
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[lane_pb2.ExecuteResponse]:
        async for _ in request_iterator:
            if self.error is not None:
                raise self.error
            yield lane_pb2.ExecuteResponse()


@pytest.fixture(params=[Servicer, GeneratorServicer])
def servicer(request: pytest.FixtureRequest) -> Servicer:
    made: Servicer = request.param()
    return made


@pytest.fixture
async def channel(servicer: Servicer) -> AsyncIterator[grpc.aio.Channel]:
    server = serving.create_server([internal_auth.InternalGuard(TOKEN)], rpcs_max=100)
    lane_pb2_grpc.add_LaneServiceServicer_to_server(servicer, server)
    query_pb2_grpc.add_QueryServiceServicer_to_server(servicer, server)
    health = serving.Health()
    health.set_serving(True)
    health.add_to(server)
    port = serving.bind(server, "127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(None)


async def failure(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


def unary(channel: grpc.aio.Channel, path: str, metadata: Any = GOOD) -> Any:
    method: Any = channel.unary_unary(path)
    return method(b"", metadata=metadata, timeout=5)


async def stream(channel: grpc.aio.Channel, metadata: Any = GOOD) -> Any:
    method: Any = channel.stream_stream(EXECUTE)
    call = method(metadata=metadata, timeout=5)
    await call.write(b"")
    answer = await call.read()
    await call.done_writing()
    if answer is grpc.aio.EOF:
        await conftest.until(call.done)
        assert await call.code() is grpc.StatusCode.OK, await call.details()
    return answer


async def refused(channel: grpc.aio.Channel, metadata: Any) -> Any:
    """A stream on which nothing is sent.

    gRPC's client tells INTERNAL of its own where its message comes after the refusal.
    """
    method: Any = channel.stream_stream(EXECUTE)
    return await method(metadata=metadata, timeout=5).read()


async def test_the_token_opens_the_door(channel: grpc.aio.Channel) -> None:
    assert await unary(channel, READ) == b"\x0a\x05found"
    assert await stream(channel) == b""


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", TOKEN),),
        (("authorization", f"Bearer {TOKEN}x"),),
        (("authorization", f"Bearer {TOKEN[:-1]}"),),
        (("authorization", "Bearer "),),
        (*GOOD, *GOOD),
        (("authorization-bin", f"Bearer {TOKEN}".encode()),),
    ],
)
async def test_anything_else_does_not(channel: grpc.aio.Channel, metadata: Any) -> None:
    for call in (
        unary(channel, READ, metadata),
        unary(channel, "/tender.v1.QueryService/Nothing", metadata),
        refused(channel, metadata),
    ):
        code, _ = await failure(call)

        assert code is grpc.StatusCode.UNAUTHENTICATED


async def test_health_needs_no_token(channel: grpc.aio.Channel) -> None:
    assert await unary(channel, "/grpc.health.v1.Health/Check", ()) == b"\x08\x01"


async def test_an_unknown_method_is_unimplemented(channel: grpc.aio.Channel) -> None:
    code, _ = await failure(unary(channel, "/tender.v1.QueryService/Nothing"))

    assert code is grpc.StatusCode.UNIMPLEMENTED


async def test_an_exception_is_told_as_an_id_only(
    channel: grpc.aio.Channel, servicer: Servicer
) -> None:
    servicer.error = ValueError(f"card {PAN} in table cards")

    for call in (unary(channel, READ), stream(channel)):
        code, text = await failure(call)

        assert code is grpc.StatusCode.INTERNAL
        assert "Error id: " in text
        assert "card" not in text
        assert "ValueError" not in text


async def test_a_cancellation_from_within_is_answered(
    channel: grpc.aio.Channel, servicer: Servicer
) -> None:
    servicer.error = asyncio.CancelledError()

    for call in (unary(channel, READ), stream(channel)):
        code, _ = await failure(call)

        assert code is grpc.StatusCode.UNAVAILABLE


async def test_an_answer_of_the_servicer_stays_and_is_counted(channel: grpc.aio.Channel) -> None:
    labels = {"server": "processor", "method": "GetApiKey", "code": "NOT_FOUND"}
    before = conftest.metric("tender_rpc_requests_total", labels)

    code, text = await failure(unary(channel, "/tender.v1.QueryService/GetApiKey"))

    assert (code, text) == (grpc.StatusCode.NOT_FOUND, "no such key")
    assert conftest.metric("tender_rpc_requests_total", labels) == before + 1

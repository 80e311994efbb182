"""What a hostile or broken client may send, and what it never gets back."""

import asyncio
import gc
import random
from pathlib import Path
from typing import Any

import grpc
import pytest

from gateway import endpoint, methods
from gateway.edge import arrivals, grpc_aio
from kit import serving
from tender.v1 import lane_pb2, query_pb2
from tests.gateway import conftest, requests, scripted
from tests.gateway.conftest import Stack

PAN = "4111111111111111"
AUTHORIZE = conftest.path_of("AuthorizePayment")
_UNKNOWN_GROUP = b"\xa3\x06"  # Starts a group, which nests without a length.


def nested(levels: int) -> bytes:
    data = b""
    for _ in range(levels):
        data = b"\x22" + _varint(len(data)) + data
    return data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


MALFORMED = {
    "truncated varint": b"\x28\xff",
    "truncated string": b"\x0a\xff",
    "bad UTF-8": b"\x0a\x02\xc3\x28",
    "wrong end of group": b"\x0c",
    "field number zero": b"\x00\x01",
    "varint of eleven bytes": b"\x28" + b"\xff" * 11,
    "200 open groups": _UNKNOWN_GROUP * 200,
    "3000 open groups": _UNKNOWN_GROUP * 3_000,
    "text in place of a message": b"\x22\x05hello",
    "metadata that is no pair": b"\x42\x03\xff\xff\xff",
}


@pytest.mark.parametrize("path", list(methods.METHODS))
async def test_malformed_bytes_get_a_fixed_text(stack: Stack, path: str) -> None:
    key = "operator" if "operator" in methods.METHODS[path].allowed else "service"
    for data in (b"\xff\xff", b"\x0a\x02\xc3\x28", _UNKNOWN_GROUP * 200):
        answer = await conftest.refusal(stack.call_bytes(path, data, key=key))

        assert (answer.code, answer.reason, answer.text) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "MESSAGE_MALFORMED",
            "The message is not a valid protocol buffer of the method's request.",
        )


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
async def test_every_way_of_being_malformed(stack: Stack, data: bytes) -> None:
    answer = await conftest.refusal(stack.call_bytes(AUTHORIZE, data))

    assert answer.reason == "MESSAGE_MALFORMED"
    assert stack.processor.commands == []


@pytest.mark.parametrize(
    "data",
    [nested(200), b"\xa0\x06\x01" * 20_000, b"\x10\x05", b"\x0a\x00" * 30_000],
    ids=["200 nested messages", "unknown fields", "wrong wire type", "repeated scalar"],
)
async def test_what_parses_but_makes_no_sense_is_invalid(stack: Stack, data: bytes) -> None:
    answer = await conftest.refusal(stack.call_bytes(AUTHORIZE, data))

    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT


async def test_64_kib_pass_and_one_byte_more_does_not(stack: Stack) -> None:
    body = requests.authorize().SerializeToString()
    # An unknown field of the length that fills the message.
    filled = body + b"\xa2\x06" + _varint(endpoint.MESSAGE_BYTES_MAX - len(body) - 5)
    filled += bytes(endpoint.MESSAGE_BYTES_MAX - len(filled))

    await stack.call_bytes(AUTHORIZE, filled)
    answer = await conftest.refusal(stack.call_bytes(AUTHORIZE, filled + b"\x00"))

    assert (answer.code, answer.reason, answer.text) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "MESSAGE_TOO_LARGE",
        "The message is larger than 64 KiB.",
    )


async def test_more_than_the_hard_limit_is_refused_by_the_server_itself(stack: Stack) -> None:
    for size in (serving.RECEIVE_BYTES_MAX + 1, 3 * 1024 * 1024):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stack.call_bytes(AUTHORIZE, bytes(size))

        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert stack.processor.commands == []


async def test_a_message_that_grows_by_decompression_is_refused(stack: Stack) -> None:
    method: Any = stack.channel.unary_unary(AUTHORIZE)
    metadata = (("authorization", f"Bearer {stack.keys['service']}"),)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await method(
            bytes(64 * 1024 * 1024),
            metadata=metadata,
            timeout=30,
            compression=grpc.Compression.Gzip,
        )

    # One edge knows no compression, the other one unpacks no more than a message may have.
    assert caught.value.code() in (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNIMPLEMENTED,
    )


@pytest.mark.parametrize(
    "metadata",
    [
        (("x-large", "x" * 9_000),),
        tuple((f"x-{number}", "v") for number in range(2_000)),
    ],
    ids=["one large entry", "2000 small entries"],
)
async def test_too_much_metadata_is_refused(
    stack: Stack, metadata: tuple[tuple[str, str], ...]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stack.call("AuthorizePayment", requests.authorize(), metadata=metadata)

    assert caught.value.code() in {
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.INTERNAL,
    }
    assert stack.processor.commands == []
    await stack.call("AuthorizePayment", requests.authorize())


async def test_random_bytes_never_make_an_unknown_or_internal_error(stack: Stack) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    valid = [(name, request.SerializeToString()) for name, request in requests.VALID.items()]
    expected = {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.OK,
    }

    async def attack() -> None:
        name, data = chance.choice(valid)
        mutated = bytearray(data)
        for _ in range(chance.randint(1, 8)):
            position = chance.randrange(len(mutated) + 1)
            mutated[position : position + chance.randint(0, 2)] = chance.randbytes(
                chance.randint(0, 3)
            )
        path = conftest.path_of(name)
        key = chance.choice(["service", "operator"])
        call = stack.call_bytes(path, bytes(mutated), key=key)
        assert await call.code() in expected, (seed, path, bytes(mutated))

    for _ in range(20):
        await asyncio.gather(*(attack() for _ in range(50)))


async def test_the_text_of_an_exception_never_reaches_the_caller(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object) -> None:
        raise ValueError(f"SELECT pan FROM cards WHERE pan = '{PAN}'")

    for module in ("gateway.validation.validate", "gateway.access.require_scope"):
        with monkeypatch.context() as patch:
            patch.setattr(module, explode)
            call = stack.call("AuthorizePayment", requests.authorize(description=PAN))

            answer = await conftest.refusal(call)

        assert (answer.code, answer.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
        assert set(answer.metadata) == {"error_id"}
        shown = repr(answer) + repr(await call.trailing_metadata())
        for secret in (PAN, "SELECT", "ValueError", "Traceback", ".py"):
            assert secret not in shown


async def test_what_breaks_at_the_processor_is_not_told(stack: Stack) -> None:
    async def explode() -> None:
        raise ValueError(f"card {PAN}")

    stack.processor.key_script = explode
    stack.keys["fresh"] = stack.processor.add_key("service")

    answer = await conftest.refusal(
        stack.call("ListPayments", requests.VALID["ListPayments"], key="fresh")
    )

    assert answer.reason == "SHARD_UNAVAILABLE"
    assert PAN not in repr(answer)


async def test_a_cancellation_from_within_is_answered(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancelled(*_: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr("gateway.validation.validate", cancelled)

    answer = await conftest.refusal(stack.call("AuthorizePayment", requests.authorize()))

    assert (answer.code, answer.reason) == (grpc.StatusCode.UNAVAILABLE, "OUTCOME_UNKNOWN")


async def test_a_read_returns_what_the_processor_found(stack: Stack) -> None:
    stack.processor.read_answer = query_pb2.ReadResponse(response=b"\x0a\x00")

    assert await stack.call("GetAccount", requests.VALID["GetAccount"]) == b"\x0a\x00"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            query_pb2.ReadResponse(refusal=lane_pb2.Refusal(reason="ACCOUNT_UNKNOWN")),
            "ACCOUNT_UNKNOWN",
        ),
        (query_pb2.ReadResponse(refusal=lane_pb2.Refusal(reason="NO_SUCH_REASON")), "INTERNAL"),
        (query_pb2.ReadResponse(), "INTERNAL"),
    ],
)
async def test_a_read_that_is_refused(
    stack: Stack, answer: query_pb2.ReadResponse, reason: str
) -> None:
    stack.processor.read_answer = answer

    refused = await conftest.refusal(stack.call("GetAccount", requests.VALID["GetAccount"]))

    assert refused.reason == reason


async def test_a_read_while_the_processor_is_away_may_be_repeated(tmp_path: Path) -> None:
    async with conftest.running(tmp_path) as stack:
        await stack.call("ListPayments", requests.VALID["ListPayments"])
        await stack.stop_processor()

        answer = await conftest.refusal(stack.call("ListPayments", requests.VALID["ListPayments"]))

        assert answer.code is grpc.StatusCode.UNAVAILABLE
        assert (answer.reason, answer.retry_ms > 0) == ("SHARD_UNAVAILABLE", True)


async def test_256_calls_in_flight_on_one_channel(stack: Stack) -> None:
    release = asyncio.Event()

    async def wait(command: lane_pb2.Command, send: scripted.Send) -> None:
        await release.wait()
        await send(scripted.echoed(command))

    stack.processor.script = wait
    calls = [
        asyncio.ensure_future(stack.call("AuthorizePayment", requests.authorize(str(number))))
        for number in range(256)
    ]
    await conftest.until(lambda: len(stack.processor.commands) == 256)
    release.set()

    assert len(await asyncio.gather(*calls)) == 256


async def test_idle_connections_that_say_nothing_are_closed(stack: Stack) -> None:
    host, _, port = stack.address.rpartition(":")
    pairs = [await asyncio.open_connection(host, int(port)) for _ in range(50)]

    async with asyncio.timeout(serving.HANDSHAKE_MS / 1_000 + 3):
        for reader, _ in pairs:
            await reader.read()

    for _, writer in pairs:
        writer.close()
    await stack.call("AuthorizePayment", requests.authorize())


async def test_a_stranger_is_refused_before_a_message_is_waited_for(stack: Stack) -> None:
    method: Any = stack.channel.stream_unary(AUTHORIZE)
    call = method(timeout=5)

    answer = await conftest.refusal(call)

    assert answer.reason == "CREDENTIALS_MISSING"


@conftest.on_grpc
@pytest.mark.parametrize("path", [AUTHORIZE, serving.HEALTH_CHECK])
async def test_a_message_that_never_comes_is_not_waited_for_long(
    stack: Stack, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_aio, "MESSAGE_SECONDS_MAX", 0.2)
    metadata = (("authorization", f"Bearer {stack.keys['service']}"),)
    method: Any = stack.channel.stream_unary(path)
    before = len(asyncio.all_tasks())
    calls = [method(metadata=metadata) for _ in range(20)]
    for call in calls:
        await call.wait_for_connection()
    await asyncio.sleep(0.1)
    during = len(asyncio.all_tasks())

    assert during - before >= 40
    # The server's own tasks are gone, and with them their share of its concurrency.
    await conftest.until(lambda: during - len(asyncio.all_tasks()) >= 20)
    for call in calls:
        call.cancel()


@conftest.on_grpc
async def test_more_calls_without_a_message_than_may_wait_are_refused(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "ARRIVALS_MAX", 3)
    metadata = (("authorization", f"Bearer {stack.keys['service']}"),)
    method: Any = stack.channel.stream_unary(AUTHORIZE)
    await stack.call("AuthorizePayment", requests.authorize())
    waiting = [method(metadata=metadata, timeout=5) for _ in range(3)]
    for call in waiting:
        await call.wait_for_connection()
    await asyncio.sleep(0.1)

    answer = await conftest.refusal(stack.call("AuthorizePayment", requests.authorize("more")))
    for call in waiting:
        call.cancel()
    await asyncio.sleep(0.4)

    assert (answer.reason, answer.retry_ms > 0) == ("GATEWAY_BUSY", True)
    await stack.call("AuthorizePayment", requests.authorize("later"))


async def test_more_reads_than_may_be_under_way_are_refused(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "READS_MAX", 0)

    answer = await conftest.refusal(stack.call("GetAccount", requests.VALID["GetAccount"]))

    assert (answer.reason, answer.retry_ms > 0) == ("GATEWAY_BUSY", True)


async def test_many_streams_reset_at_once_hurt_no_bystander(stack: Stack) -> None:
    async def reset_rapidly() -> None:
        async with grpc.aio.insecure_channel(
            stack.address, options=[("grpc.use_local_subchannel_pool", 1)]
        ) as channel:
            for _ in range(20):
                calls: list[Any] = [channel.unary_unary(AUTHORIZE)(b"") for _ in range(100)]  # type: ignore[arg-type]
                await asyncio.sleep(0)
                for call in calls:
                    call.cancel()
                await asyncio.wait([asyncio.ensure_future(call) for call in calls])

    async with asyncio.TaskGroup() as group:
        group.create_task(reset_rapidly())
        for number in range(100):
            await stack.call("AuthorizePayment", requests.authorize(f"bystander-{number}"))


async def test_refused_calls_leave_nothing_for_the_collector(stack: Stack) -> None:
    """A connection refuses streams while too many calls of it are not freed yet."""
    refused = requests.authorize(amount=requests.money(0))
    calls = serving.STREAMS_MAX + 200
    gc.collect()
    gc.disable()
    try:
        for call, key in ((stack.call, "service"), (stack.call, None)):
            for _ in range(calls // 100):
                found = [call("AuthorizePayment", refused, key=key) for _ in range(100)]
                codes = {await each.code() for each in found}
                assert codes <= {
                    grpc.StatusCode.INVALID_ARGUMENT,
                    grpc.StatusCode.UNAUTHENTICATED,
                }
    finally:
        gc.enable()

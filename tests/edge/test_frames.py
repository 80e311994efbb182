"""HTTP/2 as a peer may speak it, octet by octet."""

import asyncio
import base64
import random

import grpc
import pytest

from benchmarks.http2 import frames, hpack
from gateway.edge.http2 import frames as own
from gateway.edge.http2 import limits
from tender.v1 import lane_pb2, payment_pb2
from tests.edge import raw
from tests.gateway import conftest, requests, scripted
from tests.gateway.conftest import Stack

PRIORITY_FRAME = 2
UNKNOWN_FRAME = 0x42


def described(answer: tuple[dict[str, str], bytes]) -> str:
    headers, data = answer
    assert (headers[":status"], headers["grpc-status"]) == ("200", "0"), headers
    assert data[:5] == b"\0" + frames.NUMBER.pack(len(data) - 5)
    return payment_pb2.AuthorizePaymentResponse.FromString(data[5:]).payment.description


async def test_a_call_in_one_piece_and_octet_by_octet(stack: Stack) -> None:
    async with raw.connected(stack, greets=False) as connection:
        whole = frames.PREFACE + frames.settings({}) + raw.authorize(stack, 1, "slow")
        for octet in whole:
            connection.send(bytes([octet]))
            await asyncio.sleep(0)
        assert described(await connection.answer(1)) == "slow"

        connection.send(*(raw.authorize(stack, stream, str(stream)) for stream in range(3, 41, 2)))
        for stream in range(3, 41, 2):
            assert described(await connection.answer(stream)) == str(stream)


async def test_every_cut_of_a_call_in_two(stack: Stack) -> None:
    whole = frames.PREFACE + frames.settings({}) + raw.authorize(stack, 1, "cut")
    for cut in range(1, len(whole), 7):
        async with raw.connected(stack, greets=False) as connection:
            connection.send(whole[:cut])
            await asyncio.sleep(0.001)
            connection.send(whole[cut:])

            assert described(await connection.answer(1)) == "cut"


async def test_padding_priority_and_continuation(stack: Stack) -> None:
    headers = raw.block(raw.request_headers(raw.AUTHORIZE, stack.keys["service"]))
    message = raw.message(requests.authorize("padded").SerializeToString())
    padded = frames.PADDED | frames.PRIORITY
    first = bytes([3]) + bytes(5) + headers[:10] + bytes(3)
    async with raw.connected(stack) as connection:
        connection.send(
            frames.frame(PRIORITY_FRAME, 0, 1, bytes(5)),
            frames.frame(frames.HEADERS, padded, 1, first),
            frames.frame(frames.CONTINUATION, 0, 1, headers[10:50]),
            frames.frame(frames.CONTINUATION, frames.END_HEADERS, 1, headers[50:]),
            frames.frame(UNKNOWN_FRAME, 0xFF, 1, b"what is this?"),
            frames.frame(frames.DATA, frames.PADDED, 1, bytes([2]) + message[:9] + bytes(2)),
            frames.frame(
                frames.DATA, 1 | frames.PADDED, 1, bytes([200]) + message[9:] + bytes(200)
            ),
        )

        assert described(await connection.answer(1)) == "padded"


async def test_headers_in_the_dynamic_table(stack: Stack) -> None:
    """What the table holds may change between two calls with the same octets."""
    encoder = hpack.Encoder(4_096)
    headers = raw.request_headers(raw.AUTHORIZE, stack.keys["service"])
    data = raw.message(requests.authorize("table").SerializeToString())
    async with raw.connected(stack) as connection:
        for number in range(5):
            stream = number * 2 + 1
            connection.send(
                frames.frame(frames.HEADERS, frames.END_HEADERS, stream, encoder.encode(headers)),
                raw.data(stream, data),
            )
            assert described(await connection.answer(stream)) == "table"
        # Index 62 is the newest entry; a new one in front of it makes the old octets mean others.
        connection.send(
            frames.frame(
                frames.HEADERS,
                frames.END_HEADERS | frames.END_STREAM,
                11,
                b"\x40\x05x-new\x01v" + encoder.encode(headers),
            )
        )
        reset = await connection.next(frames.RST_STREAM)
    assert (reset.stream, frames.read_number(reset.payload)) == (11, own.PROTOCOL_ERROR)


async def test_answers_wait_for_the_window_of_their_stream(stack: Stack) -> None:
    async with raw.connected(stack, {frames.INITIAL_WINDOW_SIZE: 10}) as connection:
        connection.send(raw.authorize(stack, 1, "windowed"))
        data = (await connection.next(frames.DATA)).payload
        assert len(data) == 10
        # Made smaller while some of it is used: the window is negative now.
        connection.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 0}))
        connection.send(frames.window_update(1, 10))
        connection.send(frames.frame(frames.PING, 0, 0, b"was that"))
        assert (await connection.next(frames.DATA, frames.PING)).kind == frames.PING

        connection.send(frames.window_update(1, 3))
        data += (await connection.next(frames.DATA)).payload
        assert len(data) == 13
        connection.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 1_000}))
        headers, rest = await connection.answer(1)

    assert headers["grpc-status"] == "0"
    message = payment_pb2.AuthorizePaymentResponse.FromString((data + rest)[5:])
    assert message.payment.description == "windowed"


async def test_answers_wait_for_the_window_of_the_connection(stack: Stack) -> None:
    async def long(command: lane_pb2.Command, send: scripted.Send) -> None:
        await send(scripted.echoed(command, text="x" * 30_000))

    stack.processor.script = long
    async with raw.connected(stack, {frames.INITIAL_WINDOW_SIZE: 1 << 20}) as connection:
        connection.send(*(raw.authorize(stack, stream) for stream in (1, 3, 5)))
        received = 0
        while received < frames.WINDOW_DEFAULT:
            received += len((await connection.next(frames.DATA)).payload)
        connection.send(frames.frame(frames.PING, 0, 0, bytes(8)))
        assert (await connection.next(frames.DATA, frames.PING)).kind == frames.PING

        connection.send(frames.window_update(0, 100_000))
        last = await connection.next(frames.HEADERS)
        assert last.flags & frames.END_STREAM


async def test_windows_are_given_back_as_they_are_used(stack: Stack) -> None:
    filler = b"\xa2\x06\x80\x80\x03" + bytes(49_152)
    body = requests.authorize("big").SerializeToString() + filler
    message = raw.message(body)
    headers = raw.request_headers(raw.AUTHORIZE, stack.keys["service"])
    async with raw.connected(stack) as connection:
        for stream in range(1, 81, 2):  # In all twice the window of the connection.
            connection.send(raw.open_call(stream, headers))
            for at in range(0, len(message), 16_000):
                ends = at + 16_000 >= len(message)
                connection.send(raw.data(stream, message[at : at + 16_000], int(ends)))
        given = 0
        while given < limits.CONNECTION_WINDOW_BYTES:
            frame = await connection.next(frames.WINDOW_UPDATE)
            if frame.stream == 0:
                given += frames.read_number(frame.payload)


async def test_a_peer_with_a_smaller_table_is_told_that_it_is_known(stack: Stack) -> None:
    async with raw.connected(stack, {frames.HEADER_TABLE_SIZE: 0}) as connection:
        connection.send(raw.authorize(stack, 1), raw.authorize(stack, 3))
        heads = [await connection.next(frames.HEADERS) for _ in range(4)]

    assert [head.payload[:1] == b"\x20" for head in heads] == [True, False, False, False]


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        (b":method", b"GET", "405"),
        (b"content-type", b"application/json", "415"),
        (b"content-type", b"application/grpcx", "415"),
        (b"content-type", b"application/grpc+proto", "200"),
        (b"content-type", b"application/grpc;charset=utf-8", "200"),
    ],
)
async def test_what_is_no_call_of_grpc(
    stack: Stack, name: bytes, value: bytes, status: str
) -> None:
    headers = tuple(
        (given, value if given == name else as_it_is)
        for given, as_it_is in raw.request_headers(raw.AUTHORIZE, stack.keys["service"])
    )
    body = raw.message(requests.authorize().SerializeToString())
    async with raw.connected(stack) as connection:
        connection.send(raw.open_call(1, headers), raw.data(1, body))
        answer, _ = await connection.answer(1)

        assert answer[":status"] == status
        connection.send(raw.authorize(stack, 3, "after"))
        assert described(await connection.answer(3)) == "after"


@pytest.mark.parametrize(
    "more",
    [
        (b"Upper", b"case"),
        (b":path", b"/again"),
        (b":strange", b"x"),
        (b"connection", b"close"),
        (b"x", b"two\nlines"),
        (b"x-bin", b"!!!"),
    ],
)
async def test_a_request_that_may_not_be_is_reset(stack: Stack, more: tuple[bytes, bytes]) -> None:
    headers = raw.request_headers(raw.AUTHORIZE, stack.keys["service"], more)
    async with raw.connected(stack) as connection:
        connection.send(raw.open_call(1, headers))
        reset = await connection.next(frames.RST_STREAM)

        assert (reset.stream, frames.read_number(reset.payload)) == (1, own.PROTOCOL_ERROR)
        connection.send(raw.authorize(stack, 3, "after"))
        assert described(await connection.answer(3)) == "after"


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        ([b"\x01\0\0\0\x01x"], "COMPRESSION_UNSUPPORTED"),
        ([b"\0\0\x01\0\x01"], "MESSAGE_TOO_LARGE"),
        ([b""], "MESSAGE_MALFORMED"),
        ([b"\0\0\0"], "MESSAGE_MALFORMED"),
        ([b"\0\0\0\0\x05abc"], "MESSAGE_MALFORMED"),
        ([b"\0\0\0\0\0", b"\0\0\0\0\0"], "MESSAGE_MALFORMED"),
    ],
)
async def test_messages_that_may_not_be(stack: Stack, octets: list[bytes], reason: str) -> None:
    headers = raw.request_headers(raw.AUTHORIZE, stack.keys["service"])
    async with raw.connected(stack) as connection:
        connection.send(raw.authorize(stack, 1))
        await connection.answer(1)
        connection.send(raw.open_call(3, headers))
        connection.send(*(raw.data(3, part, 0) for part in octets[:-1]), raw.data(3, octets[-1]))
        answer, _ = await connection.answer(3)

    assert reason.encode() in base64.b64decode(answer["grpc-status-details-bin"] + "==")
    assert stack.processor.commands[1:] == []


async def test_a_timeout_that_cannot_be_read_is_refused(stack: Stack) -> None:
    async with raw.connected(stack) as connection:
        for number, timeout in enumerate((b"1", b"S", b"123456789S", b"-1S", b"1s")):
            stream = number * 2 + 1
            connection.send(raw.authorize(stack, stream, "x", (b"grpc-timeout", timeout)))
            answer, _ = await connection.answer(stream)
            assert answer["grpc-status"] == str(grpc.StatusCode.INVALID_ARGUMENT.value[0])
        connection.send(raw.authorize(stack, 101, "good", (b"grpc-timeout", b"99999999H")))
        assert described(await connection.answer(101)) == "good"


BROKEN: dict[str, tuple[bytes, int]] = {
    "no stream for DATA": (raw.data(0, b"x"), own.PROTOCOL_ERROR),
    "DATA of a call not begun": (raw.data(7, b"x"), own.PROTOCOL_ERROR),
    "an even stream": (raw.open_call(2, ()), own.PROTOCOL_ERROR),
    "headers of the connection": (raw.open_call(0, ()), own.PROTOCOL_ERROR),
    "a frame too large": (b"\x00\x40\x01\0\0\0\0\0\x01" + bytes(16_385), own.FRAME_SIZE_ERROR),
    "SETTINGS of odd size": (frames.frame(frames.SETTINGS, 0, 0, b"x"), own.FRAME_SIZE_ERROR),
    "an ack with settings": (frames.frame(frames.SETTINGS, 1, 0, bytes(6)), own.FRAME_SIZE_ERROR),
    "SETTINGS of a stream": (frames.frame(frames.SETTINGS, 0, 1, b""), own.PROTOCOL_ERROR),
    "a window too large": (
        frames.settings({frames.INITIAL_WINDOW_SIZE: 1 << 31}),
        own.FLOW_CONTROL_ERROR,
    ),
    "frames too small": (frames.settings({frames.MAX_FRAME_SIZE: 1}), own.PROTOCOL_ERROR),
    "a PING of odd size": (frames.frame(frames.PING, 0, 0, b"x"), own.FRAME_SIZE_ERROR),
    "an update by nothing": (frames.window_update(0, 0), own.PROTOCOL_ERROR),
    "an update of a call not begun": (frames.window_update(9, 1), own.PROTOCOL_ERROR),
    "windows that add up": (frames.window_update(0, (1 << 31) - 1), own.FLOW_CONTROL_ERROR),
    "a reset of a call not begun": (
        frames.frame(frames.RST_STREAM, 0, 9, bytes(4)),
        own.PROTOCOL_ERROR,
    ),
    "a push": (frames.frame(frames.PUSH_PROMISE, 0, 1, bytes(4)), own.PROTOCOL_ERROR),
    "CONTINUATION of nothing": (
        frames.frame(frames.CONTINUATION, 4, 1, b""),
        own.PROTOCOL_ERROR,
    ),
    "a block interrupted": (
        frames.frame(frames.HEADERS, 0, 1, b"") + frames.frame(frames.PING, 0, 0, bytes(8)),
        own.PROTOCOL_ERROR,
    ),
    "more padding than payload": (
        frames.frame(frames.HEADERS, 0xC, 1, b"\x09x"),
        own.PROTOCOL_ERROR,
    ),
    "no header block": (frames.frame(frames.HEADERS, 4, 1, b"\xff\xff\xff"), own.COMPRESSION_ERROR),
}


@pytest.mark.parametrize(("octets", "code"), BROKEN.values(), ids=BROKEN.keys())
async def test_a_peer_that_breaks_the_protocol_is_told_how(
    stack: Stack, octets: bytes, code: int
) -> None:
    async with raw.connected(stack) as connection:
        connection.send(raw.authorize(stack, 1))
        await connection.answer(1)
        connection.send(octets)

        last, told = await connection.goaway()

    assert (told, last % 2 == 1) == (code, True)


async def test_random_octets_end_a_connection_and_nothing_else(stack: Stack) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")  # noqa: T201
    generator = random.Random(seed)
    labels = {"server": "gateway"}
    errors_before = conftest.metric("tender_internal_errors_total", labels)
    valid = raw.authorize(stack, 1)
    for _ in range(200):
        broken = bytearray(valid)
        for _ in range(generator.randrange(1, 4)):
            broken[generator.randrange(len(broken))] = generator.randrange(256)
        async with raw.connected(stack) as connection:
            connection.send(bytes(broken))
    async with raw.connected(stack) as connection:
        connection.send(raw.authorize(stack, 1, "still there"))

        assert described(await connection.answer(1)) == "still there"
    assert conftest.metric("tender_internal_errors_total", labels) == errors_before

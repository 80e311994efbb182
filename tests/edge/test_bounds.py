"""What a peer may not do without end: each bound, and what happens past it."""

import asyncio

import pytest

from benchmarks.http2 import frames, hpack
from gateway.edge.http2 import frames as own
from gateway.edge.http2 import limits
from gateway.edge.http2.edge import Http2Edge
from tender.v1 import lane_pb2
from tests.edge import raw
from tests.edge.test_frames import described
from tests.gateway import conftest, requests, scripted
from tests.gateway.conftest import Stack

PRIORITY_FRAME = 2
TRAILING_CODE = "grpc-status"


def resets(stack: Stack, count: int) -> bytes:
    reset = frames.NUMBER.pack(frames.CANCEL)
    return b"".join(
        raw.authorize(stack, stream) + frames.frame(frames.RST_STREAM, 0, stream, reset)
        for stream in range(1, 2 * count, 2)
    )


async def test_rapid_resets(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RESETS_BURST", 50)
    monkeypatch.setattr(limits, "RESETS_PER_SECOND", 0)
    async with raw.connected(stack) as connection:
        connection.send(resets(stack, 50))
        connection.send(raw.authorize(stack, 201, "still served"))
        assert described(await connection.answer(201)) == "still served"

    async with raw.connected(stack) as connection:
        connection.send(resets(stack, 60))
        assert (await connection.goaway())[1] == own.ENHANCE_YOUR_CALM


@pytest.mark.parametrize(
    "fault",
    [frames.window_update(1, 0), frames.window_update(1, (1 << 31) - 1), raw.data(1, b"again")],
    ids=["an update by nothing", "a window too large", "DATA after the end"],
)
async def test_resets_that_a_peer_brings_about(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, fault: bytes
) -> None:
    """What is cancelled by a broken rule costs as much as what is cancelled by its caller."""
    monkeypatch.setattr(limits, "RESETS_BURST", 20)
    monkeypatch.setattr(limits, "RESETS_PER_SECOND", 0)
    async with raw.connected(stack) as connection:
        for stream in range(1, 61, 2):
            own_fault = fault[:5] + frames.NUMBER.pack(stream) + fault[9:]
            connection.send(raw.authorize(stack, stream), own_fault)

        assert (await connection.goaway())[1] == own.ENHANCE_YOUR_CALM


FLOODS: dict[str, tuple[str, bytes]] = {
    "PING": ("CONTROLS_BURST", frames.frame(frames.PING, 0, 0, bytes(8))),
    "acks of PING": ("CONTROLS_BURST", frames.frame(frames.PING, 1, 0, bytes(8))),
    "SETTINGS": ("CONTROLS_BURST", frames.settings({})),
    "PRIORITY": ("CONTROLS_BURST", frames.frame(PRIORITY_FRAME, 0, 3, bytes(5))),
    "unknown": ("CONTROLS_BURST", frames.frame(0x99, 0, 3, b"")),
    "WINDOW_UPDATE": ("UPDATES_BURST", frames.window_update(0, 1)),
    "empty DATA": ("EMPTY_BURST", raw.data(3, b"", 0)),
    "tiny DATA": ("EMPTY_BURST", raw.data(3, b"\0", 0)),
    "empty DATA of a call past": ("EMPTY_BURST", raw.data(1, b"", 0)),
    "padding alone": ("EMPTY_BURST", frames.frame(frames.DATA, 8, 3, b"\x01\0")),
}


@pytest.mark.parametrize(("bound", "frame"), FLOODS.values(), ids=FLOODS.keys())
async def test_floods_of_frames_that_cost_their_sender_nothing(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, bound: str, frame: bytes
) -> None:
    monkeypatch.setattr(limits, bound, 100)
    path = conftest.path_of("StreamPayments").encode()
    async with raw.connected(stack) as connection:
        connection.send(raw.authorize(stack, 1))
        await connection.answer(1)
        connection.send(raw.open_call(3, raw.request_headers(path, stack.keys["service"])))
        connection.send(frame * 90)
        connection.send(raw.authorize(stack, 5, "still served"))
        assert described(await connection.answer(5)) == "still served"

        connection.send(frame * 5_000)
        assert (await connection.goaway())[1] == own.ENHANCE_YOUR_CALM


async def test_header_blocks_in_too_many_parts(stack: Stack) -> None:
    part = frames.frame(frames.CONTINUATION, 0, 1, b"")
    async with raw.connected(stack) as connection:
        connection.send(frames.frame(frames.HEADERS, 0, 1, b""), part * 1_000)

        assert (await connection.goaway())[1] == own.ENHANCE_YOUR_CALM


async def test_header_blocks_that_are_too_long(stack: Stack) -> None:
    part = frames.frame(frames.CONTINUATION, 0, 1, bytes(16_000))
    async with raw.connected(stack) as connection:
        connection.send(frames.frame(frames.HEADERS, 0, 1, bytes(16_000)), part)

        assert (await connection.goaway())[1] == own.ENHANCE_YOUR_CALM


async def test_a_block_that_grows_as_it_is_decoded(stack: Stack) -> None:
    """One entry of 4,000 octets in the table, named 10,000 times in as many octets."""
    entry = b"\x40\x04bomb" + hpack.encode_integer(4_000, 7, 0) + b"x" * 4_000
    bomb = raw.block(raw.request_headers(raw.AUTHORIZE, stack.keys["service"])) + entry
    async with raw.connected(stack) as connection:
        bomb += b"\xbe" * (limits.HEADER_BLOCK_BYTES_MAX - len(bomb))
        connection.send(frames.frame(frames.HEADERS, frames.END_HEADERS, 1, bomb[:16_384]))
        headers, _ = await connection.answer(1)
        assert headers[TRAILING_CODE] == "8"

        connection.send(raw.authorize(stack, 3, "still served"))
        assert described(await connection.answer(3)) == "still served"


async def test_more_calls_than_a_connection_may_have(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = asyncio.Event()

    async def wait(command: lane_pb2.Command, send: scripted.Send) -> None:
        await release.wait()
        await send(scripted.echoed(command))

    stack.processor.script = wait
    monkeypatch.setattr(limits, "STREAMS_MAX", 3)
    async with raw.connected(stack) as connection:
        connection.send(*(raw.authorize(stack, stream, str(stream)) for stream in (1, 3, 5, 7)))
        reset = await connection.next(frames.RST_STREAM)
        assert (reset.stream, frames.read_number(reset.payload)) == (7, own.REFUSED_STREAM)
        release.set()

        assert described(await connection.answer(5)) == "5"


async def test_a_connection_that_says_nothing(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HANDSHAKE_SECONDS_MAX", 0.2)
    for octets in (b"", frames.PREFACE[:10], frames.PREFACE):
        async with raw.connected(stack, greets=False) as connection:
            connection.send(octets)
            assert (await connection.goaway())[1] == own.PROTOCOL_ERROR


async def test_a_connection_that_speaks_something_else(stack: Stack) -> None:
    async with raw.connected(stack, greets=False) as connection:
        connection.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await connection.goaway())[1] == own.PROTOCOL_ERROR


@pytest.mark.parametrize("part", [b"", b"\0\0\0\0\x09abc"], ids=["nothing", "a part"])
@pytest.mark.parametrize("method", ["AuthorizePayment", "GetPayment"])
async def test_a_message_that_does_not_come(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, part: bytes, method: str
) -> None:
    path = conftest.path_of(method).encode()
    async with raw.connected(stack) as connection:
        connection.send(raw.authorize(stack, 1))
        await connection.answer(1)
        monkeypatch.setattr(limits, "MESSAGE_SECONDS_MAX", 0.2)
        connection.send(raw.open_call(3, raw.request_headers(path, stack.keys["service"])))
        connection.send(raw.data(3, part, 0))
        headers, _ = await connection.answer(3)
        reset = await connection.next(frames.RST_STREAM)

    assert headers[TRAILING_CODE] == "4"
    assert (reset.stream, frames.read_number(reset.payload)) == (3, own.NO_ERROR)


async def test_an_idle_connection_is_ended_in_order(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with raw.connected(stack) as connection:
        connection.send(raw.authorize(stack, 1))
        await connection.answer(1)
        monkeypatch.setattr(limits, "IDLE_SECONDS_MAX", 0.1)
        first = await connection.next(frames.GOAWAY)
        ping = await connection.next(frames.PING)
        connection.send(frames.frame(frames.PING, frames.ACK, 0, ping.payload))

        assert frames.read_goaway(first.payload) == (frames.STREAM_MAX, own.NO_ERROR)
        assert await connection.goaway() == (1, own.NO_ERROR)


async def test_an_old_connection_ends_after_its_calls(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = asyncio.Event()

    async def wait(command: lane_pb2.Command, send: scripted.Send) -> None:
        await release.wait()
        await send(scripted.echoed(command))

    stack.processor.script = wait
    monkeypatch.setattr(limits, "AGE_SECONDS_MAX", 0.1)
    async with raw.connected(stack) as connection:
        connection.send(raw.authorize(stack, 1, "before"))
        await connection.next(frames.GOAWAY)
        connection.send(raw.authorize(stack, 3, "on its way"))
        ping = await connection.next(frames.PING)
        connection.send(frames.frame(frames.PING, frames.ACK, 0, ping.payload))
        last = frames.read_goaway((await connection.next(frames.GOAWAY)).payload)
        connection.send(raw.authorize(stack, 5, "after"))
        await asyncio.sleep(0.3)
        release.set()

        assert described(await connection.answer(1)) == "before"
        assert described(await connection.answer(3)) == "on its way"
        assert last == (3, own.NO_ERROR)
        assert await connection.frame() is None
    assert len(stack.processor.commands) == 2


async def test_a_peer_that_is_gone_without_a_word(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SILENCE_SECONDS_MAX", 0.1)
    monkeypatch.setattr(limits, "SIGN_OF_LIFE_SECONDS_MAX", 0.5)
    async with raw.connected(stack) as connection:
        ping = await connection.next(frames.PING)
        connection.send(frames.frame(frames.PING, frames.ACK, 0, ping.payload))
        again = await connection.next(frames.PING)

        assert again.payload == ping.payload
        assert (await connection.goaway())[1] == own.NO_ERROR


async def test_more_connections_than_there_may_be(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Http2Edge, "connections_max", 2)
    async with raw.connected(stack) as connection:
        connection.send(raw.authorize(stack, 1, "the second at most"))
        assert described(await connection.answer(1)) == "the second at most"
        async with raw.connected(stack) as second, raw.connected(stack) as third:
            second.send(raw.authorize(stack, 1))
            third.send(raw.authorize(stack, 1))

            assert (await third.goaway())[1] == own.ENHANCE_YOUR_CALM


async def test_a_peer_that_reads_nothing_is_not_read_and_then_let_go(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def long(command: lane_pb2.Command, send: scripted.Send) -> None:
        await send(scripted.echoed(command, text="x" * 60_000))

    stack.processor.script = long
    monkeypatch.setattr(limits, "STALL_SECONDS_MAX", 1.0)
    generous = {frames.INITIAL_WINDOW_SIZE: 1 << 30}
    async with raw.connected(stack, generous) as connection:
        connection.send(frames.window_update(0, 1 << 30))
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        for stream in range(1, 1_001, 2):
            connection.send(raw.authorize(stack, stream, str(stream)))
            await asyncio.sleep(0.003)
        # Its other side holds a few megabytes; what is not read does not pile up beside them.
        assert len(stack.processor.commands) < 450
        await asyncio.sleep(1.5)
        connection.writer.transport.resume_reading()  # type: ignore[attr-defined]
        while await connection.frame() is not None:
            pass


async def test_answers_that_a_peer_does_not_let_out_are_bounded(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def long(command: lane_pb2.Command, send: scripted.Send) -> None:
        await send(scripted.echoed(command, text="x" * 10_000))

    stack.processor.script = long
    monkeypatch.setattr(limits, "CONNECTION_UNSENT_BYTES_MAX", 1_000_000)
    async with raw.connected(stack, {frames.INITIAL_WINDOW_SIZE: 0}) as connection:
        for stream in range(1, 301, 2):
            connection.send(raw.authorize(stack, stream, str(stream)))

        assert (await connection.goaway())[1] == own.ENHANCE_YOUR_CALM


async def test_parts_of_messages_are_bounded(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    path = conftest.path_of("AuthorizePayments").encode()
    monkeypatch.setattr(limits, "CONNECTION_HELD_BYTES_MAX", 100_000)
    headers = raw.request_headers(path, stack.keys["service"])
    part = raw.message(bytes(40_000))[:16_000]
    async with raw.connected(stack) as connection:
        for stream in range(1, 31, 2):
            connection.send(raw.open_call(stream, headers), raw.data(stream, part, 0))
        answered = [(await connection.next(frames.RST_STREAM)).stream for _ in range(9)]
        connection.send(raw.authorize(stack, 101, "still served"))

        assert described(await connection.answer(101)) == "still served"
    assert len(set(answered)) == 9


async def test_a_stream_that_sends_more_than_its_window(stack: Stack) -> None:
    path = conftest.path_of("StreamPayments").encode()

    async def late(command: lane_pb2.Command, send: scripted.Send) -> None:
        await asyncio.sleep(1)
        await send(scripted.echoed(command))

    stack.processor.script = late
    commands = [requests.VALID["StreamPayments"].SerializeToString() for _ in range(400)]
    message = raw.message(b"".join(commands))
    async with raw.connected(stack) as connection:
        connection.send(raw.open_call(1, raw.request_headers(path, stack.keys["service"])))
        for _ in range(40):
            for at in range(0, len(message), 16_000):
                connection.send(raw.data(1, message[at : at + 16_000], 0))

        assert (await connection.goaway())[1] == own.FLOW_CONTROL_ERROR

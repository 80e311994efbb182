"""The generator's HTTP/2 against servers that use all the freedom the protocol gives them."""

import asyncio

import pytest

from benchmarks.http2 import frames
from benchmarks.http2.connection import Reply
from tests.benchmarks.rawserver import OK_END, OK_HEAD, Peer, talking

PATH = b"/tender.v1.PaymentService/AuthorizePayment"
END = frames.END_HEADERS | frames.END_STREAM


def prefixed(body: bytes) -> bytes:
    return b"\0" + len(body).to_bytes(4) + body


@pytest.mark.parametrize("size", [1, 2, 3, 7, 9, 10, 64])
async def test_an_answer_arrives_whole_however_it_is_cut(size: int) -> None:
    async def behave(peer: Peer) -> None:
        await peer.greet()
        stream, _ = await peer.call()
        data = peer.answer(stream, b"hello")
        for at in range(0, len(data), size):
            await peer.send(data[at : at + size])
            await asyncio.sleep(0)
        await peer.frame_of(frames.GOAWAY)

    async with talking(behave) as client:
        client.connection.call(PATH, b"question", "token")

        assert await client.reply() == ("token", Reply(0, "", prefixed(b"hello")))


async def test_an_answer_arrives_whole_when_it_is_cut_in_two_at_any_byte() -> None:
    async def behave(peer: Peer) -> None:
        await peer.greet()
        at = 0
        while True:
            stream, _ = await peer.call()
            data = peer.answer(stream, b"hello")
            await peer.send(data[:at])
            await asyncio.sleep(0.001)
            await peer.send(data[at:])
            at = (at + 1) % len(data)

    async with talking(behave) as client:
        for number in range(120):
            client.connection.call(PATH, b"question", number)

            assert await client.reply() == (number, Reply(0, "", prefixed(b"hello")))


async def test_padding_priority_continuation_and_unknown_frames_are_understood() -> None:
    async def behave(peer: Peer) -> None:
        await peer.greet()
        stream, _ = await peer.call()
        head, end = peer.block(OK_HEAD), peer.block(OK_END)
        padded = frames.PADDED
        await peer.send(
            frames.frame(0xFA, 0, 0, b"what is this")
            + frames.frame(
                frames.HEADERS,
                frames.PRIORITY | padded,
                stream,
                b"\x02" + bytes(5) + head[:3] + bytes(2),
            )
            + frames.frame(frames.CONTINUATION, 0, stream, head[3:4])
            + frames.frame(frames.CONTINUATION, frames.END_HEADERS, stream, head[4:])
            + frames.frame(frames.DATA, padded, stream, b"\x04" + prefixed(b"hello")[:6] + bytes(4))
            + frames.frame(frames.DATA, 0, stream, prefixed(b"hello")[6:])
            + frames.frame(frames.HEADERS, END, stream, end)
        )
        await peer.frame_of(frames.GOAWAY)

    async with talking(behave) as client:
        client.connection.call(PATH, b"question", 1)

        assert await client.reply() == (1, Reply(0, "", prefixed(b"hello")))


async def test_no_more_is_sent_than_the_windows_let_through_and_then_the_rest() -> None:
    allowed, message = 100, bytes(range(250)) * 4
    seen: list[bytes] = []

    async def behave(peer: Peer) -> None:
        await peer.greet({frames.INITIAL_WINDOW_SIZE: allowed})
        received, stream = b"", 0
        while len(received) < len(message) + 5:
            part = await peer.frame_of(frames.DATA)
            assert len(part.payload) <= allowed
            received += part.payload
            assert len(received) <= len(seen) * allowed + allowed
            seen.append(part.payload)
            await asyncio.sleep(0.002)
            stream = part.stream
            await peer.send(frames.window_update(stream, len(part.payload)))
        assert received == prefixed(message)
        await peer.send(peer.answer(stream, b""))
        await peer.frame_of(frames.GOAWAY)

    async with talking(behave) as client:
        client.connection.call(PATH, message, 1)

        assert (await client.reply())[1].status == 0
    assert len(seen) > len(message) // allowed


async def test_a_full_connection_holds_everybody_up_until_the_peer_makes_room() -> None:
    body = bytes(16_000)

    async def behave(peer: Peer) -> None:
        await peer.greet({frames.INITIAL_WINDOW_SIZE: 1 << 20})
        received = 0
        while received < 5 * (len(body) + 5):
            if received == frames.WINDOW_DEFAULT:
                await peer.send(frames.window_update(0, 1 << 20))
            part = await peer.frame_of(frames.DATA)
            received += len(part.payload)
            if part.flags & frames.END_STREAM:
                await peer.send(peer.answer(part.stream, b""))
        await peer.frame_of(frames.GOAWAY)

    async with talking(behave) as client:
        for number in range(5):
            client.connection.call(PATH, body, number)

        assert [(await client.reply())[1].status for _ in range(5)] == [0] * 5


async def test_pings_are_answered_and_settings_acknowledged() -> None:
    async def behave(peer: Peer) -> None:
        await peer.greet()
        stream, _ = await peer.call()
        await peer.send(frames.frame(frames.PING, 0, 0, b"12345678"))
        answer = await peer.frame_of(frames.PING)
        assert (answer.flags, answer.payload) == (frames.ACK, b"12345678")
        await peer.send(frames.settings({frames.MAX_CONCURRENT_STREAMS: 1}))
        acknowledged = await peer.frame()
        assert (acknowledged.kind, acknowledged.flags) == (frames.SETTINGS, frames.ACK)
        await peer.send(peer.answer(stream, b""))
        await peer.frame_of(frames.GOAWAY)

    async with talking(behave) as client:
        client.connection.call(PATH, b"", 1)
        await client.reply()

        assert client.connection.has_room
        client.connection.call(PATH, b"", 2)
        assert not client.connection.has_room


ENDINGS = {
    "trailers only": lambda peer, stream: frames.frame(
        frames.HEADERS, END, stream, peer.block((*OK_HEAD, (b"grpc-status", b"14")))
    ),
    "another HTTP status": lambda peer, stream: frames.frame(
        frames.HEADERS, END, stream, peer.block(((b":status", b"503"),))
    ),
    "no grpc-status": lambda peer, stream: (
        frames.frame(frames.HEADERS, frames.END_HEADERS, stream, peer.block(OK_HEAD))
        + frames.frame(frames.HEADERS, END, stream, peer.block(((b"a", b"b"),)))
    ),
    "a status 503 before the message": lambda peer, stream: frames.frame(
        frames.HEADERS, frames.END_HEADERS, stream, peer.block(((b":status", b"503"),))
    ),
    "trailers without headers": lambda peer, stream: frames.frame(
        frames.HEADERS, END, stream, peer.block(OK_END)
    ),
    "no trailers": lambda peer, stream: (
        frames.frame(frames.HEADERS, frames.END_HEADERS, stream, peer.block(OK_HEAD))
        + frames.frame(frames.DATA, frames.END_STREAM, stream, prefixed(b""))
    ),
    "a reset": lambda peer, stream: frames.frame(
        frames.RST_STREAM, 0, stream, (7).to_bytes(4)
    ),
    "a frame that breaks the rules": lambda peer, stream: frames.frame(
        frames.CONTINUATION, END, stream, b""
    ),
    "headers that break the rules": lambda peer, stream: frames.frame(
        frames.HEADERS, END, stream, b"\x80"
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", ENDINGS)
async def test_whatever_is_no_answer_is_none(how: str) -> None:
    async def behave(peer: Peer) -> None:
        await peer.greet()
        stream, _ = await peer.call()
        await peer.send(ENDINGS[how](peer, stream))
        await peer.frame_of(frames.GOAWAY)

    async with talking(behave) as client:
        client.connection.call(PATH, b"", 1)
        token, reply = await client.reply()

        assert (token, reply.status) == (1, 14 if how == "trailers only" else None)


async def test_a_good_answer_after_a_bad_one_is_told_apart() -> None:
    async def behave(peer: Peer) -> None:
        await peer.greet()
        while True:
            stream, body = await peer.call()
            bad = ENDINGS["trailers only"](peer, stream)
            await peer.send(bad if body.endswith(b"bad") else peer.answer(stream, b"x"))

    async with talking(behave) as client:
        found = []
        for body in (b"good", b"bad", b"good", b"good", b"bad"):
            client.connection.call(PATH, body, body)
            found.append((await client.reply())[1].status)

        assert found == [0, 14, 0, 0, 14]


async def test_goaway_says_which_calls_were_never_looked_at_and_another_connection_opens() -> None:
    connections = 0

    async def behave(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        await peer.greet()
        first, _ = await peer.call()
        if connections == 1:
            await peer.call()
            last = first.to_bytes(4) + bytes(4)
            await peer.send(frames.frame(frames.GOAWAY, 0, 0, last) + peer.answer(first, b""))
            return
        await peer.send(peer.answer(first, b""))
        await peer.frame_of(frames.GOAWAY)

    async with talking(behave) as client:
        client.connection.call(PATH, b"1", "first")
        client.connection.call(PATH, b"2", "second")
        found = dict([await client.reply(), await client.reply()])

        assert (found["first"].status, found["first"].untouched) == (0, False)
        assert (found["second"].status, found["second"].untouched) == (None, True)
        async with asyncio.timeout(5):
            while not client.session.connections:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        client.connection.call(PATH, b"2", "second")
        assert (await client.reply())[1].status == 0

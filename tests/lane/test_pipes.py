"""Pipes between gateways and a lane: framing, who gets in, and what breaks."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from gateway.lane_pipe import LanePipe, PipeAddress, PipeEnded, PipeRefused, open_pipe
from kit.pipe import Pipe
from processor import pipes, servicer
from processor.lane import Lane, Limits
from processor.pipes import LanePipes
from processor.servicer import LaneServicer
from storage.memory import Database, MemoryLaneStore
from tender.v1 import lane_pb2, payment_pb2
from tests.lane.conftest import running

TOKEN = "the-internal-token"
WAIT_SECONDS_MAX = 30.0
FILL_SECONDS_MAX = 60.0
"""Until the buffers of two sockets are full of outcomes."""

RECEIVE_BYTES_MAX = 1 << 20


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


class Collected(Pipe):
    """Keeps what comes."""

    def __init__(self, receive_bytes_max: int = RECEIVE_BYTES_MAX) -> None:
        super().__init__(receive_bytes_max)
        self.messages: list[bytes] = []
        self.is_lost = False

    def received(self, message: bytes) -> None:
        self.messages.append(message)

    def lost(self, error: Exception | None) -> None:
        self.is_lost = True


async def connected(port: int) -> Collected:
    loop = asyncio.get_running_loop()
    _, pipe = await loop.create_connection(Collected, "127.0.0.1", port)
    return pipe


@asynccontextmanager
async def listening(lane: Lane) -> AsyncIterator[tuple[LanePipes, int]]:
    taken = LanePipes(LaneServicer({"s1": lane}), TOKEN)
    port = await taken.listen("127.0.0.1:0")
    try:
        yield taken, port
    finally:
        await taken.stop(1.0)


@asynccontextmanager
async def lane_with_pipes(limits: Limits | None = None) -> AsyncIterator[tuple[LanePipes, int]]:
    async with (
        running(MemoryLaneStore(Database(), "s1"), limits=limits) as lane,
        listening(lane) as both,
    ):
        yield both


class Gateway:
    """Sends commands on a pipe, and collects what comes of them."""

    def __init__(self) -> None:
        self.outcomes: list[lane_pb2.Outcome] = []
        self.incarnations: list[str] = []
        self._last = 0

    def deliver(self, response: lane_pb2.ExecuteResponse) -> None:
        self.outcomes += response.outcomes
        self.incarnations.append(response.incarnation)

    async def open(self, port: int, token: str = TOKEN, shard: str = "s1") -> LanePipe:
        return await open_pipe(
            PipeAddress("127.0.0.1", port),
            token,
            shard,
            receive_bytes_max=RECEIVE_BYTES_MAX,
            deliver=self.deliver,
        )

    def message(self, count: int) -> lane_pb2.ExecuteRequest:
        message = lane_pb2.ExecuteRequest()
        for _ in range(count):
            self._last += 1
            void = payment_pb2.VoidPaymentRequest(
                request_id=f"r{self._last}", payment_id="pay_eu_0000000000000000000001"
            )
            message.commands.add(
                correlation_id=self._last,
                method=lane_pb2.METHOD_VOID_PAYMENT,
                request=void.SerializeToString(),
                timeout_ms=10_000,
            )
        message.commands[0].principal.tenant_id = "acme"
        return message


def framed(*messages: bytes) -> bytes:
    return b"".join(len(one).to_bytes(4, "big") + one for one in messages)


def test_messages_are_found_however_they_are_cut() -> None:
    sent = [b"", b"a", b"b" * 70_000, b"", b"c" * 3]
    octets = framed(*sent)
    for cut in (1, 2, 3, 5, 4_096, len(octets)):
        pipe = Collected()
        for first in range(0, len(octets), cut):
            pipe.data_received(octets[first : first + cut])

        assert pipe.messages == sent


async def test_a_message_over_the_limit_ends_the_connection_before_it_is_read() -> None:
    async with lane_with_pipes() as (_, port):
        stranger = await connected(port)
        stranger.send(b"x" * (pipes.OPEN_BYTES_MAX + 1))

        await until(lambda: stranger.is_lost)
        assert stranger.messages == []


async def test_commands_are_answered_and_the_incarnation_is_told_first() -> None:
    async with lane_with_pipes() as (_, port):
        gateway = Gateway()
        pipe = await gateway.open(port)
        await until(lambda: gateway.incarnations)
        for count in (1, 7, 300):
            await pipe.write(gateway.message(count))
        await until(lambda: len(gateway.outcomes) == 308)

        assert sorted(one.correlation_id for one in gateway.outcomes) == list(range(1, 309))
        assert {one.refusal.reason for one in gateway.outcomes} == {"PAYMENT_UNKNOWN"}
        assert set(gateway.incarnations) == {gateway.incarnations[0]}
        pipe.abort()


@pytest.mark.parametrize(
    ("token", "shard", "refusal"),
    [
        ("", "s1", "UNAUTHENTICATED"),
        ("the-internal-tokem", "s1", "UNAUTHENTICATED"),
        (TOKEN, "s2", "UNAVAILABLE"),
    ],
)
async def test_who_may_not_is_told_why_and_let_go(token: str, shard: str, refusal: str) -> None:
    async with lane_with_pipes() as (taken, port):
        with pytest.raises(PipeRefused, match=refusal):
            await Gateway().open(port, token, shard)

        await until(lambda: not taken.pipes)


async def test_after_a_refusal_nothing_is_read() -> None:
    async with lane_with_pipes() as (_, port):
        stranger = await connected(port)
        right = lane_pb2.OpenPipeRequest(token=TOKEN, shard="s1").SerializeToString()
        wrong = lane_pb2.OpenPipeRequest(token="guess", shard="s1").SerializeToString()
        stranger.send(wrong)
        stranger.send(right)
        await until(lambda: stranger.is_lost)

        answers = [lane_pb2.OpenPipeResponse.FromString(one) for one in stranger.messages]
        assert [one.refusal for one in answers] == ["UNAUTHENTICATED"]


async def test_who_says_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipes, "OPEN_SECONDS_MAX", 0.05)
    async with lane_with_pipes() as (taken, port):
        stranger = await connected(port)

        await until(lambda: stranger.is_lost)
        assert not taken.pipes


async def test_there_is_a_bound_on_pipes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipes, "PIPES_MAX", 1)
    async with lane_with_pipes() as (_, port):
        first = await Gateway().open(port)
        with pytest.raises(PipeRefused, match="RESOURCE_EXHAUSTED"):
            await Gateway().open(port)
        first.abort()


async def test_what_is_no_message_ends_its_own_pipe_alone() -> None:
    async with lane_with_pipes() as (_, port):
        good, bad = Gateway(), Gateway()
        kept, broken = await good.open(port), await bad.open(port)
        broken.send(b"\xff" * 16)
        with pytest.raises(PipeEnded):
            await asyncio.wait_for(broken.ended(), WAIT_SECONDS_MAX)
        await kept.write(good.message(1))

        await until(lambda: good.outcomes)
        kept.abort()


async def test_an_answer_that_is_none_ends_the_pipe_and_not_the_gateway() -> None:
    gateway = Gateway()
    pipe = LanePipe(RECEIVE_BYTES_MAX, gateway.deliver)
    pipe.received(lane_pb2.OpenPipeResponse().SerializeToString())
    pipe.received(b"\xff" * 16)

    with pytest.raises(PipeEnded, match="DecodeError"):
        await pipe.ended()
    assert gateway.outcomes == []


async def test_commands_of_a_gateway_that_does_not_read_are_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(servicer, "OUTBOX_MAX", 100)
    async with lane_with_pipes() as (taken, port):
        gateway = Gateway()
        pipe = await gateway.open(port)
        pipe.pause()
        (there,) = taken.pipes
        messages = 0
        async with asyncio.timeout(FILL_SECONDS_MAX):
            # Until both ends' buffers are full, for nobody takes anything in.
            while there.is_reading or pipe.is_writable:
                if pipe.is_writable:
                    pipe.send(gateway.message(50).SerializeToString())
                    messages += 1
                await asyncio.sleep(0)
        pipe.resume()

        await until(lambda: len(gateway.outcomes) == 50 * messages)
        pipe.abort()


async def test_a_processor_that_stops_sends_what_is_answered_and_ends() -> None:
    async with lane_with_pipes() as (taken, port):
        gateway = Gateway()
        pipe = await gateway.open(port)
        await pipe.write(gateway.message(5))
        await until(lambda: len(gateway.outcomes) == 5)
        await taken.stop(WAIT_SECONDS_MAX)

        with pytest.raises(PipeEnded):
            await asyncio.wait_for(pipe.ended(), WAIT_SECONDS_MAX)
        assert not taken.pipes

"""Messages that are broken, too large or made to hurt: fixed texts, and the server lives."""

import gzip
from typing import Any, Final

import grpc
import hypothesis
import psutil
import pytest
from hypothesis import strategies as st

from deploy.local.stack import Stack
from tests.badinput import requests
from tests.badinput.wire import CALL_SECONDS_MAX, PATHS, Wire, refusal
from tests.badinput.world import Builder, World

GROUP: Final = b"\xa3\x06"  # Starts a group, which nests without a length.
MALFORMED: Final = {
    "truncated varint": b"\x28\xff",
    "truncated string": b"\x0a\xff",
    "bad UTF-8": b"\x0a\x02\xc3\x28",
    "a lone surrogate": b"\x0a\x03\xed\xa0\x80",
    "wrong end of group": b"\x0c",
    "field number zero": b"\x00\x01",
    "varint of eleven bytes": b"\x28" + b"\xff" * 11,
    "200 open groups": GROUP * 200,
    "3000 open groups": GROUP * 3_000,
}
FUZZ_CODES: Final = {
    *("OK", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION"),
    *("PERMISSION_DENIED", "OUT_OF_RANGE", "ABORTED"),
}
TOO_LARGE: Final = 64 * 1024 + 1
BOMB_BYTES: Final = 64 * 1024 * 1024
GROWTH_BYTES_MAX: Final = 50 * 1024 * 1024


def nested(levels: int) -> bytes:
    """Return messages within messages, in a field that is one or unknown."""
    data = b""
    for _ in range(levels):
        length, size = bytearray(), len(data)
        while size > 127:
            length.append(size & 127 | 128)
            size >>= 7
        data = b"\x22" + bytes([*length, size]) + data
    return data


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("method", PATHS)
async def test_malformed_bytes_get_a_fixed_text(method: str, wire: Wire) -> None:
    for what, data in MALFORMED.items():
        refused = await refusal(wire.send(method, data))

        assert refused.brief == ("INVALID_ARGUMENT", "MESSAGE_MALFORMED"), what
        assert refused.text == "The message is not a valid protocol buffer of the method's request."


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("method", PATHS)
async def test_a_byte_more_than_64_kib_is_too_large(method: str, wire: Wire) -> None:
    for data in (bytes(TOO_LARGE), b"\x0a" * TOO_LARGE):
        refused = await refusal(wire.send(method, data))

        assert refused.brief == ("RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE")
        assert refused.text == "The message is larger than 64 KiB."


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("method", PATHS)
@pytest.mark.parametrize(
    "data",
    [nested(200), b"\x10\x05", b"\x0a\x00" * 30_000, b"\xa0\x06\x01" * 20_000],
    ids=["200 nested messages", "wrong wire type", "30,000 strings", "20,000 unknown fields"],
)
async def test_bytes_without_sense_change_nothing(method: str, data: bytes, wire: Wire) -> None:
    call = wire.send(method, data)

    assert (await call.code()).name in {"INVALID_ARGUMENT", "OK"}


@pytest.mark.usefixtures("unchanged")
async def test_a_message_that_grows_by_decompression_costs_no_memory(
    wire: Wire, real_stack: Stack
) -> None:
    gateway = psutil.Process(real_stack.child("gateway").pid)
    before = gateway.memory_info().rss
    assert len(gzip.compress(bytes(BOMB_BYTES))) < TOO_LARGE * 2
    async with grpc.aio.insecure_channel(real_stack.endpoints.gateway) as channel:
        method: Any = channel.unary_unary(PATHS["AuthorizePayment"])
        metadata = (("authorization", f"Bearer {wire.keys['dev']}"),)
        for _ in range(3):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await method(
                    bytes(BOMB_BYTES),
                    metadata=metadata,
                    timeout=CALL_SECONDS_MAX,
                    compression=grpc.Compression.Gzip,
                )

            # The http2 edge unpacks nothing at all.
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

    assert gateway.memory_info().rss - before < GROWTH_BYTES_MAX


@pytest.fixture(scope="session")
async def prey(wire: Wire) -> World:
    """A tenant whose things may be hurt."""
    return await Builder(wire, "fuzz").build()


def altered(valid: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """Return bytes with some left out and others put in."""
    data = bytearray(valid)
    for place, removed, added in edits:
        at = place % (len(data) + 1)
        data[at : at + removed] = added
    return bytes(data)


EDITS: Final = st.lists(
    st.tuples(st.integers(0, 255), st.integers(0, 2), st.binary(max_size=3)),
    min_size=1,
    max_size=8,
)
# Ten at a time: 30 examples are 300 messages.
MESSAGES: Final = st.lists(st.one_of(st.binary(max_size=100), EDITS), min_size=10, max_size=10)


@pytest.mark.parametrize("method", PATHS)
@hypothesis.settings(max_examples=30)
@hypothesis.given(messages=MESSAGES)
async def test_no_bytes_bring_an_unknown_or_internal_error(
    method: str, messages: list[Any], wire: Wire, prey: World
) -> None:
    valid = requests.valid(method, prey).SerializeToString()

    calls = {
        data: wire.send(method, data, "fuzz")
        for data in (
            message if isinstance(message, bytes) else altered(valid, message)
            for message in messages
        )
    }

    for data, call in calls.items():
        assert (await call.code()).name in FUZZ_CODES, data


async def test_the_servers_outlived_it_all(wire: Wire, world: World, real_stack: Stack) -> None:
    answer = await wire.ask(requests.authorize(world))

    assert answer.payment.id
    assert all(real_stack.alive().values())
    for server in ("gateway", "processor"):
        assert "unexpected_error" not in real_stack.log(server).read_text()
        assert "command_failed" not in real_stack.log(server).read_text()

"""One attempt at receivers that do whatever they can think of."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from services.webhooks import sending
from services.webhooks.resolving import Found, GuardedResolver, Lookup, look_up
from services.webhooks.schedule import Result
from services.webhooks.sending import Sender
from services.webhooks.urls import Rules
from tests.services.webhooks.certificates import NAME, contexts
from tests.services.webhooks.receiver import Answer, Receiver, receiving, status

HEADERS = {"content-type": "application/json", "webhook-id": "evt_1"}
SECONDS_MAX = 1.0
SECONDS_ENOUGH = 20.0
"""For an attempt that is bounded by far less, on a machine that does much else."""
V4 = socket.AF_INET


@contextlib.asynccontextmanager
async def opened(
    *,
    allow_loopback: bool = True,
    lookup: Lookup = look_up,
    tls: ssl.SSLContext | None = None,
    ports: frozenset[int] = frozenset({443}),
) -> AsyncIterator[Sender]:
    resolver = GuardedResolver(allow_loopback=allow_loopback, lookup=lookup)
    sender = Sender(
        Rules(ports, allow_loopback), resolver, connections_max=8, seconds_max=SECONDS_MAX, tls=tls
    )
    try:
        yield sender
    finally:
        await sender.close()
        await resolver.close()


async def sent_to(answer: bytes | Answer) -> tuple[Result, Receiver]:
    """Return what came of an attempt at a receiver that answers so."""
    async with receiving(lambda _: answer) as receiver, opened() as sender:
        began = time.monotonic()
        result = await sender.send(receiver.url, HEADERS, '{"a":1}')
        assert time.monotonic() - began < SECONDS_ENOUGH
    return result, receiver


async def test_an_attempt_is_a_post_of_the_body_as_it_is() -> None:
    result, receiver = await sent_to(status(204))

    [received] = receiver.received
    assert received.line == "POST /hooks?of=tender HTTP/1.1"
    assert received.body == '{"a":1}'
    assert received.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert set(received.headers) == {"host", "content-type", "content-length", *HEADERS} | {
        "user-agent"
    }
    assert (result.status_code, result.cause) == (204, "")


@pytest.mark.parametrize("code", [400, 404, 410, 429, 500, 503])
async def test_another_status_is_a_failure_with_that_status(code: int) -> None:
    result, _ = await sent_to(status(code))

    assert (result.status_code, result.cause) == (code, sending.STATUS)


async def test_retry_after_is_read_in_seconds_and_nothing_else() -> None:
    for text, seconds in (("120", 120.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0), ("-5", 0.0)):
        result, _ = await sent_to(status(503, f"Retry-After: {text}"))
        assert result.retry_after_seconds == seconds


async def test_a_redirect_is_not_followed() -> None:
    async with receiving(lambda _: status(200)) as private:
        result, receiver = await sent_to(status(302, f"Location: {private.url}"))

    assert (result.status_code, result.cause) == (302, sending.REDIRECT)
    assert private.connections == 0
    assert receiver.connections == 1


async def test_a_receiver_that_hangs_has_its_time_and_no_more() -> None:
    async def hang(*_: object) -> None:
        await asyncio.sleep(8 * SECONDS_MAX)

    result, _ = await sent_to(hang)

    assert (result.status_code, result.cause) == (0, sending.TIMEOUT)


async def test_a_receiver_that_trickles_has_no_more_time() -> None:
    async def trickle(_reader: object, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(1_000):
            writer.write(b"X-%d: y\r\n" % (number % 9))
            await asyncio.sleep(0.1)

    result, _ = await sent_to(trickle)

    assert (result.status_code, result.cause) == (0, sending.TIMEOUT)


async def test_headers_without_an_end_are_not_kept() -> None:
    written = 0

    async def flood(_reader: object, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-Flood: " + b"y" * 1_000 + b"\r\n")
            written += 1_000
            await writer.drain()

    result, _ = await sent_to(flood)

    assert (result.status_code, result.cause) == (0, sending.BAD_RESPONSE)
    assert written < 20_000_000


async def test_one_huge_header_is_refused() -> None:
    result, _ = await sent_to(status(200, f"X-Huge: {'y' * 100_000}"))

    assert result.cause == sending.BAD_RESPONSE


async def test_of_a_huge_body_next_to_nothing_is_read() -> None:
    written = 0

    async def flood(_reader: object, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n")
        while True:
            writer.write(b"z" * 65_536)
            written += 65_536
            await writer.drain()

    result, _ = await sent_to(flood)

    assert (result.status_code, result.cause) == (200, "")
    assert written < 20_000_000


async def test_a_body_that_never_comes_holds_nobody_up() -> None:
    async def promise(_reader: object, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        await asyncio.sleep(60)

    result, _ = await sent_to(promise)

    assert (result.status_code, result.cause) == (200, "")


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (b"", sending.CONNECTION),
        (b"HTTP/1.1 200", sending.CONNECTION),
        (b"HTTP/1.1 200 OK\r\nX: y\r\n", sending.CONNECTION),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", sending.BAD_RESPONSE),
    ],
)
async def test_an_answer_that_breaks_off_is_a_failure(said: bytes, cause: str) -> None:
    async def break_off(_reader: object, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await writer.drain()

    result, _ = await sent_to(break_off)

    assert result.cause == cause


async def test_a_body_that_breaks_off_changes_nothing_of_what_the_status_said() -> None:
    async def break_off(_reader: object, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        await writer.drain()

    result, _ = await sent_to(break_off)

    assert (result.status_code, result.cause) == (200, "")


async def test_nobody_there_is_a_failure_of_the_connection() -> None:
    async with receiving(lambda _: status(200)) as receiver:
        url = receiver.url
    async with opened() as sender:
        assert (await sender.send(url, HEADERS, "{}")).cause == sending.CONNECTION


async def test_a_connection_is_used_again_at_once_and_not_later() -> None:
    async with receiving(lambda _: status(200, body=b"thanks")) as receiver, opened() as sender:
        for _ in range(3):
            await sender.send(receiver.url, HEADERS, "{}")
        assert receiver.connections == 1
        await asyncio.sleep(sending.IDLE_SECONDS_MAX + 1.0)
        await sender.send(receiver.url, HEADERS, "{}")
        assert receiver.connections == 2


def at_loopback(_host: str) -> Sequence[Found]:
    return [Found(V4, "127.0.0.1")]


async def test_tls_asks_for_the_name_and_connects_to_the_checked_address(tmp_path: Path) -> None:
    theirs, ours = contexts(tmp_path)
    async with receiving(lambda _: status(200), theirs) as receiver:
        ports = frozenset({receiver.port})
        async with opened(lookup=at_loopback, tls=ours, ports=ports) as sender:
            url = f"https://{NAME}:{receiver.port}/"
            result = await sender.send(url, HEADERS, "{}")

    assert (result.status_code, result.cause) == (200, "")
    assert receiver.names == [NAME]
    assert receiver.received[0].headers["host"] == f"{NAME}:{receiver.port}"


async def test_a_certificate_of_another_name_is_refused(tmp_path: Path) -> None:
    theirs, ours = contexts(tmp_path, "hooks.somebody-else.dev")
    async with receiving(lambda _: status(200), theirs) as receiver:
        ports = frozenset({receiver.port})
        async with opened(lookup=at_loopback, tls=ours, ports=ports) as sender:
            result = await sender.send(f"https://{NAME}:{receiver.port}/", HEADERS, "{}")

    assert result.cause == sending.TLS
    assert receiver.received == []


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    theirs, _ = contexts(tmp_path)
    async with receiving(lambda _: status(200), theirs) as receiver:
        ports = frozenset({receiver.port})
        async with opened(lookup=at_loopback, ports=ports) as sender:
            result = await sender.send(f"https://{NAME}:{receiver.port}/", HEADERS, "{}")

    assert result.cause == sending.TLS


@pytest.mark.parametrize(
    "answers",
    [
        [Found(V4, "127.0.0.1")],
        [Found(V4, "93.184.215.14"), Found(V4, "127.0.0.1")],
        [Found(socket.AF_INET6, "::ffff:127.0.0.1")],
        [Found(socket.AF_INET6, "64:ff9b::7f00:1")],
        [Found(V4, "169.254.169.254")],
    ],
)
async def test_a_name_that_leads_inside_is_not_connected_to(answers: Sequence[Found]) -> None:
    async with receiving(lambda _: status(200)) as receiver:
        ports = frozenset({receiver.port})
        async with opened(allow_loopback=False, lookup=lambda _: answers, ports=ports) as sender:
            result = await sender.send(f"https://{NAME}:{receiver.port}/", HEADERS, "{}")

    assert result.cause == sending.ADDRESS_REFUSED
    assert receiver.connections == 0


async def test_a_name_that_answers_well_and_then_otherwise_is_refused_the_second_time(
    tmp_path: Path,
) -> None:
    theirs, ours = contexts(tmp_path)
    answers = iter([[Found(V4, "127.0.0.1")], [Found(V4, "10.0.0.1")]])
    async with receiving(lambda _: status(200, "Connection: close"), theirs) as receiver:
        ports = frozenset({receiver.port})
        async with opened(lookup=lambda _: next(answers), tls=ours, ports=ports) as sender:
            url = f"https://{NAME}:{receiver.port}/"
            first = await sender.send(url, HEADERS, "{}")
            second = await sender.send(url, HEADERS, "{}")

    assert (first.cause, second.cause) == ("", sending.ADDRESS_REFUSED)
    assert receiver.connections == 1
    # Each attempt asked once: what was checked is what was connected to.
    assert next(answers, None) is None


async def test_a_name_that_leads_nowhere_is_a_failure_of_the_lookup() -> None:
    def nowhere(_host: str) -> Sequence[Found]:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    async with opened(lookup=nowhere) as sender:
        assert (await sender.send(f"https://{NAME}/", HEADERS, "{}")).cause == sending.DNS


async def test_a_name_server_that_hangs_has_no_more_time_than_others() -> None:
    def hang(_host: str) -> Sequence[Found]:
        time.sleep(3)
        return []

    async with opened(lookup=hang) as sender:
        assert (await sender.send(f"https://{NAME}/", HEADERS, "{}")).cause == sending.TIMEOUT


@pytest.mark.parametrize(
    "url", ["http://hooks.merchant.dev/", "https://127.0.0.1/", "https://a:b@hooks.merchant.dev/"]
)
async def test_a_url_that_became_bad_is_not_sent_to(url: str) -> None:
    async with opened(allow_loopback=False) as sender:
        assert (await sender.send(url, HEADERS, "{}")).cause == sending.ADDRESS_REFUSED


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving(lambda _: status(200)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        result, _ = await sent_to(status(200))

    assert result.is_success
    assert proxy.connections == 0

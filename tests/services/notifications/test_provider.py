"""Text and push messages to a provider over HTTP: one that is slow, says it twice, or lies."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from aiohttp import web

from services.notifications import provider as ours
from services.notifications.kinds import Channel
from services.notifications.outcomes import Away, Later, Outcome, Refused, Sent
from services.notifications.provider import ProviderSender, ProviderSettings
from services.notifications.sending import Sendable
from services.notifications.templates import Parts
from tests.services.notifications import raw
from tests.services.notifications.provider import TOKEN, Answer, Post, Provider, says, sleeps

MESSAGE = Sendable(
    "ntf_1",
    "+436601234567",
    "de",
    Parts("Titel", "10 € für Café"),
    datetime(2026, 1, 1, tzinfo=UTC),
)


@pytest.fixture
async def sender(provider: Provider) -> AsyncIterator[ProviderSender]:
    made = ProviderSender(
        Channel.SMS, ProviderSettings(provider.url, provider.token_file, answer_seconds_max=1.0)
    )
    yield made
    await made.close()


async def test_a_message_is_posted_with_its_key(provider: Provider, sender: ProviderSender) -> None:
    assert await sender.send(MESSAGE) == Sent("p-1")

    content = {
        "id": "ntf_1",
        "channel": "sms",
        "to": "+436601234567",
        "title": "Titel",
        "text": "10 € für Café",
        "language": "de",
    }
    assert provider.posts == [Post("ntf_1", f"Bearer {TOKEN}", content)]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (says(202, '{"id": "p-7", "more": [1]}'), Sent("p-7")),
        (says(400, '{"error": "+436601234567 is none"}'), Refused("HTTP_400")),
        (says(410), Refused("HTTP_410")),
        (says(422), Refused("HTTP_422")),
        (says(408), Later("HTTP_408")),
        (says(409), Later("HTTP_409")),
        (says(429, Retry_After="7"), Later("HTTP_429", 7.0)),
        (says(429, Retry_After="99999"), Later("HTTP_429", 3_600.0)),
        (says(429, Retry_After="soon"), Later("HTTP_429")),
        (says(500), Later("HTTP_500")),
        (says(401), Away("HTTP_401")),
        (says(403), Away("HTTP_403")),
        (says(404), Away("HTTP_404")),
        (says(503, Retry_After="3"), Away("HTTP_503", 3.0)),
        (says(302, Location="http://169.254.169.254/"), Away("HTTP_302")),
        # What lies: it says that all is well, and not what it did.
        (says(200), Later("HTTP_BAD_ANSWER")),
        (says(200, "accepted"), Later("HTTP_BAD_ANSWER")),
        (says(200, "[]"), Later("HTTP_BAD_ANSWER")),
        (says(200, '{"id": 7}'), Later("HTTP_BAD_ANSWER")),
        (says(200, '{"id": ""}'), Later("HTTP_BAD_ANSWER")),
        (says(200, '{"id": "a\\nb"}'), Later("HTTP_BAD_ANSWER")),
        (says(200, json.dumps({"id": "x" * 300})), Later("HTTP_BAD_ANSWER")),
        (says(200, "[" * 60_000), Later("HTTP_BAD_ANSWER")),
        (says(200, '{"id": "p-1"}' + " " * 70_000), Later("HTTP_BAD_ANSWER")),
    ],
)
async def test_each_answer_has_a_meaning(
    provider: Provider, sender: ProviderSender, answer: Answer, outcome: Outcome
) -> None:
    provider.answers.append(answer)

    assert await sender.send(MESSAGE) == outcome
    assert len(provider.posts) == 1


async def test_one_that_takes_it_and_says_nothing_may_have_it(
    provider: Provider, sender: ProviderSender
) -> None:
    provider.answers.append(sleeps)

    assert await sender.send(MESSAGE) == Later("TIMEOUT")
    assert await sender.send(MESSAGE) == Sent("p-2")
    assert [post.key for post in provider.posts] == ["ntf_1", "ntf_1"]


async def test_one_that_hangs_up_may_have_it(provider: Provider) -> None:
    async def abort(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    server = web.Application()
    server.router.add_post("/messages", abort)
    runner = web.AppRunner(server)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/messages"
    other = ProviderSender(Channel.SMS, ProviderSettings(url, provider.token_file))
    try:
        assert await other.send(MESSAGE) == Later("CONNECTION_LOST")
    finally:
        await other.close()
        await runner.cleanup()


async def test_one_that_answers_twice_is_heard_once(provider: Provider) -> None:
    """The second answer must not be taken for that to the next message."""
    answer = b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"id": "p-1"}'
    refusal = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"

    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            writer.write(answer + refusal)

    async with raw.listening(twice) as port:
        sender = ProviderSender(
            Channel.SMS, ProviderSettings(f"http://127.0.0.1:{port}/", provider.token_file)
        )
        assert [await sender.send(MESSAGE) for _ in range(3)] == [Sent("p-1")] * 3
        await sender.close()


async def test_one_that_is_not_there_is_away(provider: Provider) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        return

    async with raw.listening(hang_up) as port:
        pass
    sender = ProviderSender(
        Channel.PUSH, ProviderSettings(f"http://127.0.0.1:{port}/", provider.token_file)
    )

    outcome = await sender.send(MESSAGE)

    await sender.close()
    assert outcome == Away("CONNECTION_FAILED")


async def test_a_token_that_changes_is_read_anew_and_one_that_is_gone_is_no_messages_fault(
    provider: Provider, sender: ProviderSender
) -> None:
    await sender.send(MESSAGE)
    provider.token_file.write_text("another")
    await sender.send(MESSAGE)
    provider.token_file.unlink()

    assert await sender.send(MESSAGE) == Away("TOKEN_MISSING")
    assert [post.authorization for post in provider.posts] == [f"Bearer {TOKEN}", "Bearer another"]


async def test_a_token_with_a_line_end_in_it_makes_no_header(
    provider: Provider, sender: ProviderSender
) -> None:
    provider.token_file.write_text("one\r\nX-Other: two")

    assert await sender.send(MESSAGE) == Away("TOKEN_INVALID")
    assert provider.posts == []


def test_the_same_message_is_the_same_post_each_time() -> None:
    assert ours.body(Channel.SMS, MESSAGE) == ours.body(Channel.SMS, dataclasses.replace(MESSAGE))

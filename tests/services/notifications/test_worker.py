"""Sending what is due: to servers that refuse, hang, drop and come back, by one worker or two."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kit import metrics
from services.database import Pool, close_pool, open_pool
from services.notifications import contact_store, message_store
from services.notifications.contacts import Contact
from services.notifications.kinds import Channel
from services.notifications.mail import MailSender
from services.notifications.outcomes import Decision, Outcome, Sent
from services.notifications.provider import ProviderSender, ProviderSettings
from services.notifications.sending import Sendable, Sender
from services.notifications.worker import Limits, Worker
from tests.consumers.conftest import eventually
from tests.services.notifications import makers
from tests.services.notifications.conftest import Desk, Office, known
from tests.services.notifications.mailbox import Mailbox
from tests.services.notifications.provider import Provider, says, sleeps
from tests.services.notifications.test_mail import settings

QUICK = Limits(poll_seconds=0.02, retry_scale=0.001, lease_seconds=30.0)


@contextlib.asynccontextmanager
async def working(
    pool: Pool,
    sender: Sender,
    channel: Channel = Channel.EMAIL,
    limits: Limits = QUICK,
    **given: Any,
) -> AsyncIterator[None]:
    """Have a worker send until the end of the block."""
    task = asyncio.create_task(Worker(channel, sender, pool, limits=limits, **given).run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def mail_sender(mailbox: Mailbox) -> MailSender:
    return MailSender(settings(mailbox.port))


def in_state(office: Office, *states: str) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return await office.states() == list(states)

    return holds


def ended(office: Office) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return "pending" not in await office.states()

    return holds


async def test_what_is_due_is_sent_and_the_log_says_where_to(
    office: Office, desk: Desk, pool: Pool, anna: Contact, mailbox: Mailbox, mail_sender: MailSender
) -> None:
    await desk.paid(makers.event(1), makers.event(2))

    async with working(pool, mail_sender):
        await eventually(in_state(office, "sent", "sent"), "e-mails")

    rows = await office.messages()
    assert {row["masked_address"] for row in rows} == {"a***@example.com"}
    assert all(row["sent_at"] is not None and row["tries"] == 1 for row in rows)
    assert sorted(mailbox.ids) == sorted(
        f"<{row['notification_id']}@shop.example.com>" for row in rows
    )
    # The address is where it belongs, and nowhere else.
    assert makers.MAIL not in str(rows)


async def test_a_greylisted_message_is_sent_again_under_the_same_id(
    office: Office, desk: Desk, pool: Pool, anna: Contact, mailbox: Mailbox, mail_sender: MailSender
) -> None:
    answers = ["450 4.2.0 come again", "451 4.2.0 and again"]
    mailbox.on_recipient = lambda address: answers.pop(0) if answers else None
    await desk.paid(makers.event(1))

    async with working(pool, mail_sender):
        await eventually(in_state(office, "sent"), "an e-mail")

    (row,) = await office.messages()
    assert row["tries"] == 3
    assert len(mailbox.messages) == 1


async def test_a_message_that_is_refused_for_good_failed_and_is_not_tried_again(
    office: Office, desk: Desk, pool: Pool, anna: Contact, mailbox: Mailbox, mail_sender: MailSender
) -> None:
    asked: list[str] = []

    def no(address: str) -> str:
        asked.append(address)
        return f"550 5.1.1 no {address} here"

    mailbox.on_recipient = no
    await desk.paid(makers.event(1))

    async with working(pool, mail_sender):
        await eventually(in_state(office, "failed"), "failure")
        await asyncio.sleep(0.2)

    (row,) = await office.messages()
    assert (row["problem"], row["tries"], len(asked)) == ("SMTP_550", 1, 1)
    assert makers.MAIL not in str(row)


async def test_a_message_that_was_dropped_half_way_is_sent_again(
    office: Office, desk: Desk, pool: Pool, anna: Contact, mailbox: Mailbox, mail_sender: MailSender
) -> None:
    drops = [1, 1]

    def drop(server: Any) -> None:
        if drops:
            drops.pop()
            server.transport.abort()

    mailbox.on_message = drop
    await desk.paid(makers.event(1))

    async with working(pool, mail_sender):
        await eventually(in_state(office, "sent"), "an e-mail")

    # What it had when it hung up it may have kept: each time under the same id.
    assert len(set(mailbox.ids)) == 1
    assert (await office.messages())[0]["tries"] == 3


async def test_while_the_server_is_away_nothing_counts_as_a_try(
    office: Office, desk: Desk, pool: Pool, anna: Contact, mailbox: Mailbox, mail_sender: MailSender
) -> None:
    await mailbox.close()
    tried = metrics.NOTIFICATIONS_SEND.labels("email")
    await desk.paid(*(makers.event(number) for number in range(20)))
    before = _count(tried)

    async with working(pool, mail_sender):
        await eventually(is_away, "an open breaker")
        await asyncio.sleep(0.3)
        tries_while_away = _count(tried) - before
        assert {row["tries"] for row in await office.messages()} == {0}
        await mailbox.open(mailbox.port)
        await eventually(in_state(office, *["sent"] * 20), "e-mails")

    assert {row["tries"] for row in await office.messages()} == {1}
    # The few that were under way when it was found out, and a probe now and then.
    assert tries_while_away < 20
    assert len(mailbox.ids) == 20


def _count(histogram: Any) -> int:
    return int(sum(bucket.get() for bucket in histogram._buckets))


async def is_away() -> bool:
    return bool(metrics.NOTIFICATIONS_AWAY.labels("email")._value.get() == 1)


async def test_two_workers_send_each_message_once(
    office: Office, desk: Desk, pool: Pool, anna: Contact, mailbox: Mailbox
) -> None:
    await desk.paid(*(makers.event(number) for number in range(60)))
    others = await open_pool(office.url, "another process", size=8)
    try:
        async with (
            working(pool, MailSender(settings(mailbox.port))),
            working(others, MailSender(settings(mailbox.port))),
        ):
            await eventually(in_state(office, *["sent"] * 60), "e-mails")
    finally:
        await close_pool(others)

    assert len(mailbox.ids) == len(set(mailbox.ids)) == 60


async def test_who_sends_too_slowly_records_nothing(
    office: Office, desk: Desk, pool: Pool, anna: Contact
) -> None:
    await desk.paid(makers.event(1))
    now = datetime.now(UTC)
    lasts = timedelta(seconds=30)
    async with pool.acquire() as connection:
        (slow,) = await message_store.lease(connection, Channel.EMAIL, now, 5, lasts)
        assert await message_store.lease(connection, Channel.EMAIL, now, 5, lasts) == []
        later = now + timedelta(seconds=31)
        (quick,) = await message_store.lease(connection, Channel.EMAIL, later, 5, lasts)
        failed = Decision("failed", True, "SMTP_550")

        assert not await message_store.record(connection, slow, failed, "", now)
        assert await message_store.record(connection, quick, Decision("sent", True), "", now)
        assert not await message_store.record(connection, quick, failed, "", now)

    assert await office.states() == ["sent"]


async def test_who_opted_out_after_it_was_written_gets_nothing(
    office: Office, desk: Desk, pool: Pool, anna: Contact, mailbox: Mailbox, mail_sender: MailSender
) -> None:
    await desk.paid(makers.event(1))
    await known(pool, makers.contact(preferences={"/email": False}))

    async with working(pool, mail_sender):
        await eventually(ended(office), "end")

    (row,) = await office.messages()
    assert (row["state"], row["problem"]) == ("cancelled", "OPTED_OUT")
    assert mailbox.messages == []


async def test_who_was_erased_gets_nothing_and_nothing_is_left_of_the_text(
    office: Office, desk: Desk, pool: Pool, anna: Contact, mailbox: Mailbox, mail_sender: MailSender
) -> None:
    await desk.paid(makers.event(1, description="secret"))
    async with working(pool, mail_sender):
        await eventually(in_state(office, "sent"), "an e-mail")
    await desk.paid(makers.event(2, description="secret"))
    async with pool.acquire() as connection:
        await contact_store.erase(connection, makers.TENANT, makers.USER)
    async with working(pool, mail_sender):
        await asyncio.sleep(0.2)

    rows = await office.messages()
    assert [(row["state"], row["problem"]) for row in rows] == [
        ("sent", ""),
        ("cancelled", "ERASED"),
    ]
    assert "secret" not in str(rows)
    assert not any(row["masked_address"] for row in rows)
    assert len(mailbox.messages) == 1


async def test_a_message_that_comes_due_in_quiet_hours_waits_for_the_morning(
    office: Office, desk: Desk, pool: Pool, anna: Contact, mailbox: Mailbox, mail_sender: MailSender
) -> None:
    await desk.paid(makers.event(1))
    now = datetime.now(UTC)
    begin, end = (now - timedelta(hours=1)).time(), (now + timedelta(hours=1)).time()
    hours: dict[str, Any] = {
        "quiet_from": begin.replace(second=0, microsecond=0),
        "quiet_until": end.replace(second=0, microsecond=0),
    }
    await known(pool, makers.contact(**hours))

    async def is_put_off() -> bool:
        (row,) = await office.messages()
        return bool(row["next_try_at"].time() == hours["quiet_until"])

    async with working(pool, mail_sender):
        await eventually(is_put_off, "patience")

    assert (await office.messages())[0]["tries"] == 0
    assert mailbox.messages == []


async def test_a_message_that_is_too_old_failed_without_a_try(
    office: Office, desk: Desk, pool: Pool, anna: Contact, mailbox: Mailbox, mail_sender: MailSender
) -> None:
    await desk.paid(makers.event(1))

    def in_four_days() -> datetime:
        return datetime.now(UTC) + timedelta(days=4)

    async with working(pool, mail_sender, clock=in_four_days):
        await eventually(in_state(office, "failed"), "failure")

    assert (await office.messages())[0]["problem"] == "TOO_OLD"
    assert mailbox.messages == []


@pytest.fixture
async def texted(desk: Desk, pool: Pool, anna: Contact) -> Contact:
    """Somebody who is reached by text message alone."""
    return await known(pool, makers.contact(email_address="", phone_number="+436601234567"))


def sms(provider: Provider) -> ProviderSender:
    return ProviderSender(
        Channel.SMS, ProviderSettings(provider.url, provider.token_file, answer_seconds_max=0.5)
    )


async def test_a_provider_that_is_slow_and_lies_gets_one_message_under_one_key(
    office: Office, desk: Desk, pool: Pool, texted: Contact, provider: Provider
) -> None:
    provider.answers += [sleeps, says(200, "fine"), says(500), says(429, Retry_After="1")]
    await desk.paid(makers.event(1))

    async with working(pool, sms(provider), Channel.SMS):
        await eventually(in_state(office, "sent"), "a text message")

    (row,) = await office.messages()
    assert {post.key for post in provider.posts} == {row["notification_id"]}
    assert (row["tries"], row["provider_reference"]) == (5, "p-5")
    assert row["masked_address"] == "+43***67"


async def test_a_provider_that_shuts_its_door_costs_no_tries(
    office: Office, desk: Desk, pool: Pool, texted: Contact, provider: Provider
) -> None:
    provider.answers += [says(401), says(503), says(401)]
    await desk.paid(makers.event(1))

    async with working(pool, sms(provider), Channel.SMS):
        await eventually(in_state(office, "sent"), "a text message")

    assert (await office.messages())[0]["tries"] == 1


async def test_what_a_provider_refuses_for_good_failed(
    office: Office, desk: Desk, pool: Pool, texted: Contact, provider: Provider
) -> None:
    provider.answers += [says(422, "+436601234567 is a landline")]
    await desk.paid(makers.event(1))

    async with working(pool, sms(provider), Channel.SMS):
        await eventually(in_state(office, "failed"), "failure")

    assert (await office.messages())[0]["problem"] == "HTTP_422"


class Counting:
    """A sender that takes a while, and knows how many it has at a time."""

    def __init__(self) -> None:
        self.under_way = 0
        self.most = 0
        self.begun = asyncio.Event()

    async def send(self, sendable: Sendable) -> Outcome:
        self.under_way += 1
        self.begun.set()
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0.05)
        self.under_way -= 1
        return Sent()

    async def close(self) -> None:
        """Nothing is open."""


async def test_a_channel_has_as_many_under_way_as_it_may(
    office: Office, desk: Desk, pool: Pool, anna: Contact
) -> None:
    await desk.paid(*(makers.event(number) for number in range(20)))
    counting = Counting()

    limits = Limits(at_a_time=3, poll_seconds=0.02)
    async with working(pool, counting, limits=limits):
        await eventually(in_state(office, *["sent"] * 20), "messages")

    assert counting.most == 3


async def test_what_is_under_way_at_a_stop_is_recorded(
    office: Office, desk: Desk, pool: Pool, anna: Contact
) -> None:
    await desk.paid(makers.event(1))
    counting = Counting()

    async with working(pool, counting):
        await counting.begun.wait()

    assert await office.states() == ["sent"]


async def test_a_sender_with_a_mistake_in_it_stops_no_other_message(
    office: Office, desk: Desk, pool: Pool, anna: Contact, mailbox: Mailbox
) -> None:
    class Stumbling(MailSender):
        stumbled = False

        async def send(self, sendable: Sendable) -> Outcome:
            if not Stumbling.stumbled:
                Stumbling.stumbled = True
                raise LookupError(sendable.address)
            return await super().send(sendable)

    await desk.paid(makers.event(1), makers.event(2))

    async with working(pool, Stumbling(settings(mailbox.port))):
        await eventually(in_state(office, "sent", "sent"), "e-mails")

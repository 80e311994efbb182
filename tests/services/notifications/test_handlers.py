"""What events and requests make: who is told, in which words, and what is refused."""

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from processor.consumers.handlers import Refused
from services.database import Pool
from services.notifications import template_store
from services.notifications.contacts import Contact
from services.notifications.handlers import Payments
from services.notifications.kinds import OF_EVENT, Audience, Channel
from services.notifications.templates import Parts, Template
from services.notifications.unowned import Unowned
from tender.v1 import money_pb2, notification_pb2
from tests.services.notifications import makers
from tests.services.notifications.conftest import Desk, Office, known


async def put_template(
    pool: Pool,
    type_name: str,
    text: str,
    *,
    channel: Channel = Channel.EMAIL,
    language: str = "en",
    tenant: str = makers.TENANT,
) -> int:
    """Store a template as it is, without trying it; return its version."""
    parts = Parts("" if channel is Channel.SMS else "Subject", text)
    async with pool.acquire() as connection:
        stored = await template_store.put(
            connection, tenant, Template(type_name, channel, language, 0, parts)
        )
    return stored.template.version


async def test_a_payer_is_told_of_a_payment(office: Office, desk: Desk, anna: Contact) -> None:
    await desk.told(makers.merchant_event("Corner Coffee"))

    await desk.paid(makers.event(1, minor_units=1_050, description="2 x espresso"))

    (message,) = await office.messages()
    assert (message["user_id"], message["channel"], message["type"]) == (
        "anna",
        "email",
        "payment_captured.payer",
    )
    assert message["subject"] == "You paid €10.50 to Corner Coffee"
    assert "2 x espresso" in message["body"]
    assert (message["language"], message["template_version"]) == ("en", 1)


async def test_everybody_reads_their_own_language_and_way_of_writing_amounts(
    office: Office, desk: Desk, pool: Pool, anna: Contact
) -> None:
    await known(pool, makers.contact(language="de-AT", time_zone="Europe/Vienna"))

    await desk.paid(makers.event(1, minor_units=123_450))

    (message,) = await office.messages()
    assert message["subject"] == "Sie haben €\N{NO-BREAK SPACE}1.234,50 an mer_eu_1 bezahlt"
    assert message["language"] == "de"


async def test_an_event_is_told_once_however_often_it_comes(
    office: Office, desk: Desk, anna: Contact
) -> None:
    event = makers.event(1)

    await desk.paid(event)
    await desk.paid(event)
    # As if the inbox had forgotten it.
    await office.fetch("DELETE FROM inbox")
    await desk.paid(event)

    assert len(await office.messages()) == 1


async def test_who_has_no_contact_is_told_nothing(office: Office, desk: Desk) -> None:
    await desk.told(makers.account_event())

    await desk.paid(makers.event(1))

    assert await office.messages() == []


@pytest.mark.parametrize(
    ("preferences", "channels"),
    [
        ({}, ["email", "sms"]),
        ({"payment_captured.payer/sms": False}, ["email"]),
        ({"/sms": False}, ["email"]),
        ({"/sms": False, "payment_captured.payer/sms": True}, ["email", "sms"]),
        ({"/email": False, "/sms": False}, []),
        ({"payment_refunded.payer/email": False}, ["email", "sms"]),
    ],
)
async def test_who_opted_out_is_told_nothing_there(
    office: Office,
    desk: Desk,
    pool: Pool,
    anna: Contact,
    preferences: dict[str, bool],
    channels: list[str],
) -> None:
    await known(pool, makers.contact(phone_number="+436601234567", preferences=preferences))

    await desk.paid(makers.event(1))

    assert [row["channel"] for row in await office.messages()] == channels


async def test_a_merchant_hears_of_sales_only_if_it_asked_for_that(
    office: Office, desk: Desk, pool: Pool
) -> None:
    await desk.told(makers.account_event())
    shop = await known(pool, makers.contact(makers.MERCHANT))
    await desk.paid(makers.event(1), makers.event(2, type="refund_failed"))
    preferences = {"payment_captured.merchant/email": True}
    await known(pool, makers.contact(makers.MERCHANT, preferences=preferences))

    await desk.paid(makers.event(3))

    rows = await office.messages()
    assert [row["type"] for row in rows] == ["refund_failed.merchant", "payment_captured.merchant"]
    assert {row["user_id"] for row in rows} == {shop.user_id}


@pytest.mark.parametrize("type_name", sorted(OF_EVENT))
async def test_every_type_of_event_is_taken(
    office: Office, desk: Desk, pool: Pool, anna: Contact, type_name: str
) -> None:
    everything = {f"{type_name}.merchant/email": True}
    await known(pool, makers.contact(makers.MERCHANT, preferences=everything))

    await desk.paid(makers.event(1, type=type_name))

    told = {row["type"] for row in await office.messages()}
    assert told == {kind.type for kind in OF_EVENT[type_name].values()}


async def test_in_quiet_hours_only_what_is_urgent_is_sent(
    office: Office, desk: Desk, pool: Pool, anna: Contact
) -> None:
    zone = ZoneInfo("Europe/Vienna")
    night = datetime(2026, 11, 21, 23, 30, tzinfo=zone).astimezone(UTC)
    hours: dict[str, Any] = {"quiet_from": time(22), "quiet_until": time(7), "time_zone": zone.key}
    await known(pool, makers.contact(**hours))
    desk.payments = Payments(clock=lambda: night)

    await desk.paid(makers.event(1, at=night), makers.event(2, type="payment_declined", at=night))

    due = {row["type"]: row["next_try_at"] for row in await office.messages()}
    morning = datetime(2026, 11, 22, 7, tzinfo=zone)
    assert due == {"payment_captured.payer": morning, "payment_declined.payer": night}


async def test_what_is_long_past_is_told_to_nobody(
    office: Office, desk: Desk, anna: Contact
) -> None:
    await desk.paid(makers.event(1, at=datetime.now(UTC) - timedelta(days=4)))

    assert await office.messages() == []


async def test_a_payment_waits_for_its_payer_to_be_known(
    office: Office, desk: Desk, pool: Pool
) -> None:
    await known(pool, makers.contact())
    await known(
        pool, makers.contact(makers.MERCHANT, preferences={"payment_captured.merchant/email": True})
    )
    unowned = Unowned(pool)
    await desk.paid(makers.event(1))
    before = [row["user_id"] for row in await office.messages()]
    assert await unowned.step() == 0

    await desk.told(makers.account_event())
    assert await unowned.step() == 1

    assert before == [makers.MERCHANT]
    assert [row["user_id"] for row in await office.messages()] == [makers.MERCHANT, "anna"]
    assert await unowned.step() == 0


async def test_what_waits_for_its_payer_and_then_for_a_template_goes_on_by_itself(
    office: Office, desk: Desk, pool: Pool
) -> None:
    await known(pool, makers.contact())
    await put_template(pool, "payment_captured.payer", "{{ unknown }}")
    await desk.paid(makers.event(1))
    await desk.told(makers.account_event())
    now = [datetime.now(UTC)]
    unowned = Unowned(pool, clock=lambda: now[0])
    await unowned.step()
    (waiting,) = await office.fetch("SELECT problem FROM unowned_events")
    await put_template(pool, "payment_captured.payer", "mended")

    now[0] += timedelta(minutes=1)
    await unowned.step()

    assert waiting["problem"] == "TEMPLATE_BROKEN"
    assert [row["body"] for row in await office.messages()] == ["mended"]


async def test_a_lower_version_of_an_account_changes_no_owner(office: Office, desk: Desk) -> None:
    await desk.told(makers.account_event(user_id="anna", version=5))
    await desk.told(makers.account_event(user_id="ben", version=4, number=2))

    rows = await office.fetch("SELECT user_id, version FROM account_owners")
    assert [tuple(row.values()) for row in rows] == [("anna", 5)]


async def test_of_one_batch_the_highest_version_counts(office: Office, desk: Desk) -> None:
    await desk.told(
        makers.account_event(user_id="ben", version=4),
        makers.account_event(user_id="anna", version=6, number=2),
        makers.account_event(user_id="carl", version=5, number=3),
    )

    rows = await office.fetch("SELECT user_id, version FROM account_owners")
    assert [tuple(row.values()) for row in rows] == [("anna", 6)]


async def test_a_template_that_is_missing_refuses_the_event_until_it_is_put(
    office: Office, desk: Desk, pool: Pool, anna: Contact
) -> None:
    request = makers.request(texts={"code": "123 456"})
    with pytest.raises(Refused) as refused:
        await desk.asked(request)
    await put_template(pool, "login_code", "Your code is {{ code }}.")

    await desk.asked(request)

    assert refused.value.cause == "TEMPLATE_MISSING"
    assert refused.value.text == "there is no template for login_code, email, en"
    assert [row["body"] for row in await office.messages()] == ["Your code is 123 456."]


async def test_a_template_that_is_broken_refuses_the_event_and_shows_nothing_of_it(
    office: Office, desk: Desk, pool: Pool, anna: Contact
) -> None:
    await put_template(pool, "login_code", "Your code is {{ kode }}.")
    request = makers.request(texts={"code": "123 456"})

    with pytest.raises(Refused) as refused:
        await desk.asked(request)
    assert refused.value.cause == "TEMPLATE_BROKEN"
    assert "'kode' is undefined" in refused.value.text
    assert "123 456" not in refused.value.text
    assert await office.messages() == []
    assert await office.fetch("SELECT * FROM inbox WHERE consumer LIKE '%requests'") == []


async def test_a_tenants_own_template_counts_before_the_built_in_one_of_the_same_language(
    office: Office, desk: Desk, pool: Pool, anna: Contact
) -> None:
    await put_template(pool, "payment_captured.payer", "ours")
    await put_template(pool, "payment_captured.payer", "theirs", tenant="other")
    await desk.paid(makers.event(1))
    await known(pool, makers.contact(language="de"))
    await desk.paid(makers.event(2))

    ours, german = await office.messages()
    assert ours["body"] == "ours"
    assert german["body"].startswith("Sie haben")


async def test_a_request_shows_amounts_in_the_readers_way(
    office: Office, desk: Desk, pool: Pool, anna: Contact
) -> None:
    await put_template(pool, "limit_changed", "Your limit is {{ limit | money }}.")
    request = makers.request(type="limit_changed")
    request.amounts["limit"].CopyFrom(money_pb2.Money(currency_code="JPY", minor_units=5_000))

    await desk.asked(request)

    assert [row["body"] for row in await office.messages()] == ["Your limit is ¥5,000."]


async def test_a_request_for_some_channels_goes_to_no_other(
    office: Office, desk: Desk, pool: Pool, anna: Contact
) -> None:
    await known(pool, makers.contact(phone_number="+436601234567"))
    await put_template(pool, "login_code", "x", channel=Channel.SMS)

    await desk.asked(makers.request(channels=[notification_pb2.NOTIFICATION_CHANNEL_SMS]))

    assert [row["channel"] for row in await office.messages()] == ["sms"]


@pytest.mark.parametrize(
    "change",
    [
        {"user_id": ""},
        {"user_id": "x" * 129},
        {"user_id": "a\nb"},
        {"type": "payment_captured.payer"},
        {"type": "Login"},
        {"texts": {"Code": "x"}},
        {"texts": {"code": "x" * 1_001}},
        {"texts": {"code": "a\0b"}},
        {"texts": {"code": "4111 1111 1111 1111"}},
        {"texts": {f"t{n}": "x" for n in range(51)}},
        {"channels": [99]},
    ],
    ids=str,
)
async def test_what_is_no_request_is_refused_without_repeating_it(
    desk: Desk, anna: Contact, change: dict[str, Any]
) -> None:
    with pytest.raises(Refused) as refused:
        await desk.asked(makers.request(**change))
    assert refused.value.cause == "REQUEST_INVALID"
    assert "4111" not in refused.value.text


async def test_a_request_that_is_over_is_not_sent(
    office: Office, desk: Desk, pool: Pool, anna: Contact
) -> None:
    await put_template(pool, "login_code", "x")

    await desk.asked(makers.request(lasts=timedelta(seconds=-1)))

    assert await office.messages() == []


async def test_an_event_without_its_payment_is_refused(desk: Desk) -> None:
    event = makers.event(1)
    event.ClearField("payment")

    with pytest.raises(Refused) as refused:
        await desk.paid(event)
    assert refused.value.cause == "MALFORMED"


def test_a_payer_and_a_merchant_are_never_told_the_same_words() -> None:
    for kinds in OF_EVENT.values():
        assert len({kind.type for kind in kinds.values()}) == len(kinds)
        assert set(kinds) <= set(Audience)

"""The public calls: what they take, what they refuse, and what a merchant's own key sees."""

from typing import Any

import asyncpg
import pytest

from services.calls import Refused
from services.database import Pool, close_pool, open_pool
from services.notifications.service import NotificationCalls
from tender.v1 import lane_pb2, money_pb2
from tender.v1 import notification_pb2 as pb
from tests.services.notifications import makers
from tests.services.notifications.conftest import Office

SERVICE = lane_pb2.Principal(tenant_id=makers.TENANT)
OTHER_TENANT = lane_pb2.Principal(tenant_id="other")
SHOP = lane_pb2.Principal(tenant_id=makers.TENANT, merchant_id=makers.MERCHANT)
EMAIL, SMS = pb.NOTIFICATION_CHANNEL_EMAIL, pb.NOTIFICATION_CHANNEL_SMS


@pytest.fixture
def calls(pool: Pool) -> NotificationCalls:
    return NotificationCalls(pool)


def full_contact(**changed: Any) -> pb.NotificationContact:
    usual: dict[str, Any] = {
        "user_id": "anna",
        "email_address": "anna@example.com",
        "phone_number": "+436601234567",
        "push_token": "token-1",
        "language": "de-AT",
        "time_zone": "Europe/Vienna",
        "quiet_from": "22:00",
        "quiet_until": "07:00",
        "preferences": [
            pb.NotificationPreference(channel=SMS, enabled=False),
            pb.NotificationPreference(type="login_code", channel=SMS, enabled=True),
        ],
    }
    return pb.NotificationContact(**(usual | changed))


async def put(calls: NotificationCalls, contact: pb.NotificationContact) -> pb.NotificationContact:
    request = pb.PutNotificationContactRequest(contact=contact)
    return (await calls.put_contact(request, SERVICE)).contact


async def get(
    calls: NotificationCalls, user_id: str, principal: lane_pb2.Principal = SERVICE
) -> pb.NotificationContact:
    request = pb.GetNotificationContactRequest(user_id=user_id)
    return (await calls.get_contact(request, principal)).contact


async def test_a_contact_comes_back_as_it_was_put(calls: NotificationCalls) -> None:
    stored = await put(calls, full_contact())

    found = await get(calls, "anna")

    assert found == stored
    for name in ("email_address", "phone_number", "language", "time_zone", "quiet_from"):
        assert getattr(found, name) == getattr(full_contact(), name)
    assert list(found.preferences) == list(full_contact().preferences)
    assert found.HasField("create_time")


async def test_a_contact_is_replaced_as_a_whole(calls: NotificationCalls) -> None:
    first = await put(calls, full_contact())

    await put(calls, pb.NotificationContact(user_id="anna", phone_number="+436601234567"))

    found = await get(calls, "anna")
    assert (found.email_address, found.language, found.time_zone) == ("", "en", "UTC")
    assert not found.preferences
    assert found.create_time == first.create_time


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"user_id": ""}, "contact.user_id"),
        ({"user_id": "x" * 129}, "contact.user_id"),
        ({"user_id": "4111111111111111"}, "contact.user_id"),
        ({"email_address": "anna"}, "contact.email_address"),
        ({"email_address": "a@example.com\r\nBcc: b@example.com"}, "contact.email_address"),
        ({"phone_number": "0660 1234567"}, "contact.phone_number"),
        ({"push_token": "a b"}, "contact.push_token"),
        ({"push_token": "x" * 513}, "contact.push_token"),
        ({"language": "german"}, "contact.language"),
        ({"time_zone": "Nowhere"}, "contact.time_zone"),
        ({"time_zone": "../../etc/passwd"}, "contact.time_zone"),
        ({"quiet_from": "22"}, "contact.quiet_from"),
        ({"quiet_from": "24:00"}, "contact.quiet_from"),
        ({"quiet_from": "T2200"}, "contact.quiet_from"),
        ({"quiet_from": ""}, "contact.quiet_until"),
        ({"quiet_until": "22:00"}, "contact.quiet_until"),
        ({"preferences": [pb.NotificationPreference()]}, "contact.preferences[0].channel"),
        (
            {"preferences": [pb.NotificationPreference(type="No", channel=SMS)]},
            "contact.preferences[0].type",
        ),
        ({"preferences": [pb.NotificationPreference(channel=SMS)] * 2}, "contact.preferences[1]"),
        (
            {"preferences": [pb.NotificationPreference(channel=SMS)] * 101},
            "contact.preferences",
        ),
    ],
    ids=str,
)
async def test_what_is_no_contact_is_refused_by_its_field_without_repeating_it(
    calls: NotificationCalls, change: dict[str, Any], field: str
) -> None:
    with pytest.raises(Refused) as refused:
        await put(calls, full_contact(**change))

    assert refused.value.reason == "FIELD_INVALID"
    assert [problem.field for problem in refused.value.problems] == [field]
    (value,) = change.values()
    if isinstance(value, str) and len(value) > 2:
        assert value not in refused.value.problems[0].description


async def test_everything_that_is_wrong_is_told_at_once(calls: NotificationCalls) -> None:
    with pytest.raises(Refused) as refused:
        await put(calls, full_contact(email_address="x", phone_number="y", language="z"))

    assert len(refused.value.problems) == 3


async def test_a_tenant_sees_its_own_contacts_alone(calls: NotificationCalls) -> None:
    await put(calls, full_contact())

    with pytest.raises(Refused, match="CONTACT_UNKNOWN"):
        await get(calls, "anna", OTHER_TENANT)


async def test_a_merchants_key_sees_and_sets_that_merchants_contact_alone(
    calls: NotificationCalls,
) -> None:
    await put(calls, full_contact())
    own = full_contact(user_id=makers.MERCHANT)
    await calls.put_contact(pb.PutNotificationContactRequest(contact=own), SHOP)

    assert (await get(calls, makers.MERCHANT, SHOP)).email_address == "anna@example.com"
    with pytest.raises(Refused, match="CONTACT_UNKNOWN"):
        await get(calls, "anna", SHOP)
    with pytest.raises(Refused, match="CONTACT_UNKNOWN"):
        await calls.put_contact(pb.PutNotificationContactRequest(contact=full_contact()), SHOP)
    with pytest.raises(Refused, match="CONTACT_UNKNOWN"):
        await calls.delete_contact(pb.DeleteNotificationContactRequest(user_id="anna"), SHOP)


async def test_an_erased_contact_is_unknown_and_erasing_it_again_is_fine(
    calls: NotificationCalls, office: Office
) -> None:
    await put(calls, full_contact())
    request = pb.DeleteNotificationContactRequest(user_id="anna")

    await calls.delete_contact(request, SERVICE)
    await calls.delete_contact(request, SERVICE)

    with pytest.raises(Refused, match="CONTACT_UNKNOWN"):
        await get(calls, "anna")
    assert await office.fetch("SELECT * FROM contacts") == []


def template(**changed: Any) -> pb.PutNotificationTemplateRequest:
    usual: dict[str, Any] = {
        "type": "login_code",
        "channel": SMS,
        "language": "en",
        "text": "Your code is {{ code }}, your limit {{ limit | money }}.",
        "sample_texts": {"code": "1"},
        "sample_amounts": {"limit": money_pb2.Money(currency_code="EUR", minor_units=100)},
    }
    return pb.PutNotificationTemplateRequest(template=pb.NotificationTemplate(**(usual | changed)))


async def test_templates_have_versions_and_the_same_content_is_no_new_one(
    calls: NotificationCalls,
) -> None:
    first = (await calls.put_template(template(), SERVICE)).template
    again = (await calls.put_template(template(), SERVICE)).template
    second = (await calls.put_template(template(text="{{ code }}"), SERVICE)).template

    assert (first.version, again.version, second.version) == (1, 1, 2)
    assert first.sample_amounts["limit"].minor_units == 100


@pytest.mark.parametrize(
    ("changed", "reason", "field"),
    [
        ({"text": "{{ kode }}"}, "TEMPLATE_BROKEN", "template"),
        ({"text": "{{ code"}, "TEMPLATE_BROKEN", "template"),
        ({"text": "{{ code.__class__ }}"}, "TEMPLATE_BROKEN", "template"),
        ({"text": "{% if false %}x{% endif %}"}, "TEMPLATE_BROKEN", "template"),
        ({"text": ""}, "FIELD_INVALID", "template.text"),
        ({"text": "x" * 50_001}, "FIELD_INVALID", "template.text"),
        ({"text": "a\0b"}, "FIELD_INVALID", "template.text"),
        ({"subject": "x"}, "FIELD_INVALID", "template.subject"),
        ({"html": "x"}, "FIELD_INVALID", "template.html"),
        ({"type": "unknown.payer"}, "FIELD_INVALID", "template.type"),
        ({"channel": 0}, "FIELD_INVALID", "template.channel"),
        ({"channel": 9}, "FIELD_INVALID", "template.channel"),
        ({"language": "x"}, "FIELD_INVALID", "template.language"),
        ({"sample_texts": {"No": "x"}}, "FIELD_INVALID", "template.sample_texts"),
        ({"type": "payment_captured.payer"}, "FIELD_INVALID", "template.sample_texts"),
    ],
    ids=str,
)
async def test_what_is_no_template_is_refused_and_not_stored(
    calls: NotificationCalls,
    office: Office,
    changed: dict[str, Any],
    reason: str,
    field: str,
) -> None:
    with pytest.raises(Refused) as refused:
        await calls.put_template(template(**changed), SERVICE)

    assert refused.value.reason == reason
    assert [problem.field for problem in refused.value.problems] == [field]
    assert await office.fetch("SELECT * FROM templates WHERE tenant_id <> ''") == []


async def test_templates_are_listed_in_pages_built_in_ones_too(calls: NotificationCalls) -> None:
    await calls.put_template(template(), SERVICE)
    await calls.put_template(template(text="newer"), SERVICE)
    seen: list[tuple[str, int, str, int, bool]] = []
    token = ""
    while True:
        page = await calls.list_templates(
            pb.ListNotificationTemplatesRequest(page_size=7, page_token=token), SERVICE
        )
        seen += [(t.type, t.channel, t.language, t.version, t.built_in) for t in page.templates]
        token = page.next_page_token
        if not token:
            break

    assert len(seen) == len(set(seen)) == 67
    assert ("login_code", SMS, "en", 2, False) in seen
    assert ("login_code", SMS, "en", 1, False) not in seen
    others = await calls.list_templates(
        pb.ListNotificationTemplatesRequest(type="login_code"), OTHER_TENANT
    )
    assert not others.templates


@pytest.mark.parametrize("token", ["x", "AAAA", "A" * 400, "Ä"])
async def test_a_page_token_of_nobodys_is_refused(calls: NotificationCalls, token: str) -> None:
    with pytest.raises(Refused, match="PAGE_TOKEN_INVALID"):
        await calls.list_templates(pb.ListNotificationTemplatesRequest(page_token=token), SERVICE)
    with pytest.raises(Refused, match="PAGE_TOKEN_INVALID"):
        await calls.list_notifications(pb.ListNotificationsRequest(page_token=token), SERVICE)


async def test_a_preview_shows_what_would_be_sent_with_the_fallback_of_the_language(
    calls: NotificationCalls,
) -> None:
    named = pb.NotificationTemplate(type="payment_captured.payer", channel=EMAIL, language="de-CH")

    shown = await calls.preview_template(
        pb.PreviewNotificationTemplateRequest(template=named), SERVICE
    )

    assert shown.template.language == "de"
    assert shown.subject.startswith("Sie haben 1.234,50")
    assert "Fish &amp; Chips &lt;Harbour&gt;" in shown.html
    assert "Fish & Chips <Harbour>" in shown.text


async def test_a_preview_of_one_that_is_not_there_says_so(calls: NotificationCalls) -> None:
    named = pb.NotificationTemplate(type="login_code", channel=SMS)

    with pytest.raises(Refused, match="TEMPLATE_UNKNOWN"):
        await calls.preview_template(pb.PreviewNotificationTemplateRequest(template=named), SERVICE)


async def test_the_service_may_not_change_versions_of_templates(office: Office) -> None:
    connection = await asyncpg.connect(office.url)
    try:
        for statement in (
            "UPDATE templates SET body = 'x'",
            "DELETE FROM templates",
            "CREATE TABLE more (id text)",
            "DROP TABLE contacts",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()


async def test_a_database_that_is_away_is_told_as_such() -> None:
    pool = await open_pool("postgresql://nobody@127.0.0.1:1/none", "test", size=1)
    calls = NotificationCalls(pool)
    try:
        with pytest.raises(Refused, match="SERVICE_UNAVAILABLE"):
            await get(calls, "anna")
    finally:
        await close_pool(pool)

"""The log of messages: its pages, who sees what of it, sending again, and forgetting."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.calls import Refused
from services.database import Pool
from services.notifications import message_store
from services.notifications.contacts import Contact
from services.notifications.housekeeping import Housekeeping
from services.notifications.kinds import Channel
from services.notifications.outcomes import Decision
from services.notifications.service import NotificationCalls
from tender.v1 import lane_pb2
from tender.v1 import notification_pb2 as pb
from tests.services.notifications import makers
from tests.services.notifications.conftest import Desk, Office
from tests.services.notifications.test_service import (
    OTHER_TENANT,
    SERVICE,
    SHOP,
    full_contact,
    put,
)


@pytest.fixture
def calls(pool: Pool) -> NotificationCalls:
    return NotificationCalls(pool)


async def listed(
    calls: NotificationCalls, principal: lane_pb2.Principal = SERVICE, **filters: Any
) -> list[str]:
    """Return the events of all pages."""
    found: list[str] = []
    token = ""
    while True:
        request = pb.ListNotificationsRequest(page_size=3, page_token=token, **filters)
        page = await calls.list_notifications(request, principal)
        found += [it.event_id for it in page.notifications]
        token = page.next_page_token
        if not token:
            return found


@pytest.fixture
async def eight(desk: Desk, pool: Pool, anna: Contact) -> list[str]:
    """Eight messages to anna, the last of them sent, and one to the shop; their events."""
    events = [makers.event(number) for number in range(8)]
    await desk.paid(*events)
    await desk.paid(makers.event(9, type="refund_failed"))
    now = datetime.now(UTC)
    async with pool.acquire() as connection:
        for one in await message_store.lease(
            connection, Channel.EMAIL, now, 1, timedelta(seconds=9)
        ):
            sent = Decision("sent", True, reference="p-1")
            await message_store.record(connection, one, sent, "a***@example.com", now)
    return [event.id for event in events]


async def test_the_log_is_listed_in_pages_by_user_event_and_state(
    calls: NotificationCalls, eight: list[str]
) -> None:
    newest_first = eight[::-1]

    assert await listed(calls) == newest_first
    assert await listed(calls, user_id="anna") == newest_first
    assert await listed(calls, user_id="ben") == []
    assert await listed(calls, event_id=eight[3]) == [eight[3]]
    sent = await listed(calls, state=pb.Notification.STATE_SENT)
    pending = await listed(calls, state=pb.Notification.STATE_PENDING)
    assert len(sent) == 1
    assert sorted(sent + pending) == sorted(eight)
    assert await listed(calls, OTHER_TENANT) == []


async def test_a_merchants_key_sees_that_merchants_messages_alone(
    calls: NotificationCalls, desk: Desk, anna: Contact
) -> None:
    await put(calls, full_contact(user_id=makers.MERCHANT, preferences=[], phone_number=""))
    await desk.paid(makers.event(1), makers.event(2, type="refund_failed"))

    assert await listed(calls, SHOP) == ["s1.abc.2.0"]
    assert await listed(calls, SHOP, user_id="anna") == []
    mine = await calls.list_notifications(pb.ListNotificationsRequest(), SERVICE)
    hers = next(it for it in mine.notifications if it.user_id == "anna")
    with pytest.raises(Refused, match="NOTIFICATION_UNKNOWN"):
        await calls.resend(
            pb.ResendNotificationRequest(request_id="r", notification_id=hers.id), SHOP
        )


@pytest.mark.parametrize(
    "changed", [{"page_size": -1}, {"page_size": 201}, {"state": 9}, {"user_id": "a\nb"}], ids=str
)
async def test_what_cannot_be_listed_is_refused(
    calls: NotificationCalls, changed: dict[str, Any]
) -> None:
    with pytest.raises(Refused, match="FIELD_INVALID"):
        await calls.list_notifications(pb.ListNotificationsRequest(**changed), SERVICE)


async def test_a_message_is_sent_again_once_for_each_request(
    calls: NotificationCalls, eight: list[str], office: Office
) -> None:
    page = await calls.list_notifications(
        pb.ListNotificationsRequest(state=pb.Notification.STATE_SENT), SERVICE
    )
    (sent,) = page.notifications

    def again(request_id: str) -> Any:
        request = pb.ResendNotificationRequest(request_id=request_id, notification_id=sent.id)
        return calls.resend(request, SERVICE)

    first, same, other = await again("a"), await again("a"), await again("b")

    assert first.notification.id == same.notification.id != other.notification.id
    assert first.notification.resent_from == sent.id
    assert first.notification.state == pb.Notification.STATE_PENDING
    assert len(await office.messages()) == 10


async def test_what_is_still_pending_or_unknown_is_not_sent_again(
    calls: NotificationCalls, eight: list[str]
) -> None:
    page = await calls.list_notifications(
        pb.ListNotificationsRequest(state=pb.Notification.STATE_PENDING), SERVICE
    )
    pending = page.notifications[0].id

    for notification_id, reason in ((pending, "NOTIFICATION_STATE"), ("x", "NOTIFICATION_UNKNOWN")):
        with pytest.raises(Refused, match=reason):
            await calls.resend(
                pb.ResendNotificationRequest(request_id="a", notification_id=notification_id),
                SERVICE,
            )


async def test_texts_are_forgotten_first_and_messages_later_and_what_is_pending_never(
    calls: NotificationCalls, eight: list[str], office: Office, pool: Pool
) -> None:
    def after(days: int) -> Housekeeping:
        return Housekeeping(
            pool, texts_days=30, log_days=400, clock=lambda: datetime.now(UTC) + timedelta(days)
        )

    await after(31).round()
    rows = await office.messages()
    await after(401).round()

    assert [row["state"] for row in rows if not row["body"]] == ["sent"]
    assert await office.states() == ["pending"] * 7

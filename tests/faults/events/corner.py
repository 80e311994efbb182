"""A shop at the corner: whatever is paid there is told by webhook and by e-mail, and comes here.

Both services hear of every payment there is and have to send for few of them, so that it is known
to the last one what has to come.
"""

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg

import tender
from deploy.local.stack import Stack
from deploy.local.supervisor import BEHIND_PAYMENTS
from processor.consumers import loop
from services.notifications import messages
from services.notifications import worker as mails
from services.notifications.kinds import OF_EVENT, Audience, Channel, Kind
from services.webhooks import turns as webhooks
from tender.v1 import event_pb2, notification_pb2
from tests.acceptance.load import Recorder, Shop, open_shop
from tests.faults.events import sends
from tests.faults.events.crashing import Crashing, Quota
from tests.faults.events.sends import Sends
from tests.services.notifications.mailbox import Mailbox
from tests.services.webhooks.receiver import Receiver, receiving, status

CUSTOMERS: Final = 9
WEBHOOKS: Final = "webhooks"
NOTIFICATIONS: Final = "notifications"
LISTENERS: Final = (WEBHOOKS, "notifications-payments")
"""What of these services listens to payments."""
DOMAIN: Final = "shop.example.com"
SENT_SECONDS_MAX: Final = 600.0
"""From when all events are published until all that they ask for is sent, on a busy machine too."""

_QUEUED: Final = "SELECT event_id FROM deliveries WHERE endpoint_id = $1 ORDER BY place"
_WAITING: Final = {
    WEBHOOKS: "SELECT count(*) FROM deliveries WHERE state = 'pending'",
    NOTIFICATIONS: "SELECT count(*) FROM notifications WHERE state = 'pending'",
}
_SENDING: Final = {
    WEBHOOKS: (webhooks.SENT, webhooks.BEFORE_SEND),
    NOTIFICATIONS: (mails.SENT_UNRECORDED, mails.BEFORE_SEND, mails.RECORDED),
}
"""Fail-points of each service beside those of all consumers: where a crash repeats something is
first, so that a short run has it."""


@dataclass(frozen=True)
class Corner:
    """The shop, its customers, and where what is told of them comes."""

    shop: Shop
    users: Mapping[str, str]
    """Who has an account."""
    endpoint_id: str
    receiver: Receiver
    mailbox: Mailbox

    def mails_of(self, events: Sequence[event_pb2.Event]) -> list[str]:
        """Return the ids of the e-mails that customers have to get."""
        kinds = [(event, OF_EVENT[event.type].get(Audience.PAYER)) for event in events]
        return [f"<{self._mail_id(event, kind)}@{DOMAIN}>" for event, kind in kinds if kind]

    def _mail_id(self, event: event_pb2.Event, kind: Kind) -> str:
        user = self.users[event.payment.payment.payer_account_id]
        return messages.message_id(event.tenant_id, event.id, user, kind.type, Channel.EMAIL)


@contextlib.asynccontextmanager
async def open_corner(recorder: Recorder) -> AsyncIterator[Corner]:
    """Open the shop, tell the services who wants to hear of it, and receive what comes."""
    client = recorder.client
    names = [("", tender.new_request_id()) for _ in range(1 + CUSTOMERS)]
    async with receiving(lambda _: status(200)) as receiver, Mailbox() as mailbox:
        shop = await open_shop(recorder, CUSTOMERS, names=iter(names))
        users = [name for _, name in names[1:]]
        for user in users:
            contact = notification_pb2.NotificationContact(
                user_id=user, email_address=f"{user}@example.com"
            )
            await client.put_notification_contact(contact=contact)
        made = await client.create_webhook_endpoint(url=receiver.url, merchant_id=shop.merchant_id)
        yield Corner(
            shop, dict(zip(shop.customers, users, strict=True)), made.endpoint.id, receiver, mailbox
        )


def services(stack: Stack, corner: Corner, dice: random.Random, wanted: int) -> list[Crashing]:
    """Return the services as processes that die so often each, in place of those of the stack."""
    mail = {
        "TENDER_SMTP_HOST": "127.0.0.1",
        "TENDER_SMTP_PORT": str(corner.mailbox.port),
        "TENDER_SMTP_SECURITY": "none",
        "TENDER_MAIL_SENDER": f"payments@{DOMAIN}",
    }
    return [
        Crashing(
            name,
            ("-m", f"tests.services.{name}.server"),
            _points(name, dice),
            dice,
            stack.log(f"dying-{name}"),
            {loop.PARKED},
            Quota(wanted),
            environment=stack.service_environment(name) | mail,
            niceness=BEHIND_PAYMENTS,
        )
        for name in (WEBHOOKS, NOTIFICATIONS)
    ]


def _points(name: str, dice: random.Random) -> list[str]:
    """Return where a service may die: where it sends and where it consumes, in turn."""
    consuming = dice.sample(loop.FAIL_POINTS, len(loop.FAIL_POINTS))
    pairs = itertools.zip_longest(_SENDING[name], consuming)
    return [point for pair in pairs for point in pair if point]


async def until_sent(stack: Stack, corner: Corner, events: Sequence[event_pb2.Event]) -> list[str]:
    """Wait until all has come and nothing waits to be sent (again); return what did not end."""
    mails_wanted = set(corner.mails_of(events))
    webhooks_wanted = {event.id for event in events}
    waiting = ["webhooks", "e-mails"]
    try:
        async with asyncio.timeout(SENT_SECONDS_MAX):
            while waiting:
                await asyncio.sleep(0.5)
                waiting = []
                if webhooks_wanted - set(corner.receiver.event_ids) or await _waits(
                    stack, WEBHOOKS
                ):
                    waiting.append("webhooks")
                if mails_wanted - set(corner.mailbox.ids) or await _waits(stack, NOTIFICATIONS):
                    waiting.append("e-mails")
    except TimeoutError:
        return [f"{what} were not all sent in {SENT_SECONDS_MAX:g} s" for what in waiting]
    return []


async def _waits(stack: Stack, service: str) -> bool:
    connection = await asyncpg.connect(stack.endpoints.services[service].owner_url)
    try:
        return bool(await connection.fetchval(_WAITING[service]))
    finally:
        await connection.close()


async def judge(
    stack: Stack, corner: Corner, events: Sequence[event_pb2.Event], dying: Sequence[Crashing]
) -> list[Sends]:
    """Compare what came with the events of the shop, as the journals have them in order."""
    by_name = {one.name: one for one in dying}
    hooks = sends.compare("webhooks", [one.id for one in events], corner.receiver.event_ids)
    connection = await asyncpg.connect(stack.endpoints.services[WEBHOOKS].owner_url)
    try:
        rows = await connection.fetch(_QUEUED, corner.endpoint_id)
    finally:
        await connection.close()
    hooks.reordered = sends.disorder([row["event_id"] for row in rows], corner.receiver.event_ids)
    hooks.reordered += _out_of_turn(events, corner.receiver.event_ids)
    found = {
        WEBHOOKS: hooks,
        NOTIFICATIONS: sends.compare("e-mails", corner.mails_of(events), corner.mailbox.ids),
    }
    for name, one in found.items():
        one.crashes = by_name[name].count
        one.crashes_after = by_name[name].crashes.get(_SENDING[name][0], 0)
    return list(found.values())


def _out_of_turn(events: Sequence[event_pb2.Event], came: Sequence[str]) -> list[str]:
    """Return the payments of which something was told before what happened earlier."""
    payments = {event.id: event.entity_id for event in events}
    told: dict[str, list[str]] = {}
    for event_id in dict.fromkeys(came):
        told.setdefault(payments.get(event_id, ""), []).append(event_id)
    happened: dict[str, list[str]] = {}
    for event in events:
        happened.setdefault(event.entity_id, []).append(event.id)
    return [
        payment
        for payment, ids in happened.items()
        if told.get(payment, []) != [one for one in ids if one in set(told.get(payment, []))]
    ]

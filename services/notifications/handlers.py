"""What the service listens to: payments, whose accounts are, and what other services ask for."""

from collections.abc import Callable, Sequence, Set
from datetime import UTC, datetime
from typing import Final

from processor.consumers.handlers import Refused
from services.database import Connection
from services.notifications import contact_store, payments, unowned, writing
from services.notifications.contact_store import Told
from services.notifications.kinds import ALL, OF_EVENT, Channel
from services.notifications.messages import Matter, NoTemplate
from services.notifications.requests import matter_of
from tender.v1 import event_pb2, notification_pb2

PAYMENT_TYPES: Final = frozenset(OF_EVENT)
OWNER_TYPES: Final = frozenset(
    {"account_opened", "account_updated", "account_frozen", "account_unfrozen", "account_closed"}
    | {"account_moved", "merchant_created", "merchant_updated"}
)
Clock = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


class Payments:
    """Tells payers and merchants what happened to their payments."""

    name: Final = "notifications-payments"
    topics: Final = ("payments",)

    def __init__(self, available: Set[Channel] = ALL, clock: Clock = _now) -> None:
        """`available` are the channels that somebody delivers."""
        self._available = available
        self._clock = clock

    async def handle(self, messages: Sequence[event_pb2.Event], transaction: Connection) -> None:
        """Write the messages of some events."""
        now = self._clock()
        # What is read of a long past, at a first start for instance, is told to nobody any more.
        told = [it for it in messages if payments.is_told(it) and not payments.is_old(it, now)]
        if not told:
            return
        for event in told:
            if problem := payments.problem(event):
                raise Refused("MALFORMED", problem)
        owners = await contact_store.owners(transaction, payments.payers(told))
        names = await contact_store.merchant_names(transaction, payments.merchants(told))
        await unowned.put(transaction, [it for it in told if payments.needs_owner(it, owners)])
        matters = [matter for it in told for matter in payments.matters(it, owners, names)]
        await _write(transaction, matters, self._available, now)


class Owners:
    """Remembers whose accounts are and how merchants are called."""

    name: Final = "notifications-owners"
    topics: Final = ("accounts", "merchants")

    async def handle(self, messages: Sequence[event_pb2.Event], transaction: Connection) -> None:
        """Note what some events say."""
        accounts = [
            Told(it.entity_id, it.tenant_id, it.account.user_id, it.version)
            for it in messages
            if it.HasField("account") and not payments.is_system(it.entity_id)
        ]
        merchants = [
            Told(it.entity_id, it.tenant_id, it.merchant.display_name, it.version)
            for it in messages
            if it.HasField("merchant")
        ]
        if accounts:
            await contact_store.put_owners(transaction, accounts)
        if merchants:
            await contact_store.put_merchants(transaction, merchants)


class Requests:
    """Writes the messages that other services ask for."""

    name: Final = "notifications-requests"
    topics: Final = ("notifications",)

    def __init__(self, available: Set[Channel] = ALL, clock: Clock = _now) -> None:
        """`available` are the channels that somebody delivers."""
        self._available = available
        self._clock = clock

    async def handle(
        self, messages: Sequence[notification_pb2.NotificationRequest], transaction: Connection
    ) -> None:
        """Write the messages of some requests."""
        matters = [matter_of(it) for it in messages]
        await _write(transaction, matters, self._available, self._clock())


async def _write(
    transaction: Connection, matters: Sequence[Matter], available: Set[Channel], now: datetime
) -> None:
    """Write messages, and refuse the event if a template is not there or not fit for it."""
    try:
        written = await writing.write(transaction, matters, available, now)
    except NoTemplate as problem:
        raise Refused(problem.cause, problem.text) from None
    writing.count(written)

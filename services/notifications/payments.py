"""What events of payments tell, and to whom."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from services.notifications import facts
from services.notifications.kinds import OF_EVENT, Audience
from services.notifications.messages import AGE_MAX, Matter
from tender.v1 import event_pb2

_SYSTEM: Final = "sys_"


def is_told(event: event_pb2.Event) -> bool:
    """Say whether anybody hears of events of that type."""
    return bool(OF_EVENT.get(event.type))


def is_old(event: event_pb2.Event, now: datetime) -> bool:
    """Say whether it is too late to tell anybody."""
    return facts.moment(event.create_time) + AGE_MAX <= now


def is_system(account_id: str) -> bool:
    """Say whether an account is the operator's own: no person is behind it."""
    return account_id.startswith(_SYSTEM)


def problem(event: event_pb2.Event) -> str:
    """Return why nobody can be told of an event; empty if somebody can."""
    payment = event.payment.payment
    if not event.HasField("payment") or not payment.id or not payment.merchant_id:
        return "it is of a payment and has none"
    return "" if event.tenant_id else "it has no tenant"


def payers(events: Sequence[event_pb2.Event]) -> list[str]:
    """Return the accounts that pay."""
    return list(dict.fromkeys(it.payment.payment.payer_account_id for it in events))


def merchants(events: Sequence[event_pb2.Event]) -> list[str]:
    """Return the merchants that are paid."""
    return list(dict.fromkeys(it.payment.payment.merchant_id for it in events))


def needs_owner(event: event_pb2.Event, owners: Mapping[str, str]) -> bool:
    """Say whether an event's payer is to be told of it and not known."""
    payer = event.payment.payment.payer_account_id
    is_told_payer = Audience.PAYER in OF_EVENT[event.type] and not is_system(payer)
    return is_told_payer and payer not in owners


def matters(
    event: event_pb2.Event,
    owners: Mapping[str, str],
    names: Mapping[str, str],
    audiences: Sequence[Audience] = tuple(Audience),
) -> list[Matter]:
    """Return what an event tells those of the audiences who are known.

    A merchant is known by its id, a payer by whose the account is.
    """
    payment = event.payment.payment
    users = {
        Audience.PAYER: owners.get(payment.payer_account_id, ""),
        Audience.MERCHANT: payment.merchant_id,
    }
    values = facts.of_payment(event, names.get(payment.merchant_id) or payment.merchant_id)
    created_at = facts.moment(event.create_time)
    return [
        Matter(event.tenant_id, users[audience], event.id, kind, values, created_at)
        for audience, kind in OF_EVENT[event.type].items()
        if audience in audiences and users[audience]
    ]

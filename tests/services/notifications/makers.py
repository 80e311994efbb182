"""Events, requests and contacts for the tests of notifications."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from services.notifications.contacts import Contact
from tender.v1 import event_pb2, money_pb2, notification_pb2

ROOT = Path(__file__).resolve().parents[3]
TENANT = "dev"
MERCHANT = "mer_eu_1"
PAYER = "acc_eu_1"
USER = "anna"
MAIL = "anna@example.com"


def event_types() -> set[str]:
    """Return the types of events of payments that docs/events.md tells of."""
    _, _, types = (ROOT / "docs/events.md").read_text().partition("## Types")
    return set(re.findall(r"^\| `((?:payment|refund)_[a-z_]+)`", types, re.MULTILINE))


def event(
    number: int,
    *,
    type: str = "payment_captured",
    currency_code: str = "EUR",
    minor_units: int = 1_050,
    payer: str = PAYER,
    merchant: str = MERCHANT,
    description: str = "",
    at: datetime | None = None,
) -> event_pb2.Event:
    """Return an event of a payment."""
    made = event_pb2.Event(
        id=f"s1.abc.{number}.0",
        type=type,
        schema_version=1,
        tenant_id=TENANT,
        shard="s1",
        incarnation="abc",
        seq=number,
        entity_id=f"pay_eu_{number}",
        version=2,
    )
    made.create_time.FromDatetime(at or datetime.now(UTC))
    payment = made.payment.payment
    payment.id = f"pay_eu_{number}"
    payment.payer_account_id = payer
    payment.merchant_id = merchant
    payment.description = description
    whole = money_pb2.Money(currency_code=currency_code, minor_units=minor_units)
    for name in ("amount", "captured", "capturable", "refunded", "fee"):
        getattr(payment, name).CopyFrom(whole)
    payment.create_time.CopyFrom(made.create_time)
    payment.update_time.CopyFrom(made.create_time)
    return made


def account_event(
    account_id: str = PAYER, user_id: str = USER, *, version: int = 1, number: int = 1
) -> event_pb2.Event:
    """Return an event of an account."""
    made = event_pb2.Event(
        id=f"s1.acc.{number}.{version}",
        type="account_opened" if version == 1 else "account_updated",
        schema_version=1,
        tenant_id=TENANT,
        entity_id=account_id,
        version=version,
    )
    made.create_time.GetCurrentTime()
    made.account.id = account_id
    made.account.user_id = user_id
    return made


def merchant_event(name: str, *, version: int = 1) -> event_pb2.Event:
    """Return an event of a merchant."""
    made = event_pb2.Event(
        id=f"s1.mer.1.{version}",
        type="merchant_created" if version == 1 else "merchant_updated",
        schema_version=1,
        tenant_id=TENANT,
        entity_id=MERCHANT,
        version=version,
    )
    made.create_time.GetCurrentTime()
    made.merchant.id = MERCHANT
    made.merchant.display_name = name
    return made


def request(
    number: int = 1,
    *,
    type: str = "login_code",
    user_id: str = USER,
    texts: dict[str, str] | None = None,
    channels: Iterable[Any] = (),
    urgent: bool = False,
    lasts: timedelta | None = None,
) -> notification_pb2.NotificationRequest:
    """Return what another service asks for."""
    made = notification_pb2.NotificationRequest(
        id=f"req-{number}",
        schema_version=1,
        tenant_id=TENANT,
        user_id=user_id,
        type=type,
        texts=texts or {},
        urgent=urgent,
        channels=list(channels),
    )
    made.create_time.GetCurrentTime()
    if lasts is not None:
        made.expire_time.FromDatetime(datetime.now(UTC) + lasts)
    return made


def contact(user_id: str = USER, **given: Any) -> Contact:
    """Return a contact that is reached by e-mail."""
    return Contact(TENANT, user_id, **({"email_address": MAIL} | given))

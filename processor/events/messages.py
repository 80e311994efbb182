"""Makes the events of a journal row, serialized, in the order in which they are published.

Written for speed: a payment has five or six events, and the relay shares the machine with the lane.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from processor import answers, wire
from processor.domain.accounts import Account
from processor.domain.draft import Event
from processor.domain.payments import Refund
from processor.domain.transfers import Transfer
from processor.events import rows
from processor.events.ports import Message, Row
from processor.events.rows import BadRow, Body

SCHEMA_VERSION: Final = 1
"""Of tender.v1.Event; a change that old consumers cannot read makes another one."""

PAYMENTS: Final = "payments"
TRANSFERS: Final = "transfers"
ACCOUNTS: Final = "accounts"
MERCHANTS: Final = "merchants"

# Field numbers of tender.v1.Event.
_PAYMENT, _TRANSFER, _ACCOUNT, _MERCHANT = 20, 21, 22, 23

_UPDATED: Final = "account_updated"
_POSTED: Final = "transfer_posted"
_SUSPENDED: Final = "transfer_suspended"
_UNARRIVED: Final = "payment_reversed_before_arrival"

_SCHEMA_FIELD: Final = wire.integer(3, SCHEMA_VERSION)
_SCHEMA_TEXT: Final = str(SCHEMA_VERSION).encode()


class Told(NamedTuple):
    """What a row says."""

    messages: list[Message]
    releases: list[tuple[str, int]]
    """Legs, by source and number, with which buckets came here: what is said of them from here on
    follows what their source said (R20)."""


class _Event:
    """An event before it has its place in the row; compiled, it costs a tenth of a tuple."""

    __slots__ = ("entity", "entity_id", "field", "key", "tenant_id", "topic", "type", "version")

    def __init__(
        self,
        topic: str,
        key: str,
        type: str,
        tenant_id: str,
        entity_id: str,
        version: int,
        field: int,
        entity: bytes,
    ) -> None:
        self.topic = topic
        self.key = key
        self.type = type
        self.tenant_id = tenant_id
        self.entity_id = entity_id
        self.version = version
        self.field = field
        self.entity = entity


def told_of(row: Row) -> Told:
    """Return the events of a row. Raises BadRow."""
    body = rows.body_of(row)
    shard, incarnation, seq = row.shard.encode(), row.incarnation.encode(), b"%d" % row.seq
    prefix = b"%b.%b.%b." % (shard, incarnation, seq)
    place = (
        wire.timestamp(5, row.created_at)
        + wire.text(6, row.shard)
        + wire.text(7, row.incarnation)
        + wire.integer(8, row.seq)
    )
    # One trace for what one commit did; whoever handles an event goes on with it.
    trace = b"00-%b-" % hashlib.blake2b(prefix, digest_size=16).hexdigest().encode()
    shared = (
        ("schema-version", _SCHEMA_TEXT),
        ("shard", shard),
        ("incarnation", incarnation),
        ("seq", seq),
    )
    schema_header, shard_header, incarnation_header, seq_header = shared
    # What events of one type and tenant have in common, as fields and as a header.
    heads: dict[str, bytes] = {}
    type_headers: dict[str, tuple[str, bytes]] = {}
    made: list[Message] = []
    for index, told in enumerate(_events(body)):
        event_id = prefix + b"%d" % index
        kind = told.type
        head = heads.get(kind + told.tenant_id)
        if head is None:
            head = heads[kind + told.tenant_id] = b"".join(
                (wire.text(2, kind), _SCHEMA_FIELD, wire.text(4, told.tenant_id), place)
            )
            type_headers[kind] = ("event-type", kind.encode())
        value = b"".join(
            (
                wire.field(1, event_id),
                head,
                wire.integer(9, index),
                wire.text(10, told.entity_id),
                wire.integer(11, told.version),
                wire.field(told.field, told.entity) if told.field else b"",
            )
        )
        headers: list[tuple[str, str | bytes | None]] = [
            ("event-id", event_id),
            type_headers[kind],
            schema_header,
            shard_header,
            incarnation_header,
            seq_header,
            ("version", b"%d" % told.version),
            ("traceparent", b"%b%016x-01" % (trace, index + 1)),
        ]
        made.append(Message(told.topic, told.key.encode(), value, headers))
    return Told(made, rows.releases(body))


def _events(body: Body) -> Iterator[_Event]:
    """Yield what is told of a batch: payments, transfers, accounts, merchants."""
    accounts = {account.id: account for account in body.accounts}
    yield from _of_payments(body)
    yield from _of_transfers(body, accounts)
    # What happened to an account besides its balance; it is said with its last state, once.
    types = {event.entity_id: event.type for event in body.events if _is_of(event, "account_")}
    for account in body.accounts:
        yield _Event(
            ACCOUNTS,
            account.id,
            types.get(account.id, _UPDATED),
            account.tenant_id,
            account.id,
            account.version,
            _ACCOUNT,
            answers.account_bytes(account),
        )
    yield from _of_merchants(body)


def _is_of(event: Event, what: str) -> bool:
    return event.type.startswith(what)


def _of_payments(body: Body) -> Iterator[_Event]:
    entities = {payment.id: answers.payment_bytes(payment) for payment in body.payments}
    tenants = {payment.id: payment.tenant_id for payment in body.payments}
    refunds = _refunds(body)
    for event_type, entity_id, version in body.events:
        if event_type == _UNARRIVED:
            # About a payment that never came: there is none to show, and its key is the request's.
            tenant_id = rows.tenant_of_key(body, entity_id)
            yield _Event(PAYMENTS, entity_id, event_type, tenant_id, entity_id, version, 0, b"")
        elif event_type.startswith(("payment_", "refund_")):
            if entity_id not in entities:
                raise BadRow(f"{event_type} of a payment that the row does not have")
            change = wire.field(1, entities[entity_id])
            for refund in refunds.get(entity_id, ()):
                change += wire.field(2, answers.refund_message(refund).SerializeToString())
            yield _Event(
                PAYMENTS,
                entity_id,
                event_type,
                tenants[entity_id],
                entity_id,
                version,
                _PAYMENT,
                change,
            )


def _refunds(body: Body) -> dict[str, list[Refund]]:
    """Return the refunds that changed, by payment, each as the commit left it."""
    latest = {refund.id: refund for refund in body.refunds}
    if body.crossed is not None:
        latest |= {refund.id: refund for refund in body.crossed.settled}
    by_payment: dict[str, list[Refund]] = {}
    for refund in latest.values():
        by_payment.setdefault(refund.payment_id, []).append(refund)
    return by_payment


def _of_transfers(body: Body, accounts: dict[str, Account]) -> Iterator[_Event]:
    homes = {payment.id for payment in body.payments}
    remote = _remote_accounts(body)
    suspended = {event.entity_id for event in body.events if event.type == _SUSPENDED}
    for transfer in body.transfers:
        wallet = _wallet(transfer, accounts)
        key = transfer.payment_id if transfer.payment_id in homes else wallet.id
        change = (
            wire.field(1, answers.transfer_bytes(transfer, remote.get(transfer.id, "")))
            + wire.text(2, transfer.refund_id or "")
            + wire.signed(3, transfer.debit_posted_after)
            + wire.signed(4, transfer.credit_posted_after)
        )
        for event_type in (_POSTED, _SUSPENDED) if transfer.id in suspended else (_POSTED,):
            yield _Event(
                TRANSFERS,
                key or wallet.id,
                event_type,
                wallet.tenant_id,
                transfer.id,
                1,
                _TRANSFER,
                change,
            )


def _wallet(transfer: Transfer, accounts: dict[str, Account]) -> Account:
    """Return the account of a user or merchant that a transfer concerns, the giving one first."""
    try:
        debit = accounts[transfer.debit_account_id]
        return accounts[transfer.credit_account_id] if debit.is_own else debit
    except KeyError:
        raise BadRow(f"{transfer.id} of an account that the row does not have") from None


def _remote_accounts(body: Body) -> dict[str, str]:
    """Return, by transfer, the account on another shard that is its other side."""
    if body.crossed is None:
        return {}
    found = {one.transfer_id: one.remote_account_id for one in body.crossed.received}
    for sent in body.crossed.sent:
        if sent.transfer_id:
            found[sent.transfer_id] = rows.account_of_leg(sent.text)
    return found


def _of_merchants(body: Body) -> Iterator[_Event]:
    types = {event.entity_id: event.type for event in body.events if _is_of(event, "merchant_")}
    for merchant in body.merchants:
        event_type = types.get(merchant.id)
        if event_type is None:
            # A copy of another shard's merchant, which tells of it.
            continue
        yield _Event(
            MERCHANTS,
            merchant.id,
            event_type,
            merchant.tenant_id,
            merchant.id,
            merchant.version,
            _MERCHANT,
            answers.merchant_message(merchant).SerializeToString(),
        )


def topics() -> Sequence[str]:
    """Return the topics that events go to."""
    return (PAYMENTS, TRANSFERS, ACCOUNTS, MERCHANTS)

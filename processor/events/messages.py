"""Makes the events of a journal row, serialized, in the order in which they are published.

Written for speed: a payment has five or six events, and the relay shares the machine with the lane.
"""

import hashlib
from collections.abc import Sequence
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

_SMALL: Final = 1 << 13
"""Places in a row and versions whose texts are made once: most of what there is."""

_DECIMALS: Final = tuple(b"%d" % number for number in range(_SMALL))
_SPANS: Final = tuple(b"%016x-01" % number for number in range(1, _SMALL + 1))

_SCHEMA_FIELD: Final = wire.integer(3, SCHEMA_VERSION)
_SCHEMA_TEXT: Final = str(SCHEMA_VERSION).encode()


_Header = tuple[str, str | bytes | None]


class Told(NamedTuple):
    """What a row says."""

    messages: list[Message]
    releases: list[tuple[str, int]]
    """Legs, by source and number, with which buckets came here: what is said of them from here on
    follows what their source said (R20)."""


class _Row:
    """Puts a row's events together, in the order in which they are added.

    A compiled class with slots: this runs six times for a payment.
    """

    __slots__ = (
        "_head",
        "_place",
        "_prefix",
        "_shared",
        "_tenant",
        "_trace",
        "_type",
        "_type_header",
        "messages",
    )

    def __init__(self, row: Row) -> None:
        shard, incarnation = row.shard.encode(), row.incarnation.encode()
        seq = b"%d" % row.seq
        self.messages: list[Message] = []
        self._prefix = b"%b.%b.%b." % (shard, incarnation, seq)
        self._place = (
            wire.timestamp(5, row.created_at)
            + wire.text(6, row.shard)
            + wire.text(7, row.incarnation)
            + wire.integer(8, row.seq)
        )
        # One trace for what one commit did; whoever handles an event goes on with it.
        digest = hashlib.blake2b(self._prefix, digest_size=16).hexdigest()
        self._trace = b"00-%b-" % digest.encode()
        self._shared: tuple[_Header, _Header, _Header, _Header] = (
            ("schema-version", _SCHEMA_TEXT),
            ("shard", shard),
            ("incarnation", incarnation),
            ("seq", seq),
        )
        # What the events of one type and tenant have in common: most follow one of their kind.
        self._type = self._tenant = ""
        self._head = b""
        self._type_header: _Header = ("event-type", b"")

    def add(
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
        """Say that something happened; without a field there is nothing to show."""
        messages = self.messages
        index = len(messages)
        event_id = self._prefix + _decimal(index)
        if type != self._type or tenant_id != self._tenant:
            self._type, self._tenant = type, tenant_id
            self._type_header = ("event-type", type.encode())
            self._head = wire.text(2, type) + _SCHEMA_FIELD + wire.text(4, tenant_id) + self._place
        value = b"".join(
            (
                wire.field(1, event_id),
                self._head,
                wire.integer(9, index),
                wire.text(10, entity_id),
                wire.integer(11, version),
                wire.field(field, entity) if field else b"",
            )
        )
        schema, shard, incarnation, seq = self._shared
        span = _SPANS[index] if index < _SMALL else b"%016x-01" % (index + 1)
        headers: list[_Header] = [
            ("event-id", event_id),
            self._type_header,
            schema,
            shard,
            incarnation,
            seq,
            ("version", _decimal(version)),
            ("traceparent", self._trace + span),
        ]
        messages.append(Message(topic, key.encode(), value, headers))


def told_of(row: Row) -> Told:
    """Return the events of a row. Raises BadRow."""
    body = rows.body_of(row)
    told = _Row(row)
    accounts = {account.id: account for account in body.accounts}
    _add_payments(told, body)
    _add_transfers(told, body, accounts)
    _add_accounts(told, body)
    _add_merchants(told, body)
    return Told(told.messages, rows.releases(body))


def _decimal(number: int) -> bytes:
    return _DECIMALS[number] if number < _SMALL else b"%d" % number


def _add_accounts(told: _Row, body: Body) -> None:
    # What happened to an account besides its balance; it is said with its last state, once.
    types = {event.entity_id: event.type for event in body.events if _is_of(event, "account_")}
    for account in body.accounts:
        told.add(
            ACCOUNTS,
            account.id,
            types.get(account.id, _UPDATED),
            account.tenant_id,
            account.id,
            account.version,
            _ACCOUNT,
            answers.account_bytes(account),
        )


def _is_of(event: Event, what: str) -> bool:
    return event.type.startswith(what)


def _add_payments(told: _Row, body: Body) -> None:
    entities = {payment.id: answers.payment_bytes(payment) for payment in body.payments}
    tenants = {payment.id: payment.tenant_id for payment in body.payments}
    refunds = _refunds(body)
    for event_type, entity_id, version in body.events:
        if event_type == _UNARRIVED:
            # About a payment that never came: there is none to show, and its key is the request's.
            tenant_id = rows.tenant_of_key(body, entity_id)
            told.add(PAYMENTS, entity_id, event_type, tenant_id, entity_id, version, 0, b"")
        elif event_type.startswith(("payment_", "refund_")):
            if entity_id not in entities:
                raise BadRow(f"{event_type} of a payment that the row does not have")
            change = wire.field(1, entities[entity_id])
            for refund in refunds.get(entity_id, ()):
                change += wire.field(2, answers.refund_message(refund).SerializeToString())
            told.add(
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


def _add_transfers(told: _Row, body: Body, accounts: dict[str, Account]) -> None:
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
            told.add(
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


def _add_merchants(told: _Row, body: Body) -> None:
    types = {event.entity_id: event.type for event in body.events if _is_of(event, "merchant_")}
    for merchant in body.merchants:
        event_type = types.get(merchant.id)
        if event_type is None:
            # A copy of another shard's merchant, which tells of it.
            continue
        told.add(
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

"""Makes the events of a journal row, serialized, in the order in which they are published.

Written for speed: a payment has five or six events, and the relay shares the machine with the lane.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from processor import answers, wire
from processor.domain.accounts import WALLETS, Account
from processor.domain.draft import Event
from processor.domain.payments import Refund
from processor.domain.transfers import Transfer
from processor.events import rows
from processor.events.ports import Message, Row
from processor.events.rows import BadRow, Body
from tender.v1 import merchant_pb2, payment_pb2

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

_DECIMALS: Final = tuple(str(number) for number in range(_SMALL))
_INDEXES: Final = tuple(wire.integer(9, number) for number in range(_SMALL))
_SPANS: Final = tuple(f"{number:016x}-01" for number in range(1, _SMALL + 1))

_SCHEMA_FIELD: Final = wire.integer(3, SCHEMA_VERSION)
_SCHEMA_TEXT: Final = str(SCHEMA_VERSION)


_Header = Any
"""A pair of texts: compiled code takes those it knows apart, and makes each anew for a list."""

_VERSIONS: Final[tuple[_Header, ...]] = tuple(("version", text) for text in _DECIMALS)


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
        "_incarnation",
        "_place",
        "_prefix",
        "_schema",
        "_seq",
        "_shard",
        "_tenant",
        "_trace",
        "_type",
        "_type_header",
        "messages",
    )

    def __init__(self, row: Row) -> None:
        seq = str(row.seq)
        self.messages: list[Message] = []
        self._prefix = f"{row.shard}.{row.incarnation}.{seq}."
        assert self._prefix.isascii(), "names of shards are checked where they are set"
        self._place = (
            wire.timestamp(5, row.created_at)
            + wire.text(6, row.shard)
            + wire.text(7, row.incarnation)
            + wire.integer(8, row.seq)
        )
        # One trace for what one commit did; whoever handles an event goes on with it.
        digest = hashlib.blake2b(self._prefix.encode(), digest_size=16).hexdigest()
        self._trace = f"00-{digest}-"
        self._schema: _Header = ("schema-version", _SCHEMA_TEXT)
        self._shard: _Header = ("shard", row.shard)
        self._incarnation: _Header = ("incarnation", row.incarnation)
        self._seq: _Header = ("seq", seq)
        # What the events of one type and tenant have in common: most follow one of their kind.
        self._type = self._tenant = ""
        self._head = ""
        self._type_header: _Header = ("event-type", "")

    def add(
        self,
        topic: str,
        key: str,
        type: str,
        tenant_id: str,
        entity_id: str,
        version: int,
        field: int,
        entity: str,
    ) -> None:
        """Say that something happened, of an entity as octets; without a field there is none."""
        messages = self.messages
        index = len(messages)
        if type != self._type or tenant_id != self._tenant:
            self._type, self._tenant = type, tenant_id
            self._type_header = ("event-type", type)
            self._head = wire.text(2, type) + _SCHEMA_FIELD + wire.text(4, tenant_id) + self._place
        if index < _SMALL:
            event_id = self._prefix + _DECIMALS[index]
            place, span = _INDEXES[index], _SPANS[index]
        else:
            event_id = self._prefix + str(index)
            place, span = wire.integer(9, index), f"{index + 1:016x}-01"
        octets = (
            f"{wire.head(1, len(event_id))}{event_id}{self._head}{place}{wire.text(10, entity_id)}"
            f"{wire.integer(11, version)}{wire.head(field, len(entity)) if field else ''}{entity}"
        )
        headers: list[_Header] = [
            ("event-id", event_id),
            self._type_header,
            self._schema,
            self._shard,
            self._incarnation,
            self._seq,
            _VERSIONS[version] if version < _SMALL else ("version", str(version)),
            ("traceparent", self._trace + span),
        ]
        messages.append((topic, key, wire.encoded(octets), headers))


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
            answers.account_octets(account),
        )


def _is_of(event: Event, what: str) -> bool:
    return event.type.startswith(what)


def _add_payments(told: _Row, body: Body) -> None:
    entities = {payment.id: answers.payment_octets(payment) for payment in body.payments}
    tenants = {payment.id: payment.tenant_id for payment in body.payments}
    refunds = _refunds(body)
    for event_type, entity_id, version in body.events:
        if event_type == _UNARRIVED:
            # About a payment that never came: there is none to show, and its key is the request's.
            tenant_id = rows.tenant_of_key(body, entity_id)
            told.add(PAYMENTS, entity_id, event_type, tenant_id, entity_id, version, 0, "")
        elif event_type.startswith(("payment_", "refund_")):
            if entity_id not in entities:
                raise BadRow(f"{event_type} of a payment that the row does not have")
            change = wire.field(1, entities[entity_id])
            for refund in refunds.get(entity_id, ()):
                change += wire.field(2, _octets(answers.refund_message(refund)))
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
        shown = answers.transfer_octets(transfer, remote.get(transfer.id, ""))
        change = (
            f"{wire.head(1, len(shown))}{shown}{wire.text(2, transfer.refund_id or '')}"
            f"{wire.signed(3, transfer.debit_posted_after)}"
            f"{wire.signed(4, transfer.credit_posted_after)}"
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
        return debit if debit.kind in WALLETS else accounts[transfer.credit_account_id]
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
            _octets(answers.merchant_message(merchant)),
        )


def _octets(message: payment_pb2.Refund | merchant_pb2.Merchant) -> str:
    return message.SerializeToString().decode("latin-1")


def topics() -> Sequence[str]:
    """Return the topics that events go to."""
    return (PAYMENTS, TRANSFERS, ACCOUNTS, MERCHANTS)

"""Legs: rows equal the journal, numbers have no gap, and clearing accounts are the sums of legs."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

import asyncpg
import msgspec

from processor.domain import ids
from processor.domain.accounts import Account
from processor.domain.copies import CopiedLeg
from processor.domain.legs import MONEY, Kind, Outcome, Received
from processor.domain.transfers import Reason, Transfer
from processor.ports import SentLeg
from storage.verify.accounts import AccountsCheck
from storage.verify.journal import Body, Crossed
from storage.verify.payments import PaymentsCheck
from storage.verify.report import Tally, differences, differs, row
from storage.verify.tables import (
    SELECT_LEGS_ACKNOWLEDGED,
    SELECT_LEGS_MOVED,
    SELECT_LEGS_RECEIVED,
    SELECT_LEGS_SENT,
    Connection,
    Stream,
    chunks,
)

SENT_COLUMNS: Final = ("seq", "transfer_id", "payment_id", "body", "created_at")
RECEIVED_COLUMNS: Final = (
    "seq",
    "transfer_id",
    "payment_id",
    "remote_account_id",
    "outcome",
    "body",
    "created_at",
)
WHY_RECORD: Final = "record in the journal"

Place = tuple[str, int]
"""Destination or source, and number."""
Unit = tuple[str, str, str]
"""The other shard, tenant and currency."""


class Content(msgspec.Struct):
    """What verify reads of a leg; every other field is passed over."""

    kind: str
    tenant_id: str
    account_id: str = ""
    amount: int = 0
    currency: str = ""
    fee: int = 0
    account: Account | None = None

    @property
    def moved(self) -> int:
        """The amount by which the leg itself changes the clearing accounts on its way."""
        return self.amount if self.kind in MONEY else 0


decode: Final = msgspec.json.Decoder(Content).decode


def unit_of(account_id: str) -> Unit:
    """Return what a clearing account stands for."""
    _, _, _, tenant_id, clearing, currency = account_id.split("_")
    return clearing.partition(".")[2], tenant_id, currency


class LegsCheck:
    """Reads both tables beside the journal, in the order of the batches that wrote them."""

    def __init__(
        self, sent: Stream, received: Stream, payments: PaymentsCheck, accounts: AccountsCheck
    ) -> None:
        self.records = Tally("legs equal the journal", "R17")
        self.clearing = Tally("clearing accounts are the sums of legs", "I1")
        self._sent = sent
        self._received = received
        self._payments = payments
        self._accounts = accounts
        self._sent_rows: dict[Place, asyncpg.Record] = {}
        self._received_rows: dict[Place, asyncpg.Record] = {}
        self._last_sent: dict[str, int] = defaultdict(int)
        self._last_received: dict[str, int] = defaultdict(int)
        self._moved: dict[tuple[str, str, int], CopiedLeg] = {}
        self._in_suspense: set[Place] = set()
        self._acknowledged: dict[str, int] = defaultdict(int)
        self._sums: dict[Unit, int] = defaultdict(int)
        # Of this batch: what legs of payments of other shards are to move here, and what moved.
        self._foreign: dict[str, dict[str, int]] = {}
        self._suspended: set[str] = set()

    @classmethod
    async def open(
        cls, connection: Connection, payments: PaymentsCheck, accounts: AccountsCheck
    ) -> "LegsCheck":
        """Start reading the tables."""
        return cls(
            await Stream.open(connection, SELECT_LEGS_SENT),
            await Stream.open(connection, SELECT_LEGS_RECEIVED),
            payments,
            accounts,
        )

    async def batch(self, body: Body, seq: int, now: int) -> None:
        """Take in what a batch sent and received; its payments were taken in before."""
        for copy in body.copied.legs if body.copied else ():
            known = self._moved.get(copy[:3], copy)
            # Only the state of one that is here is written anew.
            self._moved[copy[:3]] = known._replace(state=copy.state)
        crossed = body.crossed
        if crossed is None:
            return
        for record in await self._sent.until(seq):
            self._read_sent(record)
        for record in await self._received.until(seq):
            self._read_received(record)
        for leg in crossed.sent:
            self._compare_sent(leg, seq, now)
        for one in crossed.received:
            self._compare_received(one, seq, now)
        for place in crossed.suspended:
            if place not in self._in_suspense:
                where = row("legs_sent", destination=place[0], number=place[1])
                self.records.breach(differs(where, "state", "", "SUSPENSE", WHY_RECORD))
            self._in_suspense.discard(place)
        for destination, number in crossed.acknowledged:
            self._acknowledged[destination] = max(number, self._acknowledged[destination])
        self._claim(body.transfers, crossed, seq)

    def takes(self, payment_id: str, reason: str, amount: int) -> bool:
        """Say whether a transfer is for a payment of another shard, and take it in if it is."""
        moved = self._foreign.get(payment_id)
        if moved is None:
            return False
        moved[reason] = moved.get(reason, 0) - amount
        return True

    def compare_moved(self, seq: int) -> None:
        """Compare what a batch moved for payments of other shards with what its legs told it."""
        for payment_id, left in self._foreign.items():
            for reason, amount in left.items():
                if amount and not (reason == Reason.FEE and payment_id in self._suspended):
                    self.clearing.breach(
                        f"{row('journal', seq=seq)}: {reason} of {amount} is missing for"
                        f" {row('payments', id=payment_id)} of another shard"
                    )
        self._foreign.clear()
        self._suspended.clear()

    async def finish(self, connection: Connection, balances: Mapping[str, int]) -> None:
        """Report rows without a record, and compare positions and balances."""
        async for chunk in self._sent.rest():
            for record in chunk:
                self._read_sent(record)
        async for chunk in self._received.rest():
            for record in chunk:
                self._read_received(record)
        for destination, number in self._sent_rows:
            self._extra(row("legs_sent", destination=destination, number=number))
        for source, number in self._received_rows:
            self._extra(row("legs_received", source=source, number=number))
        for destination, number in self._in_suspense:
            where = row("legs_sent", destination=destination, number=number)
            self.records.breach(differs(where, "state", "SUSPENSE", "", WHY_RECORD))
        stored = {name: number for name, number in await connection.fetch(SELECT_LEGS_ACKNOWLEDGED)}
        for destination in sorted({*stored, *self._acknowledged}):
            is_, expected = stored.get(destination, 0), self._acknowledged[destination]
            where = row("legs_acknowledged", destination=destination)
            if is_ != expected:
                self.records.breach(
                    differs(where, "number", is_, expected, "newest in the journal")
                )
            if expected > self._last_sent[destination]:
                self.records.breach(
                    f"{where}: number is {expected}, but only {self._last_sent[destination]} were"
                    " sent"
                )
        await self._compare_moved(connection)
        self._compare_balances(balances)

    async def _compare_moved(self, connection: Connection) -> None:
        """Compare the legs that came with payments from other shards."""
        async for chunk in chunks(connection, SELECT_LEGS_MOVED):
            for record in chunk:
                self.records.rows += 1
                stored = CopiedLeg(*record)
                source, destination, number = stored[:3]
                where = row("legs_moved", source=source, destination=destination, number=number)
                known = self._moved.pop(stored[:3], None)
                if known is None:
                    self._extra(where)
                elif known != stored:
                    for breach in differences(
                        where, CopiedLeg._fields, stored, known, "newest in the journal"
                    ):
                        self.records.breach(breach)
        for source, destination, number in self._moved:
            where = row("legs_moved", source=source, destination=destination, number=number)
            self.records.breach(f"{where}: is missing")

    # Rows and records

    def _read_sent(self, record: asyncpg.Record) -> None:
        self.records.rows += 1
        place = (record["destination"], record["number"])
        self._sent_rows[place] = record
        if record["state"]:
            self._in_suspense.add(place)

    def _read_received(self, record: asyncpg.Record) -> None:
        self.records.rows += 1
        self._received_rows[record["source"], record["number"]] = record

    def _compare_sent(self, leg: SentLeg, seq: int, now: int) -> None:
        place = (leg.destination, leg.number)
        where = row("legs_sent", destination=leg.destination, number=leg.number)
        expected = (seq, leg.transfer_id, leg.payment_id, leg.text.encode(), now)
        self._compare(where, self._sent_rows.pop(place, None), SENT_COLUMNS, expected, seq)
        self._follows(where, self._last_sent, place)
        content = self._content(where, leg.text)
        if content is None:
            return
        self._sums[leg.destination, content.tenant_id, content.currency] += content.moved
        if content.kind == Kind.ACCOUNT:
            self._accounts.leave(content.account_id)
        # A capture that was only sent on is no payment's of this shard.
        if content.kind == Kind.CAPTURE and content.fee and leg.payment_id:
            # The fee is charged where the merchant is.
            self._payments.transfer(leg.payment_id, leg.transfer_id, Reason.FEE, content.fee)

    def _compare_received(self, one: Received, seq: int, now: int) -> None:
        place = (one.source, one.number)
        where = row("legs_received", source=one.source, number=one.number)
        expected = (seq, *one[2:6], one.text.encode(), now)
        self._compare(where, self._received_rows.pop(place, None), RECEIVED_COLUMNS, expected, seq)
        self._follows(where, self._last_received, place)
        content = self._content(where, one.text)
        if content is None:
            return
        self._sums[one.source, content.tenant_id, content.currency] -= content.moved
        if content.kind == Kind.ACCOUNT and content.account is not None:
            self._accounts.come(content.account_id, content.account.last_transfer_id)
        if content.kind == Kind.CAPTURE and one.outcome != Outcome.SENT_ON:
            self._expect(one.payment_id, Reason.CAPTURE, content.amount)
            self._expect(one.payment_id, Reason.FEE, content.fee)
            if one.outcome == Outcome.SUSPENSE:
                self._suspended.add(one.payment_id)
        elif content.kind == Kind.REFUND_DEBIT and one.outcome == Outcome.POSTED:
            self._expect(one.payment_id, Reason.REFUND, content.amount)
            self._expect(one.payment_id, Reason.FEE_REFUND, content.fee)

    def _expect(self, payment_id: str, reason: str, amount: int) -> None:
        left = self._foreign.setdefault(payment_id, {})
        left[reason] = left.get(reason, 0) + amount

    def _compare(
        self,
        where: str,
        stored: asyncpg.Record | None,
        columns: tuple[str, ...],
        expected: tuple[object, ...],
        seq: int,
    ) -> None:
        if stored is None:
            self.records.breach(f"{where}: is missing (journal seq={seq})")
            return
        found = tuple(stored[column] for column in columns)
        if found != expected:
            for breach in differences(where, columns, found, expected, WHY_RECORD):
                self.records.breach(breach)

    def _follows(self, where: str, last: dict[str, int], place: Place) -> None:
        shard, number = place
        if number != last[shard] + 1:
            self.records.breach(f"{where}: follows {last[shard]}")
        last[shard] = number

    def _content(self, where: str, text: str) -> Content | None:
        try:
            return decode(text)
        except msgspec.MsgspecError as error:
            self.records.breach(f"{where}: body cannot be read ({error})")
            return None

    def _extra(self, where: str) -> None:
        self.records.breach(f"{where}: is in the table, but not in the journal")

    # Money

    def _claim(self, transfers: list[Transfer], crossed: Crossed, seq: int) -> None:
        """Compare a batch's transfers on clearing accounts with its legs: one each."""
        crossing = {
            one.id: one
            for one in transfers
            if ids.is_clearing(one.debit_account_id) or ids.is_clearing(one.credit_account_id)
        }
        for leg in crossed.sent:
            if leg.transfer_id:
                where = row("legs_sent", destination=leg.destination, number=leg.number)
                transfer = crossing.pop(leg.transfer_id, None)
                self._fit(where, transfer, 1, leg.destination, leg.text)
        for one in crossed.received:
            # What gave a refund back is the transfer of the leg that took it along.
            if one.transfer_id and self._brings_money(one):
                where = row("legs_received", source=one.source, number=one.number)
                transfer = crossing.pop(one.transfer_id, None)
                self._fit(where, transfer, -1, one.source, one.text)
        for transfer_id in crossing:
            where = row("transfers", id=transfer_id)
            self.clearing.breach(f"{where}: is on a clearing account without a leg (seq={seq})")

    def _brings_money(self, one: Received) -> bool:
        content = self._content(
            row("legs_received", source=one.source, number=one.number), one.text
        )
        return content is not None and content.kind in MONEY

    def _fit(self, where: str, transfer: Transfer | None, sign: int, shard: str, text: str) -> None:
        """Check that a leg and its transfer say the same; the sign is 1 for one that is sent."""
        content = self._content(where, text)
        if content is None:
            return
        if transfer is None:
            self.clearing.breach(f"{where}: has no transfer of its batch on a clearing account")
            return
        to_clearing = content.amount * sign > 0
        account_id = transfer.credit_account_id if to_clearing else transfer.debit_account_id
        unit = unit_of(account_id) if ids.is_clearing(account_id) else ()
        has = (unit, transfer.amount)
        should = ((shard, content.tenant_id, content.currency), abs(content.amount))
        if has != should:
            self.clearing.breach(
                f"{where}: its transfer id={transfer.id} moves {has}, expected {should}"
            )

    def _compare_balances(self, balances: Mapping[str, int]) -> None:
        stored: dict[Unit, int] = defaultdict(int)
        for account_id, posted in balances.items():
            self.clearing.rows += 1
            stored[unit_of(account_id)] += posted
        for unit in sorted({*stored, *self._sums}):
            if stored[unit] != self._sums[unit]:
                peer, tenant_id, currency = unit
                self.clearing.breach(
                    f"clearing of tenant_id={tenant_id} currency={currency} with {peer}: posted is"
                    f" {stored[unit]}, expected {self._sums[unit]} (sum of its legs)"
                )

"""Transfers and refunds: rows equal their records in the journal, sides fit, balances chain."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from processor.domain.payments import Refund, RefundState
from processor.domain.transfers import Reason, Transfer
from storage.verify.accounts import AccountsCheck, Book
from storage.verify.journal import Body
from storage.verify.legs import LegsCheck
from storage.verify.payments import PaymentsCheck
from storage.verify.report import Tally, differences, differs, row
from storage.verify.tables import (
    REFUND_COLUMNS,
    SELECT_MARKS,
    TRANSFER_COLUMNS,
    Connection,
    Row,
    Stream,
    chunks,
    select,
)

WHY_RECORD: Final = "record in the journal"


class Records:
    """Rows written once, beside their records: both come in the order of their ids.

    Rows whose record has not come yet wait; when journal and table agree, none does for long.
    """

    def __init__(self, table: str, columns: tuple[str, ...]) -> None:
        self.tally = Tally(f"{table} equal the journal", "R17")
        self._table = table
        self._columns = columns
        self._waiting: dict[str, Row] = {}

    def read(self, stored: Row) -> None:
        """Take in a row."""
        self.tally.rows += 1
        self._waiting[stored[0]] = stored

    def records(self, records: Sequence[Transfer] | Sequence[Refund], seq: int) -> None:
        """Compare a batch's records with the rows."""
        for record in records:
            stored = self._waiting.pop(record.id, None)
            if stored is None:
                where = row(self._table, id=record.id)
                self.tally.breach(f"{where}: is missing (journal seq={seq})")
                continue
            expected: Row = (*record, seq)
            if stored != expected:
                where = row(self._table, id=record.id)
                for breach in differences(where, self._columns, stored, expected, WHY_RECORD):
                    self.tally.breach(breach)

    def extra(self, stored: Row) -> None:
        """Report a row that has no record."""
        where = row(self._table, id=stored[0])
        self.tally.breach(f"{where}: is in the table with seq {stored[-1]}, but not in the journal")

    def finish(self) -> None:
        """Report the rows whose record never came."""
        for stored in self._waiting.values():
            self.extra(stored)


class TransfersCheck:
    """Reads the transfers once: compares, folds into the books, adds up for the payments."""

    def __init__(
        self,
        stream: Stream,
        accounts: AccountsCheck,
        payments: PaymentsCheck,
        legs: LegsCheck,
    ) -> None:
        self.sides = Tally("transfers have two fitting sides", "I1")
        self.chained = Tally("balances after transfers", "I9")
        self.lists = Tally("transfers name the one before on each side", "I9")
        self.records = Records("transfers", TRANSFER_COLUMNS)
        self._stream = stream
        self._accounts = accounts
        self._payments = payments
        self._legs = legs

    @classmethod
    async def open(
        cls,
        connection: Connection,
        accounts: AccountsCheck,
        payments: PaymentsCheck,
        legs: LegsCheck,
    ) -> "TransfersCheck":
        """Start reading the table."""
        stream = await Stream.open(connection, select("transfers", TRANSFER_COLUMNS))
        return cls(stream, accounts, payments, legs)

    async def batch(self, body: Body, seq: int) -> None:
        """Take in a batch's transfers; its accounts and payments were taken in before."""
        if not body.transfers:
            return
        for record in await self._stream.until(max(one.id for one in body.transfers)):
            self._fold(stored := tuple(record))
            self.records.read(stored)
        self.records.records(body.transfers, seq)

    async def finish(self) -> None:
        """Take in the rows beyond the journal's newest transfer."""
        self.records.finish()
        async for chunk in self._stream.rest():
            for record in chunk:
                self._fold(stored := tuple(record))
                self.records.tally.rows += 1
                self.records.extra(stored)

    def _fold(self, stored: Row) -> None:
        (
            transfer_id, debit_id, credit_id, amount, currency, reason, payment_id, _, _,
            debit_after, credit_after, _, debit_previous, credit_previous, _,
        ) = stored  # fmt: skip
        for tally in (self.sides, self.chained, self.lists):
            tally.rows += 1
        debit, credit = self._accounts.books.get(debit_id), self._accounts.books.get(credit_id)
        if debit is not None:
            self._post(debit, transfer_id, "debit_posted_after", -amount, debit_after)
            self._follow(debit, transfer_id, "debit_previous_id", debit_previous)
        if credit is not None:
            self._post(credit, transfer_id, "credit_posted_after", amount, credit_after)
            self._follow(credit, transfer_id, "credit_previous_id", credit_previous)
        self._fit(transfer_id, debit, credit, currency, amount)
        if payment_id is not None and not self._legs.takes(payment_id, reason, amount):
            self._payments.transfer(payment_id, transfer_id, reason, amount)

    def _post(self, book: Book, transfer_id: str, column: str, change: int, after: int) -> None:
        book.posted += change
        expected = book.posted_after + change
        if after != expected:
            where = row("transfers", id=transfer_id)
            self.chained.breach(
                differs(where, column, after, expected, "balance before and amount")
            )
        book.posted_after = after  # So that one false amount is one breach of its account.

    def _follow(self, book: Book, transfer_id: str, column: str, previous_id: str) -> None:
        if previous_id != book.last_transfer_id:
            where = row("transfers", id=transfer_id)
            why = "the account's transfer before"
            self.lists.breach(differs(where, column, previous_id, book.last_transfer_id, why))
        book.last_transfer_id = transfer_id

    def _fit(
        self, transfer_id: str, debit: Book | None, credit: Book | None, currency: str, amount: int
    ) -> None:
        """Check both sides; they are taken from the journal, which the accounts must equal."""
        if (
            debit is not None
            and credit is not None
            and debit is not credit
            and debit.currency == credit.currency == currency
            and debit.tenant_id == credit.tenant_id
            and amount > 0
        ):
            return
        problem = "its accounts are of two tenants"
        if debit is None or credit is None:
            side = "debit_account_id" if debit is None else "credit_account_id"
            problem = f"{side} is not an account"
        elif debit is credit:
            problem = "debit_account_id and credit_account_id are the same"
        elif not debit.currency == credit.currency == currency:
            problem = (
                f"currency is {currency}, its accounts have {debit.currency}, {credit.currency}"
            )
        elif amount <= 0:
            problem = f"amount is {amount}"
        self.sides.breach(f"{row('transfers', id=transfer_id)}: {problem}")


class RefundsCheck:
    """Reads the refunds once: compares, and adds up for the payments."""

    def __init__(self, stream: Stream, payments: PaymentsCheck) -> None:
        self.records = Records("refunds", REFUND_COLUMNS)
        self._stream = stream
        self._payments = payments
        self._rows: dict[str, Row] = {}
        self._pending: dict[str, tuple[Refund, int]] = {}
        self._copied: dict[str, tuple[Refund, int]] = {}
        """Those that came from another shard, as they stand, and the batch that brought each."""

    @classmethod
    async def open(cls, connection: Connection, payments: PaymentsCheck) -> "RefundsCheck":
        """Start reading the table."""
        return cls(await Stream.open(connection, select("refunds", REFUND_COLUMNS)), payments)

    async def batch(self, body: Body, seq: int) -> None:
        """Take in a batch's refunds; its payments were taken in before."""
        if body.refunds:
            pending = {one.id: one for one in body.refunds if one.state == RefundState.PENDING}
            # Copies have the ids of another shard, and may be read long before their batch.
            for record in await self._stream.until(max(one.id for one in body.refunds)):
                self._rows[record[0]] = tuple(record)
            for one in body.refunds:
                stored = self._rows.pop(one.id, None)
                if stored is not None:
                    self._add(stored, crosses=one.id in pending)
                    self.records.read(stored)
            self.records.records([one for one in body.refunds if one.id not in pending], seq)
            self._pending |= {name: (one, seq) for name, one in pending.items()}
        for image in body.copied.refunds if body.copied else ():
            self._came(image, seq)
        for image in body.crossed.settled if body.crossed else ():
            self._settled(image, seq)

    def _came(self, image: Refund, seq: int) -> None:
        """Take in a refund of another shard; one that was pending here may have ended there."""
        known = self._pending.get(image.id)
        if known is not None:
            self._pending[image.id] = (image, known[1])
        else:
            _, first_seq = self._copied.get(image.id, (image, seq))
            self._copied[image.id] = (image, first_seq)

    def _settled(self, image: Refund, seq: int) -> None:
        """Compare a refund with what it became, and its row is still that of its first batch."""
        copied = self._copied.get(image.id)
        known = self._pending.pop(image.id, None)
        if copied is not None:
            self._payments.settled(copied[0], image)
            self._copied[image.id] = (image, copied[1])
        elif known is None:
            where = row("refunds", id=image.id)
            self.records.tally.breach(f"{where}: was not pending (journal seq={seq})")
        else:
            self.records.records([image], known[1])

    async def finish(self) -> None:
        """Take in the rows beyond the journal's newest refund."""
        for refund, seq in self._pending.values():
            self.records.records([refund], seq)
        async for chunk in self._stream.rest():
            for record in chunk:
                self._rows[record[0]] = tuple(record)
        for refund, seq in self._copied.values():
            stored = self._rows.pop(refund.id, None)
            if stored is not None:
                self.records.read(stored)
            self.records.records([refund], seq)
        self.records.finish()
        for stored in self._rows.values():
            self._add(stored, crosses=False)
            self.records.tally.rows += 1
            self.records.extra(stored)

    def _add(self, stored: Row, *, crosses: bool) -> None:
        refund_id, payment_id, state, amount, _, fee_refunded, *_ = stored
        if crosses and fee_refunded and state != RefundState.FAILED:
            # The fee is given back where the merchant is.
            self._payments.transfer(payment_id, refund_id, Reason.FEE_REFUND, fee_refunded)
        self._payments.refund(payment_id, refund_id, state, amount, fee_refunded)


class MarksCheck:
    """Looks whether walks to past balances begin where they may."""

    def __init__(self, came_after: AbstractSet[str]) -> None:
        """`came_after`: transfers of other shards from which an account's list goes on here."""
        self.tally = Tally("marks are transfers of their accounts", "I9")
        self._came_after = came_after

    async def finish(self, connection: Connection) -> None:
        """Compare every mark with its transfer."""
        async for chunk in chunks(connection, SELECT_MARKS):
            for account_id, transfer_id, fits in chunk:
                self.tally.rows += 1
                if not fits and transfer_id not in self._came_after:
                    where = row("account_marks", account_id=account_id, transfer_id=transfer_id)
                    self.tally.breach(f"{where}: is not a transfer of the account")

"""Accounts and merchants: rows equal their newest images, balances their transfers and holds."""

from collections.abc import Mapping
from typing import Final

import msgspec

from processor.domain import accounts
from processor.domain.accounts import Account
from processor.domain.fees import FeeSchedule
from processor.domain.merchants import Merchant, Terms
from storage.verify.journal import Body
from storage.verify.report import Tally, differences, differs, row
from storage.verify.tables import (
    ACCOUNT_COLUMNS,
    MERCHANT_COLUMNS,
    Connection,
    chunks,
    select,
)

WHY_IMAGE: Final = "newest image in the journal"

_decode: Final = msgspec.json.Decoder(Account).decode
_decode_terms: Final = msgspec.json.Decoder(list[tuple[str, str, int, int, str]]).decode


class Book(msgspec.Struct, gc=False):
    """What is kept of an account in memory: its newest image as it was written, and its fold."""

    newest: bytes
    version: int
    tenant_id: str
    currency: str
    posted: int = 0
    posted_after: int = 0
    last_transfer_id: str = ""


class AccountsCheck:
    """Keeps the books while the journal and the transfers go by, and compares at the end."""

    def __init__(self) -> None:
        self.images = Tally("accounts equal the journal", "R17")
        self.posted = Tally("posted balances are folds of transfers", "I9")
        self.held = Tally("held balances are sums of open holds", "I9")
        self.lists = Tally("accounts name their newest transfer and payment", "I9")
        self.floors = Tally("balances and floors", "I2")
        self.totals = Tally("debits equal credits in total", "I1")
        self.books: dict[str, Book] = {}
        self.clearing: dict[str, int] = {}
        """Balances of the accounts through which money goes to other shards and comes from them."""
        self.elsewhere: set[str] = set()
        """Accounts that left with their bucket; copies of their payments may stay or come back."""
        self.came_after: set[str] = set()
        """Transfers of other shards that were the newest of an account when it came from there."""

    def batch(self, body: Body, seq: int) -> None:
        """Take in the images of a batch."""
        for raw in body.accounts:
            try:
                account = _decode(raw)
            except msgspec.MsgspecError as error:
                where = row("journal", seq=seq)
                self.images.breach(f"{where}: an account's image cannot be read ({error})")
                continue
            book = self.books.get(account.id)
            if book is None:
                self.books[account.id] = Book(
                    bytes(raw), account.version, account.tenant_id, account.currency
                )
                continue
            if account.version <= book.version:
                self.images.breach(
                    f"{row('accounts', id=account.id)} in {row('journal', seq=seq)}: version"
                    f" {account.version} follows {book.version}"
                )
            book.newest, book.version = bytes(raw), account.version

    def leave(self, account_id: str) -> None:
        """Take in that an account went to another shard with its bucket."""
        self.elsewhere.add(account_id)

    def come(self, account_id: str, last_transfer_id: str) -> None:
        """Take in that an account came from another shard, where its list of transfers goes on."""
        self.elsewhere.discard(account_id)
        self.came_after.add(last_transfer_id)
        book = self.books.get(account_id)
        if book is not None:
            book.last_transfer_id = last_transfer_id

    async def finish(
        self,
        connection: Connection,
        held: Mapping[str, int],
        last_payments: Mapping[str, str],
    ) -> None:
        """Compare the rows with the books, the open holds and each payer's newest payment."""
        totals: dict[tuple[str, str], int] = {}
        absent = set(self.books)
        async for chunk in chunks(connection, select("accounts", ACCOUNT_COLUMNS)):
            for record in chunk:
                account = Account(*record)
                absent.discard(account.id)
                if account.kind == accounts.Kind.CLEARING:
                    self.clearing[account.id] = account.posted
                if account.id in self.elsewhere:
                    self._balance(account, 0)
                    self._lists(account, account.last_payment_id)
                else:
                    self._balance(account, held.get(account.id, 0))
                    self._lists(account, last_payments.get(account.id, ""))
                self._compare(account)
                unit = (account.tenant_id, account.currency)
                totals[unit] = totals.get(unit, 0) + account.posted
        for account_id in sorted(absent):
            self.images.breach(f"{row('accounts', id=account_id)}: is missing")
        for (tenant_id, currency), total in sorted(totals.items()):
            self.totals.rows += 1
            if total:
                self.totals.breach(
                    f"accounts of tenant_id={tenant_id} currency={currency}: sum of posted is"
                    f" {total}, expected 0"
                )

    def _balance(self, account: Account, held: int) -> None:
        where = row("accounts", id=account.id)
        book = self.books.get(account.id)
        folded = book.posted if book else 0
        for tally in (self.posted, self.held, self.floors):
            tally.rows += 1
        if account.posted != folded:
            self.posted.breach(
                differs(where, "posted", account.posted, folded, "sum of its transfers")
            )
        if account.held != held:
            self.held.breach(
                differs(where, "held", account.held, held, "sum of capturable of its payments")
            )
        for problem in _below(account):
            self.floors.breach(f"{where}: {problem}")

    def _lists(self, account: Account, last_payment_id: str) -> None:
        self.lists.rows += 1
        where = row("accounts", id=account.id)
        book = self.books.get(account.id)
        last_transfer_id = book.last_transfer_id if book else ""
        if account.last_transfer_id != last_transfer_id:
            self.lists.breach(
                differs(
                    where,
                    "last_transfer_id",
                    account.last_transfer_id,
                    last_transfer_id,
                    "its newest transfer",
                )
            )
        if account.last_payment_id != last_payment_id:
            self.lists.breach(
                differs(
                    where,
                    "last_payment_id",
                    account.last_payment_id,
                    last_payment_id,
                    "its newest payment",
                )
            )

    def _compare(self, account: Account) -> None:
        self.images.rows += 1
        where = row("accounts", id=account.id)
        book = self.books.get(account.id)
        if book is None:
            self.images.breach(f"{where}: is in the table, but not in the journal")
            return
        newest = _decode(book.newest)
        if account != newest:
            for breach in differences(where, ACCOUNT_COLUMNS, account, newest, WHY_IMAGE):
                self.images.breach(breach)


class MerchantsCheck:
    """Keeps the newest image of each merchant."""

    def __init__(self) -> None:
        self.images = Tally("merchants equal the journal", "R17")
        self._newest: dict[str, Merchant] = {}

    def batch(self, body: Body) -> None:
        """Take in the images of a batch."""
        for merchant in body.merchants:
            self._newest[merchant.id] = merchant

    async def finish(self, connection: Connection) -> None:
        """Compare the rows with the images."""
        async for chunk in chunks(connection, select("merchants", MERCHANT_COLUMNS)):
            for record in chunk:
                self._compare(Merchant(*record))
        for merchant_id in sorted(self._newest):
            self.images.breach(f"{row('merchants', id=merchant_id)}: is missing")

    def _compare(self, merchant: Merchant) -> None:
        self.images.rows += 1
        where = row("merchants", id=merchant.id)
        newest = self._newest.pop(merchant.id, None)
        if newest is None:
            self.images.breach(f"{where}: is in the table, but not in the journal")
            return
        try:
            stored = merchant._replace(settlement_terms=_terms(str(merchant.settlement_terms)))
        except msgspec.MsgspecError as error:
            self.images.breach(f"{where}: settlement_terms cannot be read ({error})")
            return
        for breach in differences(where, MERCHANT_COLUMNS, stored, newest, WHY_IMAGE):
            self.images.breach(breach)


def _terms(text: str) -> tuple[Terms, ...]:
    return tuple(
        Terms(currency, account_id, FeeSchedule(basis_points, fixed, policy))
        for currency, account_id, basis_points, fixed, policy in _decode_terms(text)
    )


def _below(account: Account) -> list[str]:
    """Say what is wrong with an account's balance by itself (I2)."""
    found: list[str] = []
    available = account.posted - account.held
    if account.floor is not None and available < account.floor:
        found.append(f"posted - held is {available}, below its floor {account.floor}")
    if account.floor is None and account.kind not in accounts.WITHOUT_FLOOR:
        found.append(f"floor is NULL for kind {account.kind}")
    if account.held < 0:
        found.append(f"held is {account.held}, below 0")
    if max(abs(account.posted), account.held) > accounts.LIMIT:
        found.append(f"posted {account.posted} or held {account.held} is beyond the limit")
    if account.state == accounts.State.CLOSED and (account.posted or account.held):
        found.append(f"is CLOSED with posted {account.posted} and held {account.held}")
    return found

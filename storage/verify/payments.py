"""Payments: each row equals its newest image, its steps were allowed, its amounts are the sums.

The table is read beside the journal, both in the order in which payments were made, so that only
those payments are in memory whose last image or last transfer is still to come.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from processor.domain.draft import Event
from processor.domain.payments import FIRST, HOLDING, NEXT, Payment, Refund, RefundState, State
from processor.domain.transfers import Reason
from storage.verify.journal import Body
from storage.verify.report import Tally, differences, differs, row
from storage.verify.tables import PAYMENT_COLUMNS, Connection, Stream, select

SELECT_PAYMENTS: Final = select("payments", PAYMENT_COLUMNS)
SELECT_PAYMENT: Final = f"SELECT {', '.join(PAYMENT_COLUMNS)} FROM payments WHERE id = $1"

STATE_AFTER: Final = {
    "payment_authorized": State.AUTHORIZED,
    "payment_declined": State.DECLINED,
    "payment_partially_captured": State.PARTIALLY_CAPTURED,
    "payment_captured": State.CAPTURED,
    "payment_remainder_released": State.CAPTURED,
    "payment_voided": State.VOIDED,
    "payment_expired": State.EXPIRED,
    "payment_refunded": None,
    "refund_requested": None,
    "refund_failed": None,
}
"""The state that each event of a payment leads to; None when it leaves the state as it is.

A batch may take a payment several steps further but keeps one image of it, so that the steps are
those of its events.
"""

_NEXT: Final[dict[str, frozenset[State]]] = {str(state): after for state, after in NEXT.items()}
"""By text, since an altered journal may hold states that do not exist."""

WHY_IMAGE: Final = "newest image in the journal"

COLUMN_OF: Final[dict[str, str]] = {
    Reason.CAPTURE: "captured",
    Reason.FEE: "fee",
    Reason.REFUND: "refunded",
    Reason.FEE_REFUND: "fee_refunded",
}


class Sums(msgspec.Struct):
    """What transfers and refunds add up to."""

    captured: int = 0
    fee: int = 0
    refunded: int = 0
    fee_refunded: int = 0
    refunds: int = 0
    refunds_pending: int = 0
    refunds_fee: int = 0


class Followed(msgspec.Struct):
    """A row that was read, and how far journal and transfers have come with it."""

    stored: Payment
    sums: Sums
    expected_sums: Sums
    image: Payment | None = None
    version: int = 0
    state: str = ""
    equal: bool = False


class PaymentsCheck:
    """Follows every payment through the journal and its transfers."""

    def __init__(self, connection: Connection, stream: Stream) -> None:
        self.images = Tally("payments equal the journal", "R17")
        self.amounts = Tally("payment amounts", "I4")
        self.steps = Tally("payment transitions", "I8")
        self.lists = Tally("payments name the payer's one before", "I9")
        self.held: dict[str, int] = {}
        self.last_payments: dict[str, str] = {}
        self._connection = connection
        self._stream = stream
        self._followed: dict[str, Followed] = {}
        self._ahead_of_row: dict[str, Payment] = {}
        self._without_row: set[str] = set()

    @classmethod
    async def open(cls, connection: Connection) -> "PaymentsCheck":
        """Start reading the table."""
        return cls(connection, await Stream.open(connection, SELECT_PAYMENTS))

    async def batch(self, body: Body, seq: int) -> None:
        """Take in the images and events of a batch."""
        if not body.payments:
            return
        for record in await self._stream.until(max(image.id for image in body.payments)):
            self._read(Payment(*record))
        taken: dict[str, list[Event]] = {image.id: [] for image in body.payments}
        for event in body.events:
            if event.entity_id in taken:
                taken[event.entity_id].append(event)
        for image in body.payments:
            self._image(image, taken[image.id], seq)

    async def copied(self, images: Sequence[Payment]) -> None:
        """Take in payments of another shard: what was done to them there is not of this journal."""
        if not images:
            return
        for record in await self._stream.until(max(image.id for image in images)):
            self._read(Payment(*record))
        for image in images:
            followed = self._followed.get(image.id)
            if followed is None:
                self._without_steps(image)
                continue
            followed.version, followed.state = image.version, image.state
            followed.sums = _sums_of(image)
            followed.equal = image.version == followed.stored.version
            if followed.equal:
                if image != followed.stored:
                    self._compare(followed.stored, image)
                self._release(followed)
            else:
                followed.image = image

    def _without_steps(self, image: Payment) -> None:
        """A copy whose row is not followed: it is as an earlier image, or missing."""
        if image.id not in self._without_row:
            self._ahead_of_row[image.id] = image

    def transfer(self, payment_id: str, transfer_id: str, reason: str, amount: int) -> None:
        """Take in a transfer that names a payment."""
        followed, column = self._followed.get(payment_id), COLUMN_OF.get(reason)
        if followed is None or column is None:
            self.amounts.breach(
                f"{row('transfers', id=transfer_id)}: {reason} of {amount} is more than"
                f" {row('payments', id=payment_id)} shows"
            )
            return
        setattr(followed.sums, column, getattr(followed.sums, column) + amount)
        self._release(followed)

    def refund(
        self, payment_id: str, refund_id: str, state: str, amount: int, fee_refunded: int
    ) -> None:
        """Take in a refund."""
        followed = self._followed.get(payment_id)
        if followed is None:
            self.amounts.breach(
                f"{row('refunds', id=refund_id)}: {amount} is more than"
                f" {row('payments', id=payment_id)} shows"
            )
            return
        if state == RefundState.SUCCEEDED:
            followed.sums.refunds += amount
            followed.sums.refunds_fee += fee_refunded
        elif state == RefundState.PENDING:
            followed.sums.refunds_pending += amount
            followed.sums.refunds_fee += fee_refunded
        self._release(followed)

    def settled(self, before: Refund, after: Refund) -> None:
        """Take in that a refund which came pending from another shard has ended here."""
        followed = self._followed.get(before.payment_id)
        if followed is None:
            where = row("refunds", id=before.id)
            self.amounts.breach(
                f"{where}: is more than {row('payments', id=before.payment_id)} shows"
            )
            return
        sums = followed.sums
        sums.refunds_pending -= before.amount
        if after.state == RefundState.SUCCEEDED:
            sums.refunds += after.amount
        else:
            # No fee came back with it, so none was given back at all.
            sums.refunds_fee -= before.fee_refunded
            sums.fee_refunded -= before.fee_refunded
        self._release(followed)

    async def read_rest(self) -> None:
        """Take in the rows beyond the journal's newest payment."""
        async for chunk in self._stream.rest():
            for record in chunk:
                self._read(Payment(*record))

    async def finish(self) -> None:
        """Report what is left when journal, transfers and refunds are read."""
        for followed in self._followed.values():
            self._left(followed)
        for payment_id, image in self._ahead_of_row.items():
            if self.images.full:
                break
            record = await self._connection.fetchrow(SELECT_PAYMENT, payment_id)
            if record is None:
                where = row("payments", id=payment_id)
                self.images.breach(f"{where}: is missing, expected version {image.version}")
            else:
                self._compare(Payment(*record), image)

    # One row, one image

    def _read(self, stored: Payment) -> None:
        for tally in (self.images, self.amounts, self.lists):
            tally.rows += 1
        account_id = stored.payer_account_id
        if stored.capturable:
            self.held[account_id] = self.held.get(account_id, 0) + stored.capturable
        previous_id = self.last_payments.get(account_id, "")
        if stored.payer_previous_id != previous_id:
            where, why = row("payments", id=stored.id), "the payer's payment before"
            self.lists.breach(
                differs(where, "payer_previous_id", stored.payer_previous_id, previous_id, why)
            )
        self.last_payments[account_id] = stored.id
        for problem in _inconsistencies(stored):
            self.amounts.breach(f"{row('payments', id=stored.id)}: {problem}")
        self._followed[stored.id] = Followed(stored, Sums(), _sums_of(stored))

    def _image(self, image: Payment, events: list[Event], seq: int) -> None:
        self.steps.rows += len(events)
        followed = self._followed.get(image.id)
        if followed is None:
            self._without(image, events, seq)
            return
        self._walk(followed, image, events, seq)
        followed.equal = image.version == followed.stored.version
        if followed.equal:
            if image != followed.stored:
                self._compare(followed.stored, image)
            self._release(followed)
        else:
            followed.image = image

    def _without(self, image: Payment, events: list[Event], seq: int) -> None:
        """An image whose row is not followed: it never was, or it is of a lower version."""
        if image.id in self._without_row:
            return
        if events and events[0].version == 1:
            self._without_row.add(image.id)
            self.images.breach(
                f"{row('payments', id=image.id)}: is missing, expected version {image.version}"
                f" (journal seq={seq})"
            )
        else:
            self._ahead_of_row[image.id] = image

    def _walk(self, followed: Followed, image: Payment, events: list[Event], seq: int) -> None:
        """Follow the steps from the image before to this one (I8)."""
        problems: list[str] = []
        version, state = followed.version, followed.state
        for event in events:
            if event.type not in STATE_AFTER:
                problems.append(f"event {event.type} is not known")
                continue
            after = STATE_AFTER[event.type] or state
            if event.version != version + 1:
                problems.append(f"version {event.version} follows {version} ({event.type})")
            if after not in (_NEXT.get(state, ()) if state else FIRST):
                problems.append(f"{after} must not follow {state or 'nothing'}")
            version, state = event.version, after
        if (version, state) != (image.version, image.state):
            problems.append(
                f"is {image.state} at version {image.version}, expected {state} at version"
                f" {version} after its events"
            )
        for problem in problems:
            where = f"{row('payments', id=image.id)} in {row('journal', seq=seq)}"
            self.steps.breach(f"{where}: {problem}")
        followed.version, followed.state = image.version, image.state

    def _release(self, followed: Followed) -> None:
        """Forget a payment of which nothing more is to come."""
        if followed.equal and followed.sums == followed.expected_sums:
            del self._followed[followed.stored.id]

    def _left(self, followed: Followed) -> None:
        stored = followed.stored
        where = row("payments", id=stored.id)
        if not followed.equal:
            if followed.image is None:
                self.images.breach(
                    f"{where}: version {stored.version} is in the table, but not in the journal"
                )
            else:
                self._compare(stored, followed.image)
        for column, what in _SUM_OF.items():
            is_, sum_ = getattr(followed.expected_sums, column), getattr(followed.sums, column)
            if is_ != sum_:
                stored_column, why = what
                self.amounts.breach(differs(where, stored_column, is_, sum_, why))

    def _compare(self, stored: Payment, image: Payment) -> None:
        where = row("payments", id=stored.id)
        for breach in differences(where, PAYMENT_COLUMNS, stored, image, WHY_IMAGE):
            self.images.breach(breach)


def _sums_of(payment: Payment) -> Sums:
    """Return what transfers and refunds must add up to."""
    return Sums(
        captured=payment.captured,
        fee=payment.fee,
        refunded=payment.refunded,
        fee_refunded=payment.fee_refunded,
        refunds=payment.refunded,
        refunds_pending=payment.refund_pending,
        refunds_fee=payment.fee_refunded,
    )


_SUM_OF: Final = {
    "captured": ("captured", "sum of its CAPTURE transfers"),
    "fee": ("fee", "sum of its FEE transfers"),
    "refunded": ("refunded", "sum of its REFUND transfers"),
    "fee_refunded": ("fee_refunded", "sum of its FEE_REFUND transfers"),
    "refunds": ("refunded", "sum of its SUCCEEDED refunds"),
    "refunds_pending": ("refund_pending", "sum of its PENDING refunds"),
    "refunds_fee": ("fee_refunded", "sum of fee_refunded of its refunds that have not failed"),
}
"""Each sum, the payment's column that must equal it, and what it is the sum of."""


def _inconsistencies(payment: Payment) -> list[str]:
    """Say what is wrong with a payment's amounts among themselves (I4)."""
    found: list[str] = []
    if not (payment.captured >= 0 <= payment.capturable and payment.amount > 0):
        found.append("an amount is negative")
    if payment.captured + payment.capturable > payment.amount:
        found.append(
            f"captured {payment.captured} and capturable {payment.capturable} exceed amount"
            f" {payment.amount}"
        )
    if not 0 <= payment.refunded <= payment.captured - payment.refund_pending:
        found.append(
            f"refunded {payment.refunded} and refund_pending {payment.refund_pending} exceed"
            f" captured {payment.captured}"
        )
    if payment.fee != (fee := payment.fee_schedule.fee(payment.captured)):
        found.append(f"fee is {payment.fee}, expected {fee} by its schedule")
    if not 0 <= payment.fee_refunded <= payment.fee:
        found.append(f"fee_refunded {payment.fee_refunded} exceeds fee {payment.fee}")
    if (payment.capturable > 0) != (payment.state in HOLDING):
        found.append(f"capturable is {payment.capturable} in state {payment.state}")
    if (payment.captured > 0) != (payment.state in (State.PARTIALLY_CAPTURED, State.CAPTURED)):
        found.append(f"captured is {payment.captured} in state {payment.state}")
    return found

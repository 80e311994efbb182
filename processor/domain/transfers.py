"""A movement of money between two accounts."""

from typing import NamedTuple

from processor.domain.names import MaybeStr, Name


class Reason(Name):
    """Why money moved."""

    CAPTURE = "CAPTURE"
    FEE = "FEE"
    REFUND = "REFUND"
    FEE_REFUND = "FEE_REFUND"
    TOP_UP = "TOP_UP"
    PAYOUT = "PAYOUT"
    PERSON_TO_PERSON = "PERSON_TO_PERSON"
    BUCKET_MOVE = "BUCKET_MOVE"


class State(Name):
    """Whether a transfer that was asked for moved money; only posted ones are rows."""

    POSTED = "POSTED"
    DECLINED = "DECLINED"


class Transfer(NamedTuple):
    """One posted movement, with both balances after it. Minor units, µs since 1970.

    The transfers of an account are a list, newest first: it begins at `Account.last_transfer_id`,
    and each transfer names the one before it on either side's account, empty for the first.
    """

    id: str
    debit_account_id: str
    credit_account_id: str
    amount: int
    currency: str
    reason: str
    payment_id: "MaybeStr"
    refund_id: "MaybeStr"
    description: str
    debit_posted_after: int
    credit_posted_after: int
    created_at: int
    debit_previous_id: str
    credit_previous_id: str

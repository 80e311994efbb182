"""What a payment is and which states may follow which."""

from typing import Final, NamedTuple

from processor.domain.fees import FeeSchedule
from processor.domain.names import MaybeInt, Name


class State(Name):
    """Where a payment is in its life."""

    PROCESSING = "PROCESSING"
    AUTHORIZED = "AUTHORIZED"
    PARTIALLY_CAPTURED = "PARTIALLY_CAPTURED"
    CAPTURED = "CAPTURED"
    VOIDED = "VOIDED"
    EXPIRED = "EXPIRED"
    DECLINED = "DECLINED"
    FAILED = "FAILED"
    IN_DOUBT = "IN_DOUBT"


NEXT: Final[dict[str, frozenset[State]]] = {
    State.PROCESSING: frozenset(
        {State.AUTHORIZED, State.CAPTURED, State.DECLINED, State.FAILED, State.IN_DOUBT}
    ),
    State.IN_DOUBT: frozenset(
        {State.AUTHORIZED, State.CAPTURED, State.DECLINED, State.FAILED, State.VOIDED}
    ),
    State.AUTHORIZED: frozenset(
        {State.PARTIALLY_CAPTURED, State.CAPTURED, State.VOIDED, State.EXPIRED}
    ),
    State.PARTIALLY_CAPTURED: frozenset({State.PARTIALLY_CAPTURED, State.CAPTURED}),
    State.CAPTURED: frozenset({State.CAPTURED}),
    State.VOIDED: frozenset(),
    State.EXPIRED: frozenset(),
    State.DECLINED: frozenset(),
    State.FAILED: frozenset(),
}
"""Allowed transitions. CAPTURED follows itself when a refund changes its amounts."""
assert NEXT.keys() == set(State)

FIRST: Final = frozenset({State.AUTHORIZED, State.CAPTURED, State.DECLINED})
"""States in which a payment may be born; each is a state that may follow PROCESSING."""
assert NEXT[State.PROCESSING] >= FIRST

HOLDING: Final = frozenset({State.AUTHORIZED, State.PARTIALLY_CAPTURED})
"""States in which funds are held on the payer's account."""


UNDECIDED: Final = frozenset({State.PROCESSING, State.IN_DOUBT})
"""States in which it is open whether money is held or moved."""


class CaptureMethod(Name):
    """How an authorized amount becomes captured."""

    AUTOMATIC = "AUTOMATIC"
    MANUAL = "MANUAL"
    MANUAL_MULTIPLE = "MANUAL_MULTIPLE"


class DeclineReason(Name):
    """Why a payment or a transfer was declined; empty when it was not."""

    NONE = ""
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    RISK_REFUSED = "RISK_REFUSED"
    REVERSED = "REVERSED"


class Reversal(Name):
    """What a reversal found and did."""

    VOIDED = "VOIDED"
    REFUNDED = "REFUNDED"
    NOT_ARRIVED = "NOT_ARRIVED"
    NOTHING_TO_REVERSE = "NOTHING_TO_REVERSE"


HOLD_SECONDS_DEFAULT: Final = 7 * 24 * 3600
HOLD_SECONDS_MIN = 60  # Not Final: compiled code would hold the number, and tests set another.
HOLD_SECONDS_MAX: Final = 31 * 24 * 3600


class Payment(NamedTuple):
    """A payment after its latest transition. Amounts in minor units, times in µs since 1970."""

    id: str
    tenant_id: str
    merchant_id: str
    payer_account_id: str
    settlement_account_id: str
    state: str
    capture_method: str
    decline_reason: str
    currency: str
    amount: int
    captured: int
    capturable: int
    refunded: int
    refund_pending: int
    fee: int
    fee_refunded: int
    fee_basis_points: int
    fee_fixed: int
    fee_refund_policy: str
    hold_expires_at: "MaybeInt"
    description: str
    metadata: str
    version: int
    created_at: int
    updated_at: int
    payer_previous_id: str
    """The payer's payment before this one; its list begins at `Account.last_payment_id`."""

    @property
    def fee_schedule(self) -> FeeSchedule:
        """The schedule frozen at authorization."""
        return FeeSchedule(self.fee_basis_points, self.fee_fixed, self.fee_refund_policy)

    @property
    def refundable(self) -> int:
        """What is captured and neither refunded nor being refunded."""
        return self.captured - self.refunded - self.refund_pending


class RefundState(Name):
    """Where a refund is in its life."""

    PENDING = "PENDING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class Refund(NamedTuple):
    """Money given back from a payment. Amounts in minor units, times in µs since 1970.

    While it is pending, `fee_refunded` is the part of the fee that will be given back.
    """

    id: str
    payment_id: str
    state: str
    amount: int
    currency: str
    fee_refunded: int
    description: str
    created_at: int
    failure_reason: str = ""
    """Why the merchant's shard did not give, as a refusal's reason; set only when FAILED."""

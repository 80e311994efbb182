"""What can be asked of a lane.

Each caller's command has an `order_key`, and so have legs: commands with the same key are decided
as they arrived.
"""

from typing import NamedTuple

from processor.domain.copies import Page
from processor.domain.legs import Leg
from processor.domain.place import ALIASES


class Principal(NamedTuple):
    """On whose behalf: a tenant, perhaps limited to one merchant, perhaps an operator."""

    tenant_id: str
    merchant_id: str
    operator: bool


class Authorize(NamedTuple):
    """Hold, and with automatic capture also take, money from a payer for a merchant."""

    principal: Principal
    request_id: str
    payer_account_id: str
    merchant_id: str
    amount: int
    currency: str
    capture_method: str
    hold_seconds: int
    description: str
    metadata: str
    risk_denied: bool

    @property
    def order_key(self) -> str:
        return self.payer_account_id


class Capture(NamedTuple):
    """Take held money; amount None means all of it."""

    principal: Principal
    request_id: str
    payment_id: str
    amount: int | None
    currency: str
    final: bool

    @property
    def order_key(self) -> str:
        return self.payment_id


class Void(NamedTuple):
    """Release the whole hold."""

    principal: Principal
    request_id: str
    payment_id: str

    @property
    def order_key(self) -> str:
        return self.payment_id


class RefundPayment(NamedTuple):
    """Give captured money back; amount None means all that is left."""

    principal: Principal
    request_id: str
    payment_id: str
    amount: int | None
    currency: str
    description: str

    @property
    def order_key(self) -> str:
        return self.payment_id


class Reverse(NamedTuple):
    """Undo an authorization by its request_id."""

    principal: Principal
    request_id: str
    original_request_id: str
    payer_account_id: str
    merchant_id: str

    @property
    def order_key(self) -> str:
        return self.payer_account_id


class OpenAccount(NamedTuple):
    """Open an account."""

    principal: Principal
    request_id: str
    user_id: str
    kind: str
    currency: str
    floor: int

    @property
    def order_key(self) -> str:
        return self.request_id


class ChangeAccountState(NamedTuple):
    """Freeze, unfreeze or close an account: `state` is what it shall become."""

    principal: Principal
    request_id: str
    account_id: str
    state: str

    @property
    def order_key(self) -> str:
        return self.account_id


class CreateTransfer(NamedTuple):
    """Move money between accounts; "world" and "fees" stand for the tenant's own."""

    principal: Principal
    request_id: str
    source: str
    destination: str
    amount: int
    currency: str
    description: str

    @property
    def order_key(self) -> str:
        # The tenant's own accounts are everybody's: nobody waits for another's cold account.
        return self.destination if self.source in ALIASES else self.source


class SettlementTerms(NamedTuple):
    """Terms as asked for."""

    currency: str
    account_id: str
    basis_points: int
    fixed: int
    refund_policy: str


class CreateMerchant(NamedTuple):
    """Create a merchant."""

    principal: Principal
    request_id: str
    reference: str
    display_name: str
    settlement_terms: tuple[SettlementTerms, ...]

    @property
    def order_key(self) -> str:
        return self.request_id


class UpdateMerchant(NamedTuple):
    """Change what is not None."""

    principal: Principal
    request_id: str
    merchant_id: str
    display_name: str | None
    state: str | None
    settlement_terms: tuple[SettlementTerms, ...] | None

    @property
    def order_key(self) -> str:
        return self.merchant_id


class ExpireHolds(NamedTuple):
    """The lane's own: expire the due holds of these accounts."""

    account_ids: tuple[str, ...]


class DeleteRequestKeys(NamedTuple):
    """The lane's own: forget these keys (tenant, request_id), older than the retention."""

    keys: tuple[tuple[str, str], ...]


class ReceiveLeg(NamedTuple):
    """The lane's own: let a leg take effect, if it is the next from its source.

    Without a leg, with number 0, it asks for the position alone.
    """

    source: str
    number: int
    leg: Leg | None
    text: str

    @property
    def order_key(self) -> str:
        return f"legs from {self.source}"


class TakeCopies(NamedTuple):
    """The lane's own: keep rows of a bucket that is still another shard's.

    Without a page it asks how far the copy is.
    """

    bucket: str
    page: Page | None

    @property
    def order_key(self) -> str:
        return f"copies of {self.bucket}"


class AcknowledgeLegs(NamedTuple):
    """The lane's own: note that a destination has taken all legs up to a number."""

    destination: str
    number: int


PaymentCommand = Capture | Void | RefundPayment
"""Commands that name an existing payment."""

CallerCommand = (
    Authorize
    | Capture
    | Void
    | RefundPayment
    | Reverse
    | OpenAccount
    | ChangeAccountState
    | CreateTransfer
    | CreateMerchant
    | UpdateMerchant
)
"""Commands that come from a caller with a request_id."""

OwnCommand = ExpireHolds | DeleteRequestKeys | ReceiveLeg | AcknowledgeLegs | TakeCopies
"""Commands of the lane itself."""

Command = CallerCommand | OwnCommand

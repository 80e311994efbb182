"""What comes of a command: the answer, and what must be committed before it is given."""

from typing import NamedTuple

from processor.domain.accounts import Account
from processor.domain.draft import Changes
from processor.domain.merchants import Merchant
from processor.domain.payments import Payment, Refund, State
from processor.domain.transfers import Transfer


class Declined(NamedTuple):
    """A transfer that was asked for and declined; it is an answer, not a row."""

    id: str
    source: str
    destination: str
    amount: int
    currency: str
    reason: str
    decline_reason: str
    description: str
    created_at: int


class Answer(NamedTuple):
    """What the caller is told: the resources after the decision, those that apply."""

    payment: Payment | None = None
    refund: Refund | None = None
    account: Account | None = None
    merchant: Merchant | None = None
    transfer: Transfer | Declined | None = None
    reversal: str = ""
    remote_account_id: str = ""
    """Of a transfer to another shard: the account there."""

    @property
    def resource_id(self) -> str:
        """The id that a key with this answer leads to."""
        if self.payment is not None:
            return self.payment.id
        for resource in (self.account, self.merchant, self.transfer):
            if resource is not None:
                return resource.id
        return ""

    @property
    def declined(self) -> bool:
        """Whether a business rule said no; a reversal that finds a decline is none itself."""
        if self.payment is not None:
            return self.payment.state == State.DECLINED and not self.reversal
        return isinstance(self.transfer, Declined)


class Decision(NamedTuple):
    """The answer and what must be committed before it is given."""

    answer: Answer
    changes: Changes

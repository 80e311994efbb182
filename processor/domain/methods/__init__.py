"""Payment methods: how each kind of payment holds, takes, releases and gives back money."""

from typing import Final, NamedTuple, Protocol

from processor.domain import commands
from processor.domain.draft import Draft
from processor.domain.merchants import Terms
from processor.domain.methods.wallet import Wallet
from processor.domain.payments import Payment, Refund


class PaymentMethod(Protocol):
    """One kind of payment. Every method drafts its effect and returns the payment after it."""

    def authorize(
        self, draft: Draft, command: commands.Authorize, terms: Terms, *, reversed_before: bool
    ) -> Payment:
        """Hold or take the amount, or decline."""

    def capture(self, draft: Draft, payment: Payment, amount: int, *, final: bool) -> Payment:
        """Take held money."""

    def release(self, draft: Draft, payment: Payment, *, expired: bool) -> Payment:
        """Give up what is held."""

    def refund(
        self, draft: Draft, payment: Payment, amount: int, description: str
    ) -> tuple[Payment, Refund]:
        """Give captured money back."""


class Methods(NamedTuple):
    """The handlers a lane decides with."""

    wallet: PaymentMethod


METHODS: Final = Methods(wallet=Wallet())

"""A tenant with a customer and a merchant, and the commands that tests say in one word."""

from processor.domain import commands
from processor.domain.accounts import Account, Kind
from processor.domain.commands import Principal
from processor.domain.decide import Answer, Declined
from processor.domain.fees import RefundPolicy
from processor.domain.merchants import Merchant
from processor.domain.payments import CaptureMethod, Payment, Refund
from processor.domain.transfers import Transfer
from tests.domain.ledger import Ledger

TENANT = "acme"
OPERATOR = Principal(TENANT, "", True)
SERVICE = Principal(TENANT, "", False)
STRANGER = Principal("other", "", True)

MANUAL = CaptureMethod.MANUAL
MULTIPLE = CaptureMethod.MANUAL_MULTIPLE
AUTOMATIC = CaptureMethod.AUTOMATIC


class Shop:
    """A ledger with one payer, who has `funds`, and one merchant with a fee."""

    def __init__(
        self,
        funds: int = 1_000,
        *,
        basis_points: int = 0,
        fixed: int = 0,
        policy: RefundPolicy = RefundPolicy.KEEP,
        currency: str = "EUR",
        ledger: Ledger | None = None,
    ) -> None:
        self.ledger = ledger or Ledger()
        self.currency = currency
        self._requests = 0
        self.payer_id = self.open("ann").id
        self.settlement_id = self.open("cafe", Kind.MERCHANT_WALLET).id
        self.merchant_id = self.create_merchant(
            "cafe", self.terms(basis_points=basis_points, fixed=fixed, policy=policy)
        ).id
        if funds:
            self.top_up(funds)

    # What there is.

    @property
    def payer(self) -> Account:
        return self.ledger.accounts[self.payer_id]

    @property
    def settlement(self) -> Account:
        return self.ledger.accounts[self.settlement_id]

    @property
    def fees(self) -> Account:
        return self.ledger.accounts[self.own_id(Kind.FEES)]

    @property
    def available(self) -> int:
        return self.payer.posted - self.payer.held

    def own_id(self, kind: Kind) -> str:
        return self.ledger.own_id(kind, TENANT, self.currency)

    def payment(self, payment: Payment) -> Payment:
        """Return a payment as it is now."""
        return self.ledger.payments[payment.id]

    def wait(self, seconds: int) -> None:
        self.ledger.now += seconds * 1_000_000

    def request_id(self) -> str:
        self._requests += 1
        return f"request-{self._requests}"

    # Commands.

    def open(
        self,
        user_id: str,
        kind: Kind = Kind.CONSUMER_WALLET,
        *,
        currency: str = "",
        floor: int = 0,
        by: Principal = OPERATOR,
    ) -> Account:
        command = commands.OpenAccount(
            by, self.request_id(), user_id, kind, currency or self.currency, floor
        )
        account = self.ledger.run(command).account
        assert account is not None
        return account

    def change_state(self, account_id: str, state: str, by: Principal = OPERATOR) -> Account:
        command = commands.ChangeAccountState(by, self.request_id(), account_id, state)
        account = self.ledger.run(command).account
        assert account is not None
        return account

    def terms(
        self,
        account_id: str = "",
        *,
        basis_points: int = 0,
        fixed: int = 0,
        policy: RefundPolicy = RefundPolicy.KEEP,
        currency: str = "",
    ) -> commands.SettlementTerms:
        return commands.SettlementTerms(
            currency or self.currency, account_id or self.settlement_id, basis_points, fixed, policy
        )

    def create_merchant(
        self, reference: str, *terms: commands.SettlementTerms, by: Principal = OPERATOR
    ) -> Merchant:
        command = commands.CreateMerchant(by, self.request_id(), reference, reference, terms)
        merchant = self.ledger.run(command).merchant
        assert merchant is not None
        return merchant

    def update_merchant(
        self,
        merchant_id: str = "",
        *,
        name: str | None = None,
        state: str | None = None,
        terms: tuple[commands.SettlementTerms, ...] | None = None,
        by: Principal = OPERATOR,
    ) -> Merchant:
        command = commands.UpdateMerchant(
            by, self.request_id(), merchant_id or self.merchant_id, name, state, terms
        )
        merchant = self.ledger.run(command).merchant
        assert merchant is not None
        return merchant

    def transfer(
        self,
        source: str,
        destination: str,
        amount: int,
        *,
        currency: str = "",
        by: Principal = OPERATOR,
    ) -> Transfer | Declined:
        command = commands.CreateTransfer(
            by, self.request_id(), source, destination, amount, currency or self.currency, ""
        )
        transfer = self.ledger.run(command).transfer
        assert transfer is not None
        return transfer

    def top_up(self, amount: int, account_id: str = "") -> None:
        self.transfer("world", account_id or self.payer_id, amount)

    def authorize(
        self,
        amount: int = 100,
        method: CaptureMethod = MANUAL,
        *,
        request_id: str = "",
        payer_id: str = "",
        merchant_id: str = "",
        currency: str = "",
        hold_seconds: int = 0,
        risk_denied: bool = False,
        by: Principal = SERVICE,
    ) -> Payment:
        command = commands.Authorize(
            by,
            request_id or self.request_id(),
            payer_id or self.payer_id,
            merchant_id or self.merchant_id,
            amount,
            currency or self.currency,
            method,
            hold_seconds,
            "",
            "",
            risk_denied,
        )
        return _payment(self.ledger.run(command))

    def capture(
        self,
        payment: Payment,
        amount: int | None = None,
        *,
        final: bool = False,
        currency: str = "",
        by: Principal = SERVICE,
    ) -> Payment:
        command = commands.Capture(
            by, self.request_id(), payment.id, amount, currency or self.currency, final
        )
        return _payment(self.ledger.run(command))

    def void(self, payment: Payment, by: Principal = SERVICE) -> Payment:
        return _payment(self.ledger.run(commands.Void(by, self.request_id(), payment.id)))

    def refund(
        self,
        payment: Payment,
        amount: int | None = None,
        *,
        currency: str = "",
        by: Principal = SERVICE,
    ) -> Refund:
        command = commands.RefundPayment(
            by, self.request_id(), payment.id, amount, currency or self.currency, ""
        )
        refund = self.ledger.run(command).refund
        assert refund is not None
        return refund

    def reverse(
        self,
        original_request_id: str,
        *,
        request_id: str = "",
        payer_id: str = "",
        merchant_id: str = "",
        by: Principal = SERVICE,
    ) -> Answer:
        command = commands.Reverse(
            by,
            request_id or self.request_id(),
            original_request_id,
            payer_id or self.payer_id,
            merchant_id or self.merchant_id,
        )
        return self.ledger.run(command)


def _payment(answer: Answer) -> Payment:
    assert answer.payment is not None
    return answer.payment

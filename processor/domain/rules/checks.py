"""What several rules ask for before they go on."""

from processor.domain import commands, refusals
from processor.domain.accounts import Account
from processor.domain.merchants import Merchant
from processor.domain.payments import Payment
from processor.domain.view import View

AMOUNT_MAX = 10**15


def require_account(view: View, account_id: str, tenant_id: str) -> Account:
    """Return an account of the tenant."""
    account = view.account(account_id)
    if account is None or account.tenant_id != tenant_id:
        raise refusals.AccountUnknown(account_id=account_id)
    return account


def require_merchant(view: View, merchant_id: str, tenant_id: str) -> Merchant:
    """Return a merchant of the tenant."""
    merchant = view.merchant(merchant_id)
    if merchant is None or merchant.tenant_id != tenant_id:
        raise refusals.MerchantUnknown(merchant_id=merchant_id)
    return merchant


def require_payment(view: View, command: commands.PaymentCommand) -> Payment:
    """Return the payment that a command names, if its principal may see it."""
    payment, principal = view.payment(command.payment_id), command.principal
    if (
        payment is None
        or payment.tenant_id != principal.tenant_id
        or principal.merchant_id not in ("", payment.merchant_id)
    ):
        raise refusals.PaymentUnknown(payment_id=command.payment_id)
    return payment


def check_amount(amount: int) -> None:
    """Refuse what is not an amount of money that can move."""
    if not 0 < amount <= AMOUNT_MAX:
        raise refusals.AmountOutOfRange()

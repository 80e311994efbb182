"""What the examples stand on: a shop with a fee, a customer with money, and how to print."""

from dataclasses import dataclass

import tender


@dataclass(frozen=True)
class Shop:
    """A merchant that is paid, and a customer who pays."""

    merchant_id: str
    account_id: str
    customer_account_id: str


def open_customer(client: tender.SyncClient, name: str, funds: tender.Money) -> str:
    """Opens a wallet and tops it up from outside, which needs the operator scope."""
    opened = client.create_account(user_id=name, currency_code=funds.currency_code)
    account_id = opened.account.id
    client.create_transfer(
        source_account_id="world", destination_account_id=account_id, amount=funds
    )
    return account_id


def open_shop(client: tender.SyncClient, funds: tender.Money) -> Shop:
    """Creates a merchant that pays 1.4 % and 5 minor units per payment, and a customer."""
    # Unique, so that the example may run again on the same stack.
    reference = f"shop-{tender.new_request_id()}"
    wallet = client.create_account(
        user_id=reference,
        currency_code=funds.currency_code,
        kind=tender.Account.KIND_MERCHANT_WALLET,
    ).account
    fee = tender.FeeSchedule(
        basis_points=140, fixed_minor_units=5, refund_policy=tender.FEE_REFUND_POLICY_RETURN
    )
    terms = tender.SettlementTerms(
        currency_code=funds.currency_code, account_id=wallet.id, fee_schedule=fee
    )
    merchant = client.create_merchant(
        reference=reference, display_name="Corner Coffee", settlement_terms=[terms]
    ).merchant
    customer = open_customer(client, "ada", funds)
    return Shop(merchant.id, wallet.id, customer)


def describe(payment: tender.Payment) -> str:
    """One line on where a payment stands."""
    text = tender.money.text
    parts = [
        payment.id,
        tender.Payment.State.Name(payment.state).removeprefix("STATE_"),
        f"amount {text(payment.amount)}",
        f"captured {text(payment.captured)}",
        f"capturable {text(payment.capturable)}",
        f"refunded {text(payment.refunded)}",
    ]
    if payment.decline_reason:
        name = tender.DeclineReason.Name(payment.decline_reason)
        parts.insert(2, name.removeprefix("DECLINE_REASON_"))
    return "  ".join(parts)

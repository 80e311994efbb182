"""A terminal wants an answer within a second, and reverses what it cannot be sure of."""

import tender
from tender.examples.setting import Shop, describe, open_shop

ANSWER_TIMEOUT = 1.0
# A reversal is repeated for as long as it takes: without it the customer may have paid for nothing.
REVERSAL_TIMEOUT = 60.0


def pay(
    client: tender.SyncClient, shop: Shop, amount: tender.Money, timeout: float
) -> tender.Payment | None:
    """The payment, or None if it was undone because no answer came in time."""
    try:
        return client.authorize_payment(
            payer_account_id=shop.customer_account_id,
            merchant_id=shop.merchant_id,
            amount=amount,
            timeout=timeout,
        ).payment
    except tender.OutcomeUnknown as unknown:
        reversal = client.reverse_payment(
            original_request_id=unknown.request_id,
            payer_account_id=shop.customer_account_id,
            merchant_id=shop.merchant_id,
            timeout=REVERSAL_TIMEOUT,
        )
        result = tender.ReversePaymentResponse.Result.Name(reversal.result)
        print(f"no answer within {timeout:g} s, so it was reversed: {result}")
        return None


def main() -> None:
    with tender.SyncClient.from_env() as client:
        shop = open_shop(client, funds=tender.money("EUR", 5_000))
        paid = pay(client, shop, tender.money("EUR", 1_050), ANSWER_TIMEOUT)
        if paid:
            print(describe(paid))
        # Too short for any network: the terminal hangs up, and reverses.
        pay(client, shop, tender.money("EUR", 2_000), timeout=0.0005)
        account = client.get_account(account_id=shop.customer_account_id).account
        print(f"the customer has {tender.money.text(account.available)} left")


if __name__ == "__main__":
    main()

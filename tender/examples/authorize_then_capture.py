"""Hold the money when the order comes, take it when the parcel leaves."""

import tender
from tender.examples.setting import describe, open_shop


def main() -> None:
    with tender.SyncClient.from_env() as client:
        shop = open_shop(client, funds=tender.money("EUR", 10_000))
        held = client.authorize_payment(
            payer_account_id=shop.customer_account_id,
            merchant_id=shop.merchant_id,
            amount=tender.money("EUR", 6_000),
            capture_method=tender.CAPTURE_METHOD_MANUAL,
            hold_duration_seconds=2 * 24 * 60 * 60,
            description="order 1001",
        ).payment
        print(describe(held))
        # Less was delivered than ordered: the rest of the hold is released by the capture.
        taken = client.capture_payment(payment_id=held.id, amount=tender.money("EUR", 4_500))
        print(describe(taken.payment))

        cancelled = client.authorize_payment(
            payer_account_id=shop.customer_account_id,
            merchant_id=shop.merchant_id,
            amount=tender.money("EUR", 2_000),
            capture_method=tender.CAPTURE_METHOD_MANUAL,
        ).payment
        print(describe(client.void_payment(payment_id=cancelled.id).payment))


if __name__ == "__main__":
    main()

"""One order, several parcels: capture part by part, and release what is never sent."""

import tender
from tender.examples.setting import describe, open_shop


def main() -> None:
    with tender.SyncClient.from_env() as client:
        shop = open_shop(client, funds=tender.money("EUR", 10_000))
        payment = client.authorize_payment(
            payer_account_id=shop.customer_account_id,
            merchant_id=shop.merchant_id,
            amount=tender.money("EUR", 9_000),
            capture_method=tender.CAPTURE_METHOD_MANUAL_MULTIPLE,
        ).payment
        print(describe(payment))
        for parcel in (2_500, 3_000):
            answer = client.capture_payment(
                payment_id=payment.id, amount=tender.money("EUR", parcel)
            )
            print(describe(answer.payment))
        try:
            client.capture_payment(payment_id=payment.id, amount=tender.money("EUR", 4_000))
        except tender.PreconditionFailed as refused:
            print(f"refused: {refused.reason}")
        last = client.capture_payment(
            payment_id=payment.id, amount=tender.money("EUR", 1_000), final=True
        )
        print(describe(last.payment))


if __name__ == "__main__":
    main()

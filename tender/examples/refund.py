"""Give captured money back in parts, never more than was captured."""

import tender
from tender.examples.setting import describe, open_shop


def main() -> None:
    with tender.SyncClient.from_env() as client:
        shop = open_shop(client, funds=tender.money("EUR", 10_000))
        payment = client.authorize_payment(
            payer_account_id=shop.customer_account_id,
            merchant_id=shop.merchant_id,
            amount=tender.money("EUR", 4_000),
        ).payment
        print(describe(payment))
        part = client.refund_payment(
            payment_id=payment.id, amount=tender.money("EUR", 1_500), description="broken cup"
        )
        state = tender.Refund.State.Name(part.refund.state)
        print(f"{part.refund.id}  {state}  {tender.money.text(part.refund.amount)}")
        try:
            client.refund_payment(payment_id=payment.id, amount=tender.money("EUR", 3_000))
        except tender.PreconditionFailed as refused:
            print(f"refused: {refused.reason}")
        # Without an amount: all that is left.
        print(describe(client.refund_payment(payment_id=payment.id).payment))
        for refund in client.get_payment(payment_id=payment.id).refunds:
            print(f"{refund.id}  {tender.money.text(refund.amount)}  {refund.description}")


if __name__ == "__main__":
    main()

"""Pay many times at once: a batch with an outcome for each, then commands over one stream."""

from collections import Counter

import tender
from tender import commands
from tender.examples.setting import open_shop

COFFEES = 200


def main() -> None:
    with tender.SyncClient.from_env() as client:
        shop = open_shop(client, funds=tender.money("EUR", 100_000))
        coffees = [
            commands.authorize(
                payer_account_id=shop.customer_account_id,
                merchant_id=shop.merchant_id,
                amount=tender.money("EUR", 300 + number),
            )
            for number in range(COFFEES)
        ]
        outcomes = client.payments.authorize_many(coffees)
        print(Counter(tender.Payment.State.Name(each.result().payment.state) for each in outcomes))
        # Every tenth is sent back. One of them is nobody's: that is its own outcome's error.
        refunds = [commands.refund(payment_id=each.result().payment.id) for each in outcomes[::10]]
        unknown = commands.refund(payment_id="pay_eu_" + "0" * 22, request_id="nobody-s")
        for outcome in client.payments.stream([*refunds, unknown]):
            if outcome.error is not None:
                print(f"refused: {outcome.request_id} {outcome.error.reason}")
        account = client.get_account(account_id=shop.customer_account_id).account
        print(f"left: {tender.money.text(account.available)}")


if __name__ == "__main__":
    main()

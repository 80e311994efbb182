"""The same request_id never moves money twice, however often and from wherever it is sent."""

import asyncio

import tender
from tender.examples.setting import Shop, describe, open_shop

REPEATS = 20


async def pay(client: tender.Client, shop: Shop, cents: int, request_id: str) -> tender.Payment:
    answer = await client.authorize_payment(
        payer_account_id=shop.customer_account_id,
        merchant_id=shop.merchant_id,
        amount=tender.money("EUR", cents),
        request_id=request_id,
    )
    return answer.payment


async def pay_repeatedly(shop: Shop) -> None:
    # From the order's own number: a restarted process comes up with the same one.
    request_id = f"order-1002-{shop.merchant_id}"
    async with tender.Client.from_env(channels=2) as client:
        answers = await asyncio.gather(
            *(pay(client, shop, 1_050, request_id) for _ in range(REPEATS))
        )
        payments = {payment.id: payment for payment in answers}
        print(f"{REPEATS} calls, {len(payments)} payment")
        for payment in payments.values():
            print(describe(payment))
        try:
            await pay(client, shop, 9_900, request_id)
        except tender.RequestIdReused as refused:
            print(f"refused: {refused.reason} {refused.metadata}")
        found = await client.find_payment(merchant_id=shop.merchant_id, request_id=request_id)
        print(f"found by its request_id: {found.payment.id}")


def main() -> None:
    with tender.SyncClient.from_env() as client:
        shop = open_shop(client, funds=tender.money("EUR", 5_000))
    asyncio.run(pay_repeatedly(shop))


if __name__ == "__main__":
    main()

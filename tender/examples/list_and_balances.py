"""Lists page by page and to the end, balances now and at a past moment."""

import datetime
import time

import tender
from tender.examples.setting import describe, open_shop


def main() -> None:
    with tender.SyncClient.from_env() as client:
        shop = open_shop(client, funds=tender.money("BHD", 50_000))
        time.sleep(0.1)
        before = datetime.datetime.now(datetime.UTC)
        time.sleep(0.1)
        for number in range(5):
            client.authorize_payment(
                payer_account_id=shop.customer_account_id,
                merchant_id=shop.merchant_id,
                amount=tender.money("BHD", 1_250 + number),
            )

        page = client.list_payments(merchant_id=shop.merchant_id, page_size=2)
        print(f"first page: {len(page.payments)} payments, more: {bool(page.next_page_token)}")
        for payment in client.iter_payments(merchant_id=shop.merchant_id, page_size=2):
            print(describe(payment))
        for transfer in client.iter_transfers(account_id=shop.account_id):
            reason = tender.Transfer.Reason.Name(transfer.reason)
            print(f"{transfer.id}  {reason}  {tender.money.text(transfer.amount)}")

        account = client.get_account(account_id=shop.account_id).account
        then = client.get_balance_at(account_id=shop.account_id, time=before)
        text = tender.money.text
        print(f"the shop has {text(account.posted)}, and had {text(then.posted)} before")


if __name__ == "__main__":
    main()

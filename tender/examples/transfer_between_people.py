"""One person sends another money; without the funds nothing moves, and the answer says so."""

import tender
from tender.examples.setting import open_customer


def main() -> None:
    with tender.SyncClient.from_env() as client:
        ada = open_customer(client, "ada", tender.money("JPY", 12_000))
        ben = open_customer(client, "ben", tender.money("JPY", 1))
        for amount in (8_000, 8_000):
            transfer = client.create_transfer(
                source_account_id=ada,
                destination_account_id=ben,
                amount=tender.money("JPY", amount),
                description="half of the rent",
            ).transfer
            state = tender.Transfer.State.Name(transfer.state)
            reason = tender.DeclineReason.Name(transfer.decline_reason)
            print(transfer.id, state, reason if transfer.decline_reason else "")
        for account_id in (ada, ben):
            account = client.get_account(account_id=account_id).account
            print(f"{account.user_id} has {tender.money.text(account.available)}")


if __name__ == "__main__":
    main()

"""What a command needs in memory. That it is complete, the strict ledger shows in every test."""

import pytest

from processor.domain import commands, needs
from processor.domain.accounts import Kind
from processor.domain.view import Item
from tests.domain.ledger import PLACE
from tests.domain.shop import AUTOMATIC, OPERATOR, SERVICE, TENANT, Shop


def test_the_accounts_of_a_payment_show_once_the_payment_is_there() -> None:
    shop = Shop()
    payment = shop.authorize()
    command = commands.Capture(SERVICE, "capture", payment.id, None, "EUR", False)

    first, second = shop.ledger.rounds(command)

    assert first == {Item("key", "capture", TENANT), Item("payment", payment.id)}
    assert second == {
        Item("account", shop.payer_id),
        Item("account", shop.settlement_id),
        Item("account", shop.own_id(Kind.FEES)),
    }


def test_a_due_hold_s_payment_is_needed_with_its_account() -> None:
    shop = Shop()
    payment = shop.authorize(hold_seconds=60)
    shop.wait(60)
    command = commands.CreateTransfer(OPERATOR, "pay", shop.payer_id, "world", 1, "EUR", "")

    _, second = shop.ledger.rounds(command)

    assert second == {Item("payment", payment.id)}


def test_an_alias_needs_the_tenant_s_own_account() -> None:
    shop = Shop()
    command = commands.CreateTransfer(OPERATOR, "pay", "world", shop.payer_id, 1, "EUR", "")

    needed = set(needs.needed(command, shop.ledger, PLACE))

    assert Item("account", shop.own_id(Kind.WORLD)) in needed


def test_request_keys_to_delete_are_needed() -> None:
    shop = Shop()
    command = commands.DeleteRequestKeys(((TENANT, "old"),))

    assert list(needs.needed(command, shop.ledger, PLACE)) == [Item("key", "old", TENANT)]


def test_a_reversal_of_another_kind_of_call_needs_no_payment() -> None:
    shop = Shop()
    shop.capture(shop.authorize())
    captured = list(shop.ledger.keys)[-1][1]
    command = commands.Reverse(SERVICE, "undo", captured, shop.payer_id, shop.merchant_id)

    needed = {item.kind for round_ in shop.ledger.rounds(command) for item in round_}

    assert "payment" not in needed


def test_commands_on_one_payment_keep_their_order() -> None:
    shop = Shop()
    payment = shop.authorize()
    asked: list[commands.CallerCommand] = [
        commands.Capture(SERVICE, "1", payment.id, None, "EUR", False),
        commands.Void(SERVICE, "2", payment.id),
        commands.RefundPayment(SERVICE, "3", payment.id, None, "EUR", ""),
    ]

    assert {command.order_key for command in asked} == {payment.id}


def test_a_reversal_keeps_its_order_with_its_original() -> None:
    shop = Shop()
    original = commands.Authorize(
        SERVICE, "1", shop.payer_id, shop.merchant_id, 1, "EUR", AUTOMATIC, 0, "", "", False
    )
    reversal = commands.Reverse(SERVICE, "2", "1", shop.payer_id, shop.merchant_id)

    assert original.order_key == reversal.order_key


@pytest.mark.parametrize("alias", ["world", "fees"])
def test_transfers_from_an_alias_do_not_wait_for_each_other(alias: str) -> None:
    one, other = (
        commands.CreateTransfer(OPERATOR, account_id, alias, account_id, 1, "EUR", "")
        for account_id in ("acc_eu_one", "acc_eu_other")
    )

    assert one.order_key != other.order_key

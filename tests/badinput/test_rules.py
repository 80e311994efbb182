"""Requests that are well-formed and still must not be carried out."""

from typing import Any

import pytest

from tender.v1 import account_pb2, merchant_pb2, payment_pb2
from tests.badinput import requests, wire
from tests.badinput.conftest import Books
from tests.badinput.wire import Refusal, Wire
from tests.badinput.world import World, money, unique

LIMIT = 1 << 62
RICH = "acc_eu_0000000000000000000001"
PUT_A_RICH_ACCOUNT = """
INSERT INTO accounts (id, tenant_id, user_id, kind, currency, state, posted, held, floor, version,
                      created_at, updated_at, last_transfer_id, last_payment_id)
VALUES ($1, 'dev', 'rich', 'CONSUMER_WALLET', 'EUR', 'OPEN', $2, 0, 0, 1, now(), now(), '', '')
ON CONFLICT DO NOTHING
"""

nothing_changes = pytest.mark.usefixtures("unchanged")


def capture(payment_id: str, amount: int = 0) -> payment_pb2.CapturePaymentRequest:
    return payment_pb2.CapturePaymentRequest(
        request_id=unique(), payment_id=payment_id, amount=money(amount) if amount else None
    )


def void(payment_id: str) -> payment_pb2.VoidPaymentRequest:
    return payment_pb2.VoidPaymentRequest(request_id=unique(), payment_id=payment_id)


def refund(payment_id: str, amount: int = 0) -> payment_pb2.RefundPaymentRequest:
    return payment_pb2.RefundPaymentRequest(
        request_id=unique(), payment_id=payment_id, amount=money(amount) if amount else None
    )


def failed_precondition(refused: Refusal, reason: str) -> None:
    assert refused.brief == ("FAILED_PRECONDITION", reason)


@nothing_changes
async def test_payer_and_merchant_account_may_not_be_the_same(wire: Wire, world: World) -> None:
    own = requests.authorize(world, payer_account_id=world.shop_wallet)
    self_transfer = requests.transfer(world, destination_account_id=world.payer)

    for request in (own, self_transfer):
        assert (await wire.refused(request)).brief == ("INVALID_ARGUMENT", "ACCOUNTS_EQUAL")


@nothing_changes
@pytest.mark.parametrize("state", ["frozen", "closed"])
async def test_money_neither_leaves_nor_reaches_a_frozen_or_closed_account(
    state: str, wire: Wire, world: World
) -> None:
    account_id = getattr(world, state)

    for request in (
        requests.authorize(world, payer_account_id=account_id),
        requests.transfer(world, source_account_id=account_id),
        requests.transfer(world, destination_account_id=account_id),
        requests.transfer(world, source_account_id="world", destination_account_id=account_id),
    ):
        failed_precondition(await wire.refused(request), f"ACCOUNT_{state.upper()}")


@nothing_changes
@pytest.mark.parametrize(
    ("request_type", "account"),
    [
        (account_pb2.FreezeAccountRequest, "frozen"),
        (account_pb2.FreezeAccountRequest, "closed"),
        (account_pb2.UnfreezeAccountRequest, "payer"),
        (account_pb2.UnfreezeAccountRequest, "closed"),
        (account_pb2.CloseAccountRequest, "frozen"),
        (account_pb2.CloseAccountRequest, "closed"),
    ],
)
async def test_an_account_takes_no_step_that_its_state_does_not_allow(
    request_type: type[Any], account: str, wire: Wire, world: World
) -> None:
    account_id = getattr(world, account)

    refused = await wire.refused(request_type(request_id=unique(), account_id=account_id))

    failed_precondition(refused, "ACCOUNT_STATE")
    assert refused.metadata["state"] == {"payer": "OPEN"}.get(account, account.upper())


@nothing_changes
async def test_an_account_with_money_is_not_closed(wire: Wire, world: World) -> None:
    close = account_pb2.CloseAccountRequest(request_id=unique(), account_id=world.second)

    failed_precondition(await wire.refused(close), "ACCOUNT_NOT_EMPTY")


@nothing_changes
async def test_a_merchant_that_takes_no_payments_gets_none(wire: Wire, world: World) -> None:
    suspended = requests.authorize(world, merchant_id=world.suspended)
    without_terms = requests.authorize(world, payer_account_id=world.yen, amount=money(100, "JPY"))

    failed_precondition(await wire.refused(suspended), "MERCHANT_SUSPENDED")
    failed_precondition(await wire.refused(without_terms), "SETTLEMENT_ACCOUNT_MISSING")


@nothing_changes
async def test_terms_name_only_merchant_wallets_of_their_currency(wire: Wire, world: World) -> None:
    def with_terms(account_id: str, currency: str = "EUR") -> merchant_pb2.UpdateMerchantRequest:
        term = merchant_pb2.SettlementTerms(currency_code=currency, account_id=account_id)
        return requests.update(world, "settlement_terms", settlement_terms=[term])

    consumer = await wire.refused(with_terms(world.payer))
    currency = await wire.refused(with_terms(world.shop_wallet, "USD"))

    assert consumer.brief == ("NOT_FOUND", "ACCOUNT_UNKNOWN")
    assert currency.brief == ("INVALID_ARGUMENT", "CURRENCY_MISMATCH")


@nothing_changes
async def test_a_reference_that_is_taken_is_refused(wire: Wire, world: World) -> None:
    again = merchant_pb2.CreateMerchantRequest(request_id=unique(), reference="shop")

    refused = await wire.refused(again)

    assert refused.brief == ("ALREADY_EXISTS", "MERCHANT_REFERENCE_TAKEN")


async def test_a_payment_without_funds_is_declined_and_moves_nothing(
    wire: Wire, world: World, books: Books
) -> None:
    before = await books.read()

    answer = await wire.ask(requests.authorize(world, payer_account_id=world.poor))
    transfer = await wire.ask(requests.transfer(world, source_account_id=world.poor))

    assert answer.payment.state == payment_pb2.Payment.STATE_DECLINED
    assert answer.payment.decline_reason == payment_pb2.DECLINE_REASON_INSUFFICIENT_FUNDS
    assert transfer.transfer.state == account_pb2.Transfer.STATE_DECLINED
    after = await books.read()
    assert (after["accounts"], after["transfers"]) == (before["accounts"], before["transfers"])


@nothing_changes
async def test_a_capture_above_what_is_capturable_is_refused(wire: Wire, world: World) -> None:
    refused = await wire.refused(capture(world.authorized, 1_001))

    failed_precondition(refused, "CAPTURE_EXCEEDS_CAPTURABLE")
    assert refused.metadata["state"] == "AUTHORIZED"


@nothing_changes
async def test_a_refund_above_what_is_captured_is_refused(wire: Wire, world: World) -> None:
    refused = await wire.refused(refund(world.captured, 1_001))

    failed_precondition(refused, "REFUND_EXCEEDS_CAPTURED")
    assert refused.metadata["state"] == "CAPTURED"


@nothing_changes
@pytest.mark.parametrize(
    ("step", "payment"),
    [
        (capture, "captured"),
        (capture, "voided"),
        (capture, "declined"),
        (void, "captured"),
        (void, "voided"),
        (void, "declined"),
        (refund, "authorized"),
        (refund, "voided"),
        (refund, "declined"),
    ],
)
async def test_a_payment_takes_no_step_that_its_state_does_not_allow(
    step: Any, payment: str, wire: Wire, world: World
) -> None:
    refused = await wire.refused(step(getattr(world, payment)))

    failed_precondition(refused, "PAYMENT_STATE")
    assert refused.metadata["state"] == payment.upper()


@nothing_changes
async def test_only_a_payment_is_reversed(wire: Wire, world: World) -> None:
    stranger = payment_pb2.ReversePaymentRequest(
        request_id=unique(),
        original_request_id=world.paid_request,
        payer_account_id=world.second,
        merchant_id=world.shop,
    )

    refused = await wire.refused(stranger)

    assert refused.brief == ("NOT_FOUND", "PAYMENT_UNKNOWN")


@nothing_changes
@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"amount": money(999)}, {"amount.minor_units"}),
        ({"description": "other"}, {"description"}),
        ({"metadata": {"a": "b"}}, {"metadata"}),
        ({"capture_method": payment_pb2.CAPTURE_METHOD_MANUAL}, {"capture_method"}),
        ({"amount": money(1, "USD")}, {"amount.minor_units", "amount.currency_code"}),
    ],
    ids=["amount", "description", "metadata", "capture_method", "currency"],
)
async def test_a_request_id_used_for_another_request_is_refused_naming_the_fields(
    changes: dict[str, Any], fields: set[str], wire: Wire, world: World
) -> None:
    request = requests.authorize(world, **{"request_id": world.paid_request} | changes)

    refused = await wire.refused(request)

    assert refused.brief == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    assert set(refused.metadata["fields"].split(",")) == fields


@nothing_changes
@pytest.mark.parametrize(
    "method", [name for name in wire.PATHS if not wire.is_read(name) and name[:4] != "Auth"]
)
async def test_a_request_id_used_for_another_method_is_refused(
    method: str, wire: Wire, world: World
) -> None:
    request = requests.valid(method, world)
    requests.put(request, "request_id", world.paid_request)

    refused = await wire.refused(request)

    assert refused.brief == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    assert refused.metadata["fields"] == "method"


async def test_no_balance_passes_its_limit(wire: Wire, world: World, books: Books) -> None:
    """So much money cannot be paid in by a test: its owner puts it into the database."""
    await (await books.connection()).execute(PUT_A_RICH_ACCOUNT, RICH, LIMIT - 5)
    before = await books.read()

    refused = await wire.refused(requests.transfer(world, destination_account_id=RICH))

    failed_precondition(refused, "BALANCE_LIMIT")
    assert await books.read() == before

"""Lists, page by page, and balances in the past."""

import contextlib

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from processor import pages
from processor.domain import refusals
from processor.domain.accounts import Kind
from processor.domain.commands import Principal
from storage.postgres.chains import SCAN_MAX
from tender.v1 import (
    account_pb2,
    payment_pb2,
)
from tests.domain.shop import SERVICE, STRANGER
from tests.storage.office import Office, fill_payments, moment


@pytest.mark.parametrize("filtered", ["", "merchant", "payer", "both"])
@pytest.mark.parametrize("page_size", [1, 3, 7, 8])
async def test_pages_together_are_the_list(office: Office, filtered: str, page_size: int) -> None:
    shop = office.shop
    bob_id = shop.open("bob", floor=-1_000).id
    bar_id = shop.create_merchant("bar", shop.terms()).id
    for number in range(14):
        shop.authorize(
            1,
            payer_id=bob_id if number % 2 else "",
            merchant_id=bar_id if number % 7 > 3 else "",
        )
    await office.save()
    merchant_id = bar_id if filtered in ("merchant", "both") else ""
    payer_id = bob_id if filtered in ("payer", "both") else ""
    expected = [
        payment.id
        for payment in reversed(shop.ledger.payments.values())
        if merchant_id in ("", payment.merchant_id) and payer_id in ("", payment.payer_account_id)
    ]

    found = await office.all_payments(
        payment_pb2.ListPaymentsRequest(
            merchant_id=merchant_id, payer_account_id=payer_id, page_size=page_size
        )
    )

    assert found == expected


async def test_transfers_page_over_both_sides_of_an_account(office: Office) -> None:
    shop = office.shop
    for number in range(9):
        shop.top_up(5) if number % 3 else shop.transfer(shop.payer_id, "world", 2)
    await office.save()
    request = account_pb2.ListTransfersRequest(account_id=shop.payer_id, page_size=4)
    found: list[str] = []

    while True:
        answer = await office.read(request)
        page = account_pb2.ListTransfersResponse.FromString(answer.response)
        found += [transfer.id for transfer in page.transfers]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token

    assert found == [transfer.id for transfer in reversed(shop.ledger.transfers)]


async def test_a_page_has_fifty_rows_unless_asked_otherwise_and_never_over_two_hundred(
    office: Office,
) -> None:
    shop = office.shop
    for _ in range(51):
        shop.authorize(1)
    await office.save()

    page = await office.payments(payment_pb2.ListPaymentsRequest())
    refusals = [
        await office.refusal(payment_pb2.ListPaymentsRequest(page_size=size)) for size in (-1, 201)
    ]

    assert len(page.payments) == 50
    assert {refusal.field_problems[0].field for refusal in refusals} == {"page_size"}


async def test_a_page_token_is_good_only_for_its_own_list_and_filters(office: Office) -> None:
    shop = office.shop
    for _ in range(2):
        shop.authorize(1)
    await office.save()
    page = await office.payments(payment_pb2.ListPaymentsRequest(page_size=1))
    token = page.next_page_token

    asked: list[tuple[Message, Principal]] = [
        (
            payment_pb2.ListPaymentsRequest(page_token=token, merchant_id=shop.merchant_id),
            SERVICE,
        ),
        (payment_pb2.ListPaymentsRequest(page_token=token), STRANGER),
        (account_pb2.ListAccountsRequest(page_token=token), SERVICE),
    ]

    for request, principal in asked:
        assert (await office.refusal(request, principal)).reason == "PAGE_TOKEN_INVALID"


@pytest.mark.parametrize(
    "token", ["x", "!!!!", "AAAAAAAAAAA", "é", "\x00", "A" * 10_000, "=", "AAAA=AAA"]
)
async def test_garbage_for_a_page_token_is_refused(office: Office, token: str) -> None:
    refusal = await office.refusal(payment_pb2.ListPaymentsRequest(page_token=token))

    assert refusal.reason == "PAGE_TOKEN_INVALID"


@given(st.text(max_size=300))
def test_any_text_is_a_page_token_or_refused(token: str) -> None:
    with contextlib.suppress(refusals.PageTokenInvalid):
        assert pages.before(token, "payments") == pages.FIRST


@given(st.from_regex(r"[a-z]{3}_[a-z0-9_]{1,40}", fullmatch=True))
def test_a_page_token_leads_back_to_its_id(identifier: str) -> None:
    assert pages.before(pages.token(identifier, "a", "b"), "a", "b") == identifier


async def test_a_bounded_scan_goes_on_with_the_next_page(office: Office) -> None:
    shop = office.shop
    own = [shop.authorize(1).id for _ in range(3)]
    await office.save()
    await fill_payments(office, SCAN_MAX * 2, tenant_id="other")

    first = await office.payments(payment_pb2.ListPaymentsRequest())
    found = await office.all_payments(payment_pb2.ListPaymentsRequest())

    assert (len(first.payments), bool(first.next_page_token)) == (0, True)
    assert found == own[::-1]


async def test_a_past_balance_is_the_fold_of_the_transfers_up_to_the_microsecond(
    office: Office,
) -> None:
    shop = office.shop
    opened_at = shop.payer.created_at
    for step in (1, 300, 699, 1_000, 1, 5_000, 999, 2):
        shop.ledger.now += step
        shop.top_up(step)
        shop.transfer(shop.payer_id, shop.settlement_id, 1)
    await office.save()
    times = {
        transfer.created_at + offset
        for transfer in shop.ledger.transfers
        for offset in (-1_000, -1, 0, 1, 1_000)
    }

    for time_us in sorted(time_us for time_us in times if time_us >= opened_at):
        folded = sum(
            transfer.amount * (1 if transfer.credit_account_id == shop.payer_id else -1)
            for transfer in shop.ledger.transfers
            if transfer.created_at <= time_us
        )
        assert await office.balance_at(shop.payer_id, time_us) == folded
        assert await office.balance_at(shop.payer_id, time_us, nanos=999) == folded


async def test_an_account_without_transfers_had_nothing(office: Office) -> None:
    account = office.shop.open("bob")
    await office.save()

    assert await office.balance_at(account.id, account.created_at) == 0


async def test_a_past_balance_of_the_world_is_found_too(office: Office) -> None:
    shop = office.shop
    await office.save()

    assert await office.balance_at(shop.own_id(Kind.WORLD), shop.ledger.now) == -10_000


@pytest.mark.parametrize("time_us", [-1, 0, -62_135_596_800_000_000])
async def test_there_is_no_history_before_the_account_was_opened(
    office: Office, time_us: int
) -> None:
    shop = office.shop
    await office.save()
    before = time_us if time_us < -1 else shop.payer.created_at - 1 if time_us else 0

    refusal = await office.refusal(
        account_pb2.GetBalanceAtRequest(account_id=shop.payer_id, time=moment(before))
    )

    assert refusal.reason == "HISTORY_MISSING"


async def test_there_is_no_balance_of_the_future(office: Office) -> None:
    shop = office.shop
    await office.save()
    times = {"second": 1_000_000, "too late": 1_000_001, "for ever": 250_000_000_000_000_000}

    results = {
        name: await office.read(
            account_pb2.GetBalanceAtRequest(
                account_id=shop.payer_id, time=moment(shop.ledger.now + ahead)
            ),
            seconds_later=0,
        )
        for name, ahead in times.items()
    }

    assert results["second"].WhichOneof("result") == "response"
    for name in ("too late", "for ever"):
        assert results[name].refusal.reason == "FIELD_INVALID"
        assert results[name].refusal.field_problems[0].field == "time"

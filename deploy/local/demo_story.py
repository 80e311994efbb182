"""The story of the demo: what a merchant and three customers live through in a minute."""

import contextlib
from dataclasses import dataclass

import tender
from deploy.local.commands import output
from deploy.local.demo_pages import Narrator

FEE_BASIS_POINTS = 140
FEE_FIXED = {"EUR": 5, "JPY": 10, "BHD": 20}
TOP_UPS = {"EUR": 10_000, "JPY": 20_000, "BHD": 50_000}
CUSTOMERS = {"EUR": "ada", "JPY": "kenji", "BHD": "layla"}
# Far too short for a call to be answered: the terminal is gone before the answer comes.
TERMINAL_TIMEOUT = 0.0005

money = tender.money


@dataclass(frozen=True)
class Cast:
    """Who takes part, by currency where there is one of each."""

    merchant_id: str
    shop_accounts: dict[str, str]
    customer_accounts: dict[str, str]


async def tell(client: tender.Client, narrator: Narrator) -> Cast:
    """All scenes but the burst."""
    cast = await open_shop(client, narrator)
    await top_up(client, narrator, cast)
    await hold_capture_refund(client, narrator, cast)
    await capture_in_parts(client, narrator, cast)
    await hold_and_void(client, narrator, cast)
    await decline(client, narrator, cast)
    await repeat(client, narrator, cast)
    await hang_up(client, narrator, cast)
    return cast


async def balance(client: tender.Client, account_id: str) -> tender.Account:
    return (await client.get_account(account_id=account_id)).account


async def open_shop(client: tender.Client, narrator: Narrator) -> Cast:
    narrator.scene("A merchant opens a wallet per currency, and customers open theirs")
    shop = {
        currency: await _open(client, narrator, "bazaar", currency, True) for currency in TOP_UPS
    }
    customers = {
        currency: await _open(client, narrator, name, currency, False)
        for currency, name in CUSTOMERS.items()
    }
    terms = [
        tender.SettlementTerms(
            currency_code=currency,
            account_id=shop[currency],
            fee_schedule=tender.FeeSchedule(
                basis_points=FEE_BASIS_POINTS,
                fixed_minor_units=FEE_FIXED[currency],
                refund_policy=tender.FEE_REFUND_POLICY_RETURN,
            ),
        )
        for currency in shop
    ]
    answer = await narrator.call(
        client.create_merchant,
        reference="bazaar",
        display_name="The Bazaar",
        settlement_terms=terms,
    )
    return Cast(answer.merchant.id, shop, customers)


async def _open(
    client: tender.Client, narrator: Narrator, user_id: str, currency: str, merchant: bool
) -> str:
    account = tender.Account
    answer = await narrator.call(
        client.create_account,
        user_id=user_id,
        currency_code=currency,
        kind=account.KIND_MERCHANT_WALLET if merchant else account.KIND_CONSUMER_WALLET,
    )
    return answer.account.id


async def top_up(client: tender.Client, narrator: Narrator, cast: Cast) -> None:
    narrator.scene("Money enters from the world: euros, yen without decimals, dinars with three")
    for currency, minor_units in TOP_UPS.items():
        await narrator.call(
            client.create_transfer,
            source_account_id="world",
            destination_account_id=cast.customer_accounts[currency],
            amount=money(currency, minor_units),
        )
        account = await balance(client, cast.customer_accounts[currency])
        narrator.expect(
            f"{CUSTOMERS[currency]} has {output.money(account.available)}",
            account.available.minor_units == minor_units,
        )


async def hold_capture_refund(client: tender.Client, narrator: Narrator, cast: Cast) -> None:
    narrator.scene("Authorize 60.00 EUR, capture 45.00 of it, refund 12.50")
    ada = cast.customer_accounts["EUR"]
    held = await narrator.call(
        client.authorize_payment,
        payer_account_id=ada,
        merchant_id=cast.merchant_id,
        amount=money.parse("60.00 EUR"),
        capture_method=tender.CAPTURE_METHOD_MANUAL,
    )
    account = await balance(client, ada)
    narrator.expect(
        "60.00 EUR of ada's 100.00 are held, 40.00 are left to spend",
        (account.held.minor_units, account.available.minor_units) == (6_000, 4_000),
    )
    await narrator.call(
        client.capture_payment, payment_id=held.payment.id, amount=money.parse("45.00 EUR")
    )
    account = await balance(client, ada)
    narrator.expect(
        "the 15.00 EUR that were not captured are free again",
        (account.held.minor_units, account.available.minor_units) == (0, 5_500),
    )
    await narrator.call(
        client.refund_payment, payment_id=held.payment.id, amount=money.parse("12.50 EUR")
    )
    account = await balance(client, ada)
    narrator.expect("ada has 67.50 EUR", account.available.minor_units == 6_750)


async def capture_in_parts(client: tender.Client, narrator: Narrator, cast: Cast) -> None:
    narrator.scene("Three decimals: 30.000 BHD captured in two parcels, the rest released")
    layla = cast.customer_accounts["BHD"]
    held = await narrator.call(
        client.authorize_payment,
        payer_account_id=layla,
        merchant_id=cast.merchant_id,
        amount=money.parse("30.000 BHD"),
        capture_method=tender.CAPTURE_METHOD_MANUAL_MULTIPLE,
    )
    payment_id = held.payment.id
    await narrator.call(
        client.capture_payment, payment_id=payment_id, amount=money.parse("10.250 BHD")
    )
    last = await narrator.call(
        client.capture_payment,
        payment_id=payment_id,
        amount=money.parse("5.005 BHD"),
        final=True,
    )
    whole = fee(15_255, "BHD")
    narrator.expect(
        f"the fees of both parts are the fee of the whole, {output.money(money('BHD', whole))}",
        last.payment.fee.minor_units == whole,
    )
    account = await balance(client, layla)
    narrator.expect("layla has 34.745 BHD", account.available.minor_units == 34_745)


async def hold_and_void(client: tender.Client, narrator: Narrator, cast: Cast) -> None:
    narrator.scene("No decimals: 8000 JPY held, then voided")
    kenji = cast.customer_accounts["JPY"]
    held = await narrator.call(
        client.authorize_payment,
        payer_account_id=kenji,
        merchant_id=cast.merchant_id,
        amount=money.parse("8000 JPY"),
        capture_method=tender.CAPTURE_METHOD_MANUAL,
    )
    await narrator.call(client.void_payment, payment_id=held.payment.id)
    account = await balance(client, kenji)
    narrator.expect("kenji has all his 20000 JPY", account.available.minor_units == 20_000)


async def decline(client: tender.Client, narrator: Narrator, cast: Cast) -> None:
    narrator.scene("Not enough money: a decline is an answer, not an error")
    answer = await narrator.call(
        client.authorize_payment,
        payer_account_id=cast.customer_accounts["JPY"],
        merchant_id=cast.merchant_id,
        amount=money.parse("1000000 JPY"),
    )
    narrator.expect(
        "declined for INSUFFICIENT_FUNDS",
        answer.payment.state == tender.Payment.STATE_DECLINED
        and tender.DeclineReason.Name(answer.payment.decline_reason).endswith("INSUFFICIENT_FUNDS"),
    )


async def repeat(client: tender.Client, narrator: Narrator, cast: Cast) -> None:
    narrator.scene("The same request twice pays once; the same id with another amount is refused")
    ada = cast.customer_accounts["EUR"]

    async def pay(amount: str) -> tender.Payment:
        answer = await narrator.call(
            client.authorize_payment,
            payer_account_id=ada,
            merchant_id=cast.merchant_id,
            amount=money.parse(amount),
            request_id="order-1002",
        )
        return answer.payment

    first, second = await pay("10.50 EUR"), await pay("10.50 EUR")
    account = await balance(client, ada)
    narrator.expect("both answers are the same payment", first == second)
    narrator.expect("ada paid once and has 57.00 EUR", account.available.minor_units == 5_700)
    refusal = None
    try:
        await pay("99.00 EUR")
    except tender.RequestIdReused as refused:
        refusal = refused
    narrator.expect("REQUEST_ID_REUSED, naming the field that differs", refusal is not None)


async def hang_up(client: tender.Client, narrator: Narrator, cast: Cast) -> None:
    narrator.scene("A terminal hangs up before the answer comes, and reverses by its request_id")
    ada = cast.customer_accounts["EUR"]
    request_id = "till-7-000042"
    with contextlib.suppress(tender.OutcomeUnknown):
        await narrator.call(
            client.authorize_payment,
            payer_account_id=ada,
            merchant_id=cast.merchant_id,
            amount=money.parse("20.00 EUR"),
            request_id=request_id,
            timeout=TERMINAL_TIMEOUT,
        )
    reversal = await narrator.call(
        client.reverse_payment,
        original_request_id=request_id,
        payer_account_id=ada,
        merchant_id=cast.merchant_id,
    )
    kind = tender.ReversePaymentResponse
    known = (kind.RESULT_NOT_ARRIVED, kind.RESULT_REFUNDED, kind.RESULT_NOTHING_TO_REVERSE)
    narrator.expect("the reversal knows what became of it", reversal.result in known)
    narrator.say("[dim]the terminal's own retry arrives late after all:[/]")
    late = await narrator.call(
        client.authorize_payment,
        payer_account_id=ada,
        merchant_id=cast.merchant_id,
        amount=money.parse("20.00 EUR"),
        request_id=request_id,
    )
    if reversal.result == kind.RESULT_NOT_ARRIVED:
        declined = late.payment.state == tender.Payment.STATE_DECLINED
        narrator.expect("it is declined, because it was reversed", declined)
    else:
        narrator.expect("it moves nothing again", bool(late.payment.id))
    account = await balance(client, ada)
    narrator.expect("ada still has 57.00 EUR", account.available.minor_units == 5_700)


def fee(captured: int, currency: str) -> int:
    """What the merchant pays for captures in total, by the contract's rule: rounded half up."""
    return min(captured, (captured * FEE_BASIS_POINTS + 5_000) // 10_000 + FEE_FIXED[currency])

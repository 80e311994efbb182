"""The burst of the demo: 200 customers pay 5,000 times at one coffee shop, 256 at once."""

import asyncio
import gc
import time
from collections.abc import Iterator
from dataclasses import dataclass

import tender
from deploy.local import demo_story
from tender.client import TIMEOUT_DEFAULT

PAYMENTS = 5_000
CUSTOMERS = 200
IN_FLIGHT = 256
# Setting up is not measured; it only must not flood the queue.
SETUP_IN_FLIGHT = 64
FUNDS = 100_000
# Prices of a coffee shop, in cents: from 2.20 to 9.10 EUR.
PRICE_MIN, PRICES = 220, 691
# What two free cores do at least; a busy machine is no reason for the demo to fail.
RATE_AIM = 1_500
TIMEOUT = 3 * TIMEOUT_DEFAULT

STATE_CAPTURED = tender.Payment.STATE_CAPTURED


@dataclass(frozen=True)
class Shop:
    """The coffee shop and its customers' accounts."""

    merchant_id: str
    account_id: str
    customers: list[str]


@dataclass(frozen=True)
class Result:
    """What the burst measured; amounts in cents."""

    payments: int
    errors: int
    seconds: float
    payments_per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    balance: int
    balance_expected: int
    first_error: str


async def open_shop(client: tender.Client) -> Shop:
    """A merchant with a fee, and 200 customers with 1,000.00 EUR each."""
    wallet = await client.create_account(
        user_id="coffee", currency_code="EUR", kind=tender.Account.KIND_MERCHANT_WALLET
    )
    terms = tender.SettlementTerms(
        currency_code="EUR",
        account_id=wallet.account.id,
        fee_schedule=tender.FeeSchedule(
            basis_points=demo_story.FEE_BASIS_POINTS,
            fixed_minor_units=demo_story.FEE_FIXED["EUR"],
        ),
    )
    merchant = await client.create_merchant(
        reference="coffee", display_name="Corner Coffee", settlement_terms=[terms]
    )
    gate = asyncio.Semaphore(SETUP_IN_FLIGHT)

    async def open_customer(number: int) -> str:
        async with gate:
            opened = await client.create_account(user_id=f"guest-{number}", currency_code="EUR")
            await client.create_transfer(
                source_account_id="world",
                destination_account_id=opened.account.id,
                amount=tender.money("EUR", FUNDS),
            )
        return opened.account.id

    customers = await asyncio.gather(*map(open_customer, range(CUSTOMERS)))
    return Shop(merchant.merchant.id, wallet.account.id, customers)


def price(number: int) -> int:
    """Spread over all prices, the same in every run."""
    return PRICE_MIN + number * 97 % PRICES


async def run(client: tender.Client, shop: Shop) -> Result:
    """Pays, 256 calls at a time, and compares what the shop got with what it must have got."""
    latencies: list[float] = []
    errors: list[str] = []
    numbers = iter(range(PAYMENTS))
    gc.collect()
    gc.freeze()
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(_pay(client, shop, numbers, latencies, errors))
    seconds = time.perf_counter() - started
    gc.unfreeze()
    account = (await client.get_account(account_id=shop.account_id)).account
    prices = [price(number) for number in range(PAYMENTS)]
    ordered = sorted(latencies)
    return Result(
        payments=len(latencies),
        errors=len(errors),
        seconds=seconds,
        payments_per_second=len(latencies) / seconds,
        p50_ms=_percentile(ordered, 0.50),
        p99_ms=_percentile(ordered, 0.99),
        max_ms=_percentile(ordered, 1.0),
        balance=account.posted.minor_units,
        balance_expected=sum(prices) - sum(demo_story.fee(each, "EUR") for each in prices),
        first_error=errors[0] if errors else "",
    )


async def _pay(
    client: tender.Client,
    shop: Shop,
    numbers: Iterator[int],
    latencies: list[float],
    errors: list[str],
) -> None:
    """One of those that pay at the same time; they share the numbers."""
    authorize, customers, clock = client.authorize_payment, shop.customers, time.perf_counter
    for number in numbers:
        amount = tender.Money(currency_code="EUR", minor_units=price(number))
        started = clock()
        try:
            answer = await authorize(
                payer_account_id=customers[number % CUSTOMERS],
                merchant_id=shop.merchant_id,
                amount=amount,
                timeout=TIMEOUT,
            )
        except tender.TenderError as error:
            errors.append(str(error))
            continue
        latencies.append(clock() - started)
        if answer.payment.state != STATE_CAPTURED:
            errors.append(tender.Payment.State.Name(answer.payment.state))


def _percentile(ordered: list[float], share: float) -> float:
    """In milliseconds; 0 when nothing was measured."""
    if not ordered:
        return 0.0
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1_000

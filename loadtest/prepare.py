"""Opens the accounts and merchants of a load through the SDK, as their owner would."""

import asyncio
from collections.abc import Awaitable, Callable

import tender
from loadtest.world import World

CURRENCY = "EUR"
MERCHANTS = 20
# More than any run can spend, so that no payment is declined.
FUNDS = 1_000_000_000_000
FEE_BASIS_POINTS, FEE_FIXED = 140, 5
# Setting up is not measured; it only must not flood a queue.
IN_FLIGHT = 64
CHANNELS = 2
CALL_SECONDS_MAX = 30.0


async def prepare(target: str, api_key: str, accounts: int, *, insecure: bool = False) -> World:
    """Make new accounts with money and new merchants with a fee; raises what the SDK raises."""
    run = tender.new_request_id()
    async with tender.Client(
        target, api_key, insecure=insecure, channels=CHANNELS, timeout=CALL_SECONDS_MAX
    ) as client:

        async def open_merchant(number: int) -> str:
            return await _open_merchant(client, f"{run}-shop-{number}")

        async def open_account(number: int) -> str:
            return await _open_account(client, f"{run}-{number}")

        merchants = await _each(MERCHANTS, open_merchant)
        return World(CURRENCY, tuple(await _each(accounts, open_account)), tuple(merchants))


async def _each(count: int, make: Callable[[int], Awaitable[str]]) -> list[str]:
    """Make so many, IN_FLIGHT at a time, in order."""
    made = [""] * count
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            made[number] = await make(number)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(IN_FLIGHT, count)):
                group.create_task(work())
    except* tender.TenderError as refused:
        raise refused.exceptions[0] from None
    return made


async def _open_merchant(client: tender.Client, name: str) -> str:
    wallet = await client.create_account(
        user_id=name, currency_code=CURRENCY, kind=tender.Account.KIND_MERCHANT_WALLET
    )
    terms = tender.SettlementTerms(
        currency_code=CURRENCY,
        account_id=wallet.account.id,
        fee_schedule=tender.FeeSchedule(basis_points=FEE_BASIS_POINTS, fixed_minor_units=FEE_FIXED),
    )
    made = await client.create_merchant(
        reference=name, display_name="Load test", settlement_terms=[terms]
    )
    return made.merchant.id


async def _open_account(client: tender.Client, name: str) -> str:
    opened = await client.create_account(user_id=name, currency_code=CURRENCY)
    await client.create_transfer(
        source_account_id="world",
        destination_account_id=opened.account.id,
        amount=tender.money(CURRENCY, FUNDS),
    )
    return opened.account.id

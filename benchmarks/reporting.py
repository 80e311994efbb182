"""Times a rebuild of the reports: `python -m benchmarks.reporting [--payments 1000000]`.

Payments go through real lanes, some of them are refunded; then the journal is archived, the reports
are made anew from it, and compared with the ledger to the cent.
"""

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import tender
from benchmarks.shards import filling
from deploy.local import rebuilding
from deploy.local.stack import Stack, StackOptions
from tender import accounts, commands, merchants
from tender.v1 import payment_pb2

PAYMENTS: Final = 1_000_000
PAYERS: Final = 1_000
MERCHANTS: Final = 50
FUNDS: Final = 10**12
REFUND_SHARE: Final = 0.05
CALL_PAYMENTS: Final = 1_000
CALLS: Final = 4
"""In flight."""
CALL_SECONDS_MAX: Final = 60.0
WAIT_SECONDS: Final = 60.0
CURRENCIES: Final = ("EUR", "JPY", "BHD")


class World(NamedTuple):
    """Who pays and who is paid, in a currency."""

    payers: Sequence[str]
    merchants: Sequence[str]
    currency: str


class Figures(NamedTuple):
    """What was measured; times in s."""

    payments: int
    refunds: int
    fill_seconds: float
    journal_rows: int
    archive_seconds: float
    archive_bytes: int
    rebuild_seconds: float
    journal_seconds: float
    fold_seconds: float
    topics_seconds: float
    verify_seconds: float
    payments_per_second: float
    differences: int


async def fill(client: tender.Client, payments: int, seed: int) -> int:
    """Make payments and refund some of them; return how many refunds there are."""
    chance = random.Random(seed)
    worlds = [await _world(client, currency) for currency in CURRENCIES]
    left = payments
    refunds = 0
    said_at = time.monotonic()

    async def call() -> None:
        nonlocal left, refunds
        while left > 0:
            count = min(left, CALL_PAYMENTS)
            left -= count
            made = await client.payments.authorize_many(
                _authorization(chance, worlds) for _ in range(count)
            )
            paid = [outcome.result().payment for outcome in made]
            added = await _refund(client, chance, paid)
            refunds += added
            _say_left()

    def _say_left() -> None:
        nonlocal said_at
        if time.monotonic() - said_at > 10.0:
            said_at = time.monotonic()
            say(f"{payments - left:,} payments")

    async with asyncio.TaskGroup() as group:
        for _ in range(CALLS):
            group.create_task(call())
    return refunds


def _authorization(
    chance: random.Random, worlds: Sequence[World]
) -> commands.Call[payment_pb2.AuthorizePaymentResponse]:
    world = chance.choice(worlds)
    return commands.authorize(
        payer_account_id=chance.choice(world.payers),
        merchant_id=chance.choice(world.merchants),
        amount=tender.money(world.currency, chance.randint(100, 99_999)),
        metadata={"order": str(chance.getrandbits(40))} if chance.random() < 0.1 else None,
    )


async def _refund(
    client: tender.Client, chance: random.Random, paid: Sequence[tender.Payment]
) -> int:
    chosen = [it for it in paid if chance.random() < REFUND_SHARE and it.captured.minor_units]
    if not chosen:
        return 0
    async with client.payments.stream() as stream:
        calls = [
            commands.refund(
                payment_id=it.id,
                amount=tender.money(
                    it.amount.currency_code, chance.randint(1, it.captured.minor_units)
                ),
            )
            for it in chosen
        ]
        for outcome in await asyncio.gather(*(stream.call(one) for one in calls)):
            assert outcome.refund.id
    return len(chosen)


async def _world(client: tender.Client, currency: str) -> World:
    payers = []
    for number in range(PAYERS // len(CURRENCIES)):
        opened = await client.invoke(
            accounts.create(user_id=f"payer-{currency}-{number}", currency_code=currency)
        )
        payers.append(opened.account.id)
        await client.invoke(
            accounts.transfer(
                source_account_id="world",
                destination_account_id=opened.account.id,
                amount=tender.money(currency, FUNDS),
            )
        )
    shops = []
    for number in range(max(1, MERCHANTS // len(CURRENCIES))):
        name = f"shop-{currency}-{number}"
        wallet = await client.invoke(
            accounts.create(
                user_id=name, currency_code=currency, kind=tender.Account.KIND_MERCHANT_WALLET
            )
        )
        terms = tender.SettlementTerms(
            currency_code=currency,
            account_id=wallet.account.id,
            fee_schedule=tender.FeeSchedule(basis_points=140, fixed_minor_units=5),
        )
        made = await client.invoke(
            merchants.create(reference=name, display_name=name, settlement_terms=[terms])
        )
        shops.append(made.merchant.id)
    return World(payers, shops, currency)


def measure(stack: Stack, payments: int, seed: int) -> Figures:
    """Fill a stack, archive its journal, make the reports anew, and compare."""
    endpoints = stack.endpoints
    filling.await_lanes(stack, endpoints.gateway, time.monotonic())
    began = time.monotonic()
    refunds = asyncio.run(_filled(stack, payments, seed))
    fill_seconds = time.monotonic() - began
    say(f"{payments:,} payments and {refunds:,} refunds in {fill_seconds:.0f} s")

    folder = stack.options.data_dir / "archive"
    began = time.monotonic()
    rows = rebuilding.archive({it.name: it.relay_url for it in endpoints.shards}, folder)
    archive_seconds = time.monotonic() - began
    size = sum(it.stat().st_size for it in folder.rglob("*.journal"))
    say(f"{rows:,} rows archived in {archive_seconds:.1f} s, {size / 1e6:,.0f} MB")

    shards = {it.name: it.query_url for it in endpoints.shards}
    report_url = endpoints.services["reporting"].owner_url
    done = rebuilding.rebuild(report_url, shards, folder, endpoints.kafka_bootstrap, None, "", say)
    say(f"rebuilt in {done.seconds:.1f} s")
    began = time.monotonic()
    verdict = rebuilding.verify(shards, report_url, WAIT_SECONDS)
    return Figures(
        payments=verdict.payments,
        refunds=refunds,
        fill_seconds=fill_seconds,
        journal_rows=done.rows,
        archive_seconds=archive_seconds,
        archive_bytes=size,
        rebuild_seconds=done.seconds,
        journal_seconds=done.journal_seconds,
        fold_seconds=done.fold_seconds,
        topics_seconds=done.topics_seconds,
        verify_seconds=time.monotonic() - began,
        payments_per_second=verdict.payments / done.seconds,
        differences=len(verdict.differences),
    )


async def _filled(stack: Stack, payments: int, seed: int) -> int:
    key = stack.endpoints.api_key_file.read_text().strip()
    async with tender.Client(stack.endpoints.gateway, key, timeout=CALL_SECONDS_MAX) as client:
        return await fill(client, payments, seed)


@contextlib.contextmanager
def stack_of(folder: Path, shards: int) -> Iterator[Stack]:
    """A stack with the service and without a relay: the rebuild has the machine to itself."""
    options = StackOptions(
        data_dir=folder, shards=shards, replicas=0, services=("reporting",), kafka="apache"
    )
    with Stack(options) as stack:
        yield stack


def say(text: str) -> None:
    """Tell people, and leave stdout to the figures."""
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print the figures as JSON; 1 if the reports differ from the ledger."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--payments", type=int, default=PAYMENTS)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="tender-reporting-") as folder,
        stack_of(Path(folder), given.shards) as stack,
    ):
        figures = measure(stack, given.payments, given.seed)
    content: dict[str, Any] = figures._asdict()
    text = json.dumps(content, indent=2)
    print(text)
    if given.out is not None:
        given.out.write_text(text + "\n")
    return 1 if figures.differences or figures.payments != given.payments else 0


if __name__ == "__main__":
    sys.exit(main())

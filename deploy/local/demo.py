"""`tender demo`: starts a stack of its own, tells a short story on it, checks it and stops it."""

import asyncio
import dataclasses
import os
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console

import tender
from deploy.local import demo_burst, demo_ledger, demo_story, folder, supervisor
from deploy.local.commands import database, output
from deploy.local.demo_pages import Narrator
from deploy.local.stack import Stack, StackOptions
from storage import verify

# Two HTTP/2 connections carry the burst with the least CPU on two cores (measured: 1, 2 and 4).
CHANNELS = 2
STORY_SECONDS_MAX = 100


def run(console: Console, keep: bool = False) -> dict[str, Any]:
    """The whole demo; "failures" in the summary is empty when everything was as expected."""
    started = time.monotonic()
    narrator = Narrator(console)
    summary: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="tender-demo-") as data_dir:
        stack = Stack(StackOptions(Path(data_dir)), on_event=lambda line: narrator.say(line))
        try:
            narrator.scene("A stack of its own: Postgres, a replica, Valkey, Kafka, two servers")
            stack.start()
            uvloop.run(_tell(stack.endpoints, narrator, summary))
            if keep:
                _linger(stack, console, data_dir)
        except (tender.TenderError, TimeoutError, supervisor.StartFailed) as error:
            narrator.expect(f"no error, but there was {type(error).__name__}: {error}", False)
        finally:
            console.print("\n[dim]stopping everything[/]")
            stack.stop()
    seconds = time.monotonic() - started
    _conclude(narrator, seconds)
    return summary | {
        "seconds": round(seconds, 1),
        "calls": narrator.calls,
        "failures": narrator.failures,
    }


async def _tell(endpoints: folder.Endpoints, narrator: Narrator, summary: dict[str, Any]) -> None:
    key = endpoints.api_key_file.read_text().strip()
    async with asyncio.timeout(STORY_SECONDS_MAX):
        async with tender.Client(endpoints.gateway, key, channels=CHANNELS) as client:
            await demo_story.tell(client, narrator)
            summary["burst"] = _keyed(await _burst(client, narrator))
        await _look_inside(endpoints, narrator, summary)


def _keyed(result: demo_burst.Result) -> dict[str, Any]:
    """With names as all other JSON has them."""
    return {
        re.sub("_([a-z])", lambda found: found[1].upper(), name): value
        for name, value in dataclasses.asdict(result).items()
    }


async def _burst(client: tender.Client, narrator: Narrator) -> demo_burst.Result:
    narrator.scene(
        f"A burst: {demo_burst.PAYMENTS:,} payments by {demo_burst.CUSTOMERS} customers at one "
        f"coffee shop, {demo_burst.IN_FLIGHT} at once, one unary call each"
    )
    shop = await demo_burst.open_shop(client)
    result = await demo_burst.run(client, shop)
    narrator.say(
        f"[bold]{result.payments_per_second:,.0f} payments/s[/] on {os.cpu_count()} cores shared "
        f"with this client; latency p50 {result.p50_ms:.0f} ms, p99 {result.p99_ms:.0f} ms, "
        f"max {result.max_ms:.0f} ms; {result.errors} errors"
    )
    narrator.expect(
        f"all {demo_burst.PAYMENTS:,} are captured, without an error {result.first_error}".strip(),
        result.errors == 0 and result.payments == demo_burst.PAYMENTS,
    )
    balance, expected = (
        output.money(tender.money("EUR", cents))
        for cents in (result.balance, result.balance_expected)
    )
    narrator.expect(
        f"the shop has exactly {expected}, fees taken off (it has {balance})", balance == expected
    )
    if result.payments_per_second < demo_burst.RATE_AIM:
        narrator.say(f"[yellow]slower than the {demo_burst.RATE_AIM:,} of two free cores[/]")
    return result


async def _look_inside(
    endpoints: folder.Endpoints, narrator: Narrator, summary: dict[str, Any]
) -> None:
    ledger = await demo_ledger.read(endpoints.query_url)
    narrator.scene("The ledger: what everybody has, and that it sums to nothing")
    narrator.show(ledger.balances_table())
    narrator.expect("debits equal credits in every currency", not any(ledger.sums().values()))
    narrator.scene(f"The journal: {ledger.batches:,} batches, each sealing the one before")
    narrator.show(ledger.journal_table())
    narrator.scene("verify: everything recomputed from the rows")
    report = await verify.verify(endpoints.query_url)
    for table in database.verified(report.checks):
        narrator.show(table)
    narrator.expect("the ledger holds", report.ok)
    summary["journalRows"] = ledger.batches
    summary["verify"] = {check.name: check.ok for check in report.checks}


def _linger(stack: Stack, console: Console, data_dir: str) -> None:
    def announce() -> None:
        console.print(f"\nStill running, as asked: [bold]export TENDER_DATA_DIR={data_dir}[/]")
        console.print("Look around with `tender status` and `tender payments`; Ctrl-C ends it.")

    stack.wait(announce)


def _conclude(narrator: Narrator, seconds: float) -> None:
    if narrator.failures:
        narrator.console.print(f"\n[bold red]Not as expected[/] after {seconds:.0f} s:")
        for failure in narrator.failures:
            narrator.console.print(f"  {failure}", markup=False)
    else:
        narrator.console.print(f"\n[bold green]Everything as expected[/] in {seconds:.0f} s.")

"""A deployment that runs already: what can be measured from outside, and an own world in it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tender
from benchmarks.load.world import CURRENCY, Merchant, World
from benchmarks.wanted import Target

PAYERS: Final = 2_000
MERCHANTS: Final = 20
FUNDS: Final = 100_000_000
BASIS_POINTS: Final = 140
FIXED: Final = 5
IN_FLIGHT: Final = 64


@dataclass(frozen=True)
class Remote:
    """Somebody else's gateway. Its database and processes are not ours to look at."""

    target: Target
    world: World
    folder: Path

    @property
    def address(self) -> tuple[str, int]:
        return self.target.host, self.target.port

    @property
    def api_key(self) -> str:
        return self.target.api_key

    @property
    def ca_file(self) -> Path | None:
        return self.target.ca_file

    @property
    def world_folder(self) -> Path:
        return self.folder / "world"

    def pids(self) -> dict[str, int]:
        return {}

    def cpu_seconds(self) -> dict[str, float]:
        return {}

    def journal_head(self) -> int | None:
        return None

    def checkpoint(self) -> None:
        """Nothing that a caller could do."""

    def verify(self) -> dict[str, Any] | None:
        return None

    def check(self, _histories: list[Path], _head_before: int) -> dict[str, Any] | None:
        return None


def prepare(target: Target, folder: Path, say: Callable[[str], None]) -> Remote:
    """Open accounts and merchants through the gateway; the key needs the operator's scope."""
    say(f"opening {PAYERS:,} accounts and {MERCHANTS} merchants through the gateway")
    world = asyncio.run(_make(target))
    world.save(folder / "world")
    return Remote(target, world, folder)


async def _make(target: Target) -> World:
    roots = target.ca_file.read_bytes() if target.ca_file else None
    gate = asyncio.Semaphore(IN_FLIGHT)
    run = tender.new_request_id()
    async with tender.Client(
        f"{target.host}:{target.port}",
        target.api_key,
        tls=tender.tls_credentials(roots) if roots else None,
        insecure=roots is None,
    ) as client:

        async def payer(number: int) -> str:
            async with gate:
                opened = await client.create_account(
                    user_id=f"{run}-{number}", currency_code=CURRENCY
                )
                await client.create_transfer(
                    source_account_id="world",
                    destination_account_id=opened.account.id,
                    amount=tender.money(CURRENCY, FUNDS),
                )
            return opened.account.id

        async def merchant(number: int) -> Merchant:
            wallet = await client.create_account(
                user_id=f"{run}-shop-{number}",
                currency_code=CURRENCY,
                kind=tender.Account.KIND_MERCHANT_WALLET,
            )
            terms = tender.SettlementTerms(
                currency_code=CURRENCY,
                account_id=wallet.account.id,
                fee_schedule=tender.FeeSchedule(basis_points=BASIS_POINTS, fixed_minor_units=FIXED),
            )
            made = await client.create_merchant(
                reference=f"{run}-{number}", display_name="bench", settlement_terms=[terms]
            )
            return Merchant(made.merchant.id, wallet.account.id)

        payers = await asyncio.gather(*map(payer, range(PAYERS)))
        merchants = await asyncio.gather(*map(merchant, range(MERCHANTS)))
    return World("".join(payers).encode(), len(payers[0]), merchants, FUNDS, BASIS_POINTS, FIXED)

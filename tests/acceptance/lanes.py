"""A stack whose processors share lanes, and callers of each lane who note every answer's time."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import tender
from deploy.local import folder
from deploy.local.stack import Stack
from kit.shard_map import ShardMap
from storage.verify import verify
from tender import accounts, merchants, payments
from tender.retries import NO_RETRIES
from tests.acceptance.conftest import connect, gauge

FUNDS = 1_000_000
CENTS = 1
PACE_SECONDS = 0.002
UNARY_CALLERS = 3
CALL_SECONDS_MAX = 15.0
SETTLE_SECONDS_MAX = 60.0
OPEN = "tender_lane_open"
_names = itertools.count(1)


@dataclass
class Payer:
    """A payer on one shard: what it was told, and when."""

    shard: str
    account_id: str
    merchant_id: str
    paid: int = 0
    answered: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    async def pay(self, client: tender.Client, stream: tender.PaymentStream | None) -> None:
        """Pay once; a call that fails is noted, and repeated until its outcome is known."""
        call = payments.authorize(
            payer_account_id=self.account_id,
            merchant_id=self.merchant_id,
            amount=tender.money("EUR", CENTS),
        )
        async with asyncio.timeout(SETTLE_SECONDS_MAX):
            while True:
                try:
                    await (client.invoke(call) if stream is None else stream.call(call))
                except (tender.OutcomeUnknown, tender.Refused, tender.Overloaded) as error:
                    self.failures.append(f"{type(error).__name__} {error}")
                    await asyncio.sleep(PACE_SECONDS)
                else:
                    self.answered.append(time.monotonic())
                    self.paid += 1
                    return


class Street:
    """Payers on every shard of a stack, and one merchant whom all of them pay."""

    def __init__(self, stack: Stack, payers: list[Payer]) -> None:
        self.stack = stack
        self.payers = payers
        self._stopping = False

    @classmethod
    async def open(cls, stack: Stack) -> "Street":
        """Open the accounts, enough of them for every shard to have its callers."""
        home = stack.options.layout().first_map()
        wanted = {shard.name: UNARY_CALLERS + 1 for shard in stack.endpoints.shards}
        async with connect(stack.endpoints) as client:
            merchant_id = await _merchant(client)
            payers = [
                Payer(shard, account_id, merchant_id)
                async for shard, account_id in _accounts(client, home, wanted)
            ]
        return cls(stack, payers)

    @contextlib.asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """Keep all paying until the block ends; each shard has one who uses a stream."""
        self._stopping = False
        async with contextlib.AsyncExitStack() as open_ones:
            client = await open_ones.enter_async_context(
                connect(self.stack.endpoints, retry=NO_RETRIES, timeout=CALL_SECONDS_MAX)
            )
            stream = await open_ones.enter_async_context(client.payments.stream())
            streaming = {payer.shard: payer for payer in self.payers}
            async with asyncio.TaskGroup() as group:
                for payer in self.payers:
                    own = stream if streaming[payer.shard] is payer else None
                    group.create_task(self._keep_paying(client, own, payer))
                try:
                    yield
                finally:
                    self._stopping = True

    async def _keep_paying(
        self, client: tender.Client, stream: tender.PaymentStream | None, payer: Payer
    ) -> None:
        while not self._stopping:
            await payer.pay(client, stream)
            await asyncio.sleep(PACE_SECONDS)

    def pause(self, shard: str, since: float) -> float:
        """Return the longest time without an answer from a lane that ended after a moment."""
        times = sorted(
            moment for payer in self.payers if payer.shard == shard for moment in payer.answered
        )
        return max(
            (later - sooner for sooner, later in itertools.pairwise(times) if later > since),
            default=float("inf"),
        )

    def failures(self) -> list[str]:
        """Return what failed in the eyes of callers."""
        return [f"{payer.shard}: {each}" for payer in self.payers for each in payer.failures]

    async def agrees(self) -> None:
        """Assert that all have paid exactly what they were told, and that every ledger holds."""
        async with connect(self.stack.endpoints) as client:
            for payer in self.payers:
                found = await client.get_account(account_id=payer.account_id)
                assert found.account.available.minor_units == FUNDS - payer.paid * CENTS
        for shard in self.stack.endpoints.shards:
            assert (await verify(shard.owner_url)).breaches == []


async def _merchant(client: tender.Client) -> str:
    name = tender.new_request_id()
    wallet = await client.invoke(
        accounts.create(user_id=name, currency_code="EUR", kind=tender.Account.KIND_MERCHANT_WALLET)
    )
    terms = tender.SettlementTerms(currency_code="EUR", account_id=wallet.account.id)
    made = await client.invoke(
        merchants.create(reference=name, display_name="Shop", settlement_terms=[terms])
    )
    return made.merchant.id


async def _accounts(
    client: tender.Client, home: ShardMap, wanted: dict[str, int]
) -> AsyncIterator[tuple[str, str]]:
    while any(wanted.values()):
        opened = await client.invoke(
            accounts.create(user_id=f"payer-{next(_names)}", currency_code="EUR")
        )
        shard = home.shard_of("eu", opened.account.id[-2:])
        if shard is None or not wanted[shard]:
            continue
        wanted[shard] -= 1
        await client.invoke(
            accounts.transfer(
                source_account_id="world",
                destination_account_id=opened.account.id,
                amount=tender.money("EUR", FUNDS),
            )
        )
        yield shard, opened.account.id


def held(endpoints: folder.Endpoints) -> Mapping[str, int]:
    """Return how many lanes each processor has open; those that do not answer are left out."""
    found = {}
    for processor in endpoints.processors:
        with contextlib.suppress(OSError):
            found[processor.name] = int(gauge(processor.metrics, OPEN))
    return found


async def settles(endpoints: folder.Endpoints, wanted: Mapping[str, int]) -> None:
    """Wait until the processors hold so many lanes each."""
    async with asyncio.timeout(SETTLE_SECONDS_MAX):
        while True:
            if await asyncio.to_thread(held, endpoints) == wanted:
                return
            await asyncio.sleep(0.05)


def percentile(values: list[float], share: float) -> float:
    """Return the smallest value that so great a share of all does not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]

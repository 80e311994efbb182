"""One run: a town under load, one fault after the other, and the verdict at the end."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import tender
from deploy.local.stack import Stack
from storage.verify import verify
from tender import payments
from tender.calls import Call
from tests.acceptance.conftest import connect, rest
from tests.acceptance.load import Load, Recorder, Town, open_town
from tests.checker import History, check
from tests.faults.accidents import Accidents, Done
from tests.faults.plan import LANE_KINDS, PROMOTIONS, Kind
from tests.faults.probe import Probe, percentile

CROSSING_OF_TEN = 3
"""Payments of ten whose merchant is on another shard."""

CUSTOMERS = 10
CLIENTS = 24
CALM_SECONDS = (1.5, 3.0)
"""Between a fault that is over and the next one."""

BACK_SECONDS_MAX = 30.0
REST_SECONDS_MAX = 30.0
"""From the last call until nothing is in flight between shards."""


class Mixed(Town):
    """A town of which a chosen share of the payments crosses shards."""

    def pay(self, number: int, cents: int = 100, **options: Any) -> Call[Any]:
        shops = list(self.shops.values())
        count = len(shops)
        home = number % count
        rest_of_number = number // count
        away = home if rest_of_number % 10 >= CROSSING_OF_TEN else home + 1 + number % (count - 1)
        people = shops[home].customers
        return payments.authorize(
            payer_account_id=people[rest_of_number % len(people)],
            merchant_id=shops[away % count].merchant_id,
            amount=tender.money("EUR", cents),
            **options,
        )

    def probe(self, shard: str) -> Call[Any]:
        """Return a payment that one lane alone decides."""
        shop = self.shops[shard]
        return payments.authorize(
            payer_account_id=shop.customers[0],
            merchant_id=shop.merchant_id,
            amount=tender.money("EUR", 1),
        )


@dataclass
class Outcome:
    """What came of a run; durations in seconds."""

    seed: int
    faults: list[Done] = field(default_factory=list)
    takeovers: list[float] = field(default_factory=list)
    promotions: list[float] = field(default_factory=list)
    acknowledged: int = 0
    problems: list[str] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)
    in_flight: int = 0
    """Legs that have not arrived when they should have."""

    @property
    def doubled(self) -> list[str]:
        return [problem for problem in self.problems if is_doubled(problem)]

    @property
    def lost(self) -> list[str]:
        return [problem for problem in self.problems if not is_doubled(problem)]

    @property
    def takeover_p95(self) -> float:
        return percentile(self.takeovers, 0.95)

    def line(self) -> str:
        """Return the last line of a run."""
        milliseconds = [round(seconds * 1_000) for seconds in self.takeovers]
        return (
            f"faults={len(self.faults)} acked={self.acknowledged} lost={len(self.lost)}"
            f" doubled={len(self.doubled)} clearing={self.in_flight}"
            f" verify={'ok' if not self.breaches else 'failed'}"
            f" takeover_p95_ms={round(self.takeover_p95 * 1_000)}"
            f" takeover_max_ms={max(milliseconds, default=0)}"
            f" promotion_max_ms={round(max(self.promotions, default=0.0) * 1_000)}"
        )


def is_doubled(problem: str) -> bool:
    """Tell what happened once too often from what is missing or differs."""
    return "no client asked for" in problem or "have one" in problem


async def run(
    stack: Stack, chosen: list[Kind], seed: int, say: Callable[[str], None], *, calls: int = 0
) -> Outcome:
    """Cause the faults under load, until there were as many calls; then judge."""
    outcome = Outcome(seed)
    dice = random.Random(seed)
    homes = stack.options.layout().first_map()
    async with connect(stack.endpoints, channels=4) as client:
        recorder = Recorder(client, History())
        town = Mixed((await open_town(recorder, homes, CUSTOMERS)).shops)
        load = Load(recorder, town, seed)
        accidents = Accidents(stack, dice)
        async with probing(recorder, town) as probes, load.running(CLIENTS):
            for number, kind in enumerate(chosen, start=1):
                await asyncio.sleep(dice.uniform(*CALM_SECONDS))
                began = time.monotonic()
                done = await accidents.cause(kind)
                outcome.faults.append(done)
                silent = await _until_back(probes, began)
                _note(outcome, done, silent)
                longest = max(silent.values())
                await accidents.await_members()
                say(
                    f"{number}/{len(chosen)} {kind} ({done.target}):"
                    f" silent for {longest:.2f} s at most, {len(load.answered)} calls answered"
                )
            while len(load.answered) < calls:  # noqa: ASYNC110
                await asyncio.sleep(1)
        outcome.acknowledged = len(load.answered) + sum(len(one.answered) for one in probes)
    await _judge(outcome, recorder.history, stack)
    return outcome


@contextlib.asynccontextmanager
async def probing(recorder: Recorder, town: Mixed) -> AsyncIterator[list[Probe]]:
    """Probe every lane until the block ends."""
    probes = [Probe(shard, partial(_probe, recorder, town, shard)) for shard in sorted(town.shops)]
    tasks = [asyncio.create_task(probe.run()) for probe in probes]
    try:
        yield probes
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _probe(recorder: Recorder, town: Mixed, shard: str) -> object:
    return await recorder.once(town.probe(shard))


async def _until_back(probes: list[Probe], since: float) -> dict[str, float]:
    """Wait until every lane answers again; return for how long each did not."""
    now = time.monotonic()
    async with asyncio.timeout(BACK_SECONDS_MAX):
        while any(  # noqa: ASYNC110
            not probe.answered or probe.answered[-1] < now for probe in probes
        ):
            await asyncio.sleep(0.01)
    # A lane may be lost again by what the fault left behind: the last word is a little later.
    await asyncio.sleep(1.0)
    return {probe.shard: probe.gap(since, now) for probe in probes}


def _note(outcome: Outcome, done: Done, silent: dict[str, float]) -> None:
    if done.kind in LANE_KINDS and done.kind not in PROMOTIONS:
        outcome.takeovers += [silent[shard] for shard in done.shards]
    if done.kind in PROMOTIONS:
        outcome.promotions += [silent[shard] for shard in done.shards]


async def _judge(outcome: Outcome, history: History, stack: Stack) -> None:
    urls = [shard.owner_url for shard in stack.endpoints.shards]
    try:
        async with asyncio.timeout(REST_SECONDS_MAX):
            await rest(stack.endpoints)
    except TimeoutError:
        outcome.in_flight = 1
    outcome.problems = await check(history, *urls)
    for url in urls:
        outcome.breaches += (await verify(url)).breaches

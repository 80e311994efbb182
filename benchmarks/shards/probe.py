"""One call after the other: how long nobody answers, as a client sees it."""

import asyncio
import contextlib
import itertools
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import tender
from benchmarks.load.world import CURRENCY, World
from tender import payments

PAUSE_SECONDS: Final = 0.005
"""Between two calls: the resolution of what is measured."""

CALL_SECONDS_MAX: Final = 20.0
ASKED_MAX: Final = 20
CENTS: Final = 1


@dataclass
class Probe:
    """Calls of one kind, one after the other."""

    name: str
    call: Callable[[], Awaitable[object]]
    answered: list[float] = field(default_factory=list)
    """When an answer came, on the monotonic clock."""
    errors: list[str] = field(default_factory=list)

    async def run(self) -> None:
        """Call until cancelled."""
        while True:
            try:
                async with asyncio.timeout(CALL_SECONDS_MAX):
                    await self.call()
            except (tender.TenderError, TimeoutError) as error:
                self.errors.append(f"{self.name}: {type(error).__name__} {error}")
            else:
                self.answered.append(time.monotonic())
            await asyncio.sleep(PAUSE_SECONDS)

    async def answers_after(self, moment: float) -> None:
        """Wait until a call has been answered that ended after a moment."""
        while not self.answered or self.answered[-1] < moment:  # noqa: ASYNC110
            await asyncio.sleep(PAUSE_SECONDS)

    def gap(self, since: float, until: float) -> float:
        """Return the longest time without an answer that overlaps a period, in seconds."""
        return longest_gap(self.answered, since, until)


def longest_gap(moments: Sequence[float], since: float, until: float) -> float:
    """Return the longest time between two moments in their order that overlaps a period.

    Infinity when no moment follows the period.
    """
    before = max((moment for moment in moments if moment <= since), default=since)
    inside = [moment for moment in moments if since < moment < until]
    after = min((moment for moment in moments if moment >= until), default=math.inf)
    ends = [before, *inside, after]
    return max(later - earlier for earlier, later in itertools.pairwise(ends))


@contextlib.asynccontextmanager
async def probing(probes: Sequence[Probe]) -> AsyncIterator[None]:
    """Keep probes calling until the block ends."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(probe.run()) for probe in probes]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


class Payer:
    """Pays one merchant of its own shard a cent at a time, and writes down what it is told."""

    def __init__(self, client: tender.Client, world: World, shard: str, history: Path) -> None:
        ends = itertools.accumulate([home.payers for home in world.homes], initial=0)
        shops = itertools.accumulate([home.merchants for home in world.homes], initial=0)
        names = [home.shard for home in world.homes]
        self._payer = dict(zip(names, ends, strict=False))[shard]
        self._merchant = dict(zip(names, shops, strict=False))[shard]
        self._client, self._world, self._history = client, world, history

    async def pay(self) -> None:
        """Pay once, with the same request_id until it is known what became of it."""
        call = payments.authorize(
            payer_account_id=self._world.payer(self._payer),
            merchant_id=self._world.merchants[self._merchant].id,
            amount=tender.money(CURRENCY, CENTS),
        )
        kind, payment_id, state = "U", r"\N", 0
        try:
            for attempt in range(ASKED_MAX):
                try:
                    answer = await self._client.invoke(call)
                except (tender.OutcomeUnknown, tender.Overloaded):
                    if attempt == ASKED_MAX - 1:
                        raise
                else:
                    kind, payment_id, state = "A", answer.payment.id, answer.payment.state
                    return
        finally:
            with self._history.open("a") as file:
                file.write(
                    f"{kind}\t{call.request_id}\t{payment_id}\t{state}\t{CENTS}"
                    f"\t{self._payer}\t{self._merchant}\n"
                )

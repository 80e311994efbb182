"""A busy bucket moves between two shards while movers die at every step: no call is lost."""

import asyncio
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

import tender
from deploy.local.commands.movers import STEPS
from deploy.local.stack import Stack, StackOptions
from kit import buckets
from tender import payments
from tests.acceptance.conftest import agree, connect, measured
from tests.acceptance.load import Recorder, Town, new_load, open_town
from tests.checker import History

MOVER_SECONDS_MAX = 90.0
TEST_SECONDS_MAX = 300
"""A minute on a quiet machine, with a load of its own all the time."""
FREEZE_MS_MAX = 500
CALM_MOVES = 3
RESUMED_MAX = 10
KILL_AFTER_SECONDS = 1.2
"""A mover starts for about a second, and is busy then."""
BETWEEN_SECONDS = 1.5
"""Long enough for the supervisor not to take the kills for a crash loop."""
CLIENTS = 6
REPEATED_MAX = 60


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two shards of one region."""
    options = StackOptions(tmp_path_factory.mktemp("pair"), shards=2, replicas=0)
    with Stack(options) as stack:
        stack.supervise_in_background()
        yield stack


@pytest.fixture
async def mover_s_town(pair: Stack) -> AsyncIterator[Recorder]:
    """Calls the pair; at the end what was told and what is stored must agree."""
    async with connect(pair.endpoints) as client:
        recorder = Recorder(client, History())
        yield recorder
    await agree(recorder.history, pair.endpoints)


@dataclass
class Customer:
    """Pays again and again out of the bucket that moves, and notes how long each call took."""

    recorder: Recorder
    town: Town
    account_id: str
    calls: list[Any] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    answered: list[tuple[float, float]] = field(default_factory=list)
    stopping: bool = False

    async def shop(self) -> None:
        merchants = [shop.merchant_id for shop in self.town.shops.values()]
        while not self.stopping:
            call = payments.authorize(
                payer_account_id=self.account_id,
                merchant_id=merchants[len(self.calls) % len(merchants)],
                amount=tender.money("EUR", 1),
            )
            self.calls.append(call)
            began = time.monotonic()
            self.answers.append(await self.recorder.surely(call))
            self.answered.append((began, time.monotonic()))

    def longest(self, since: float) -> float:
        """Return the seconds of the longest call that was answered after a moment."""
        return max((end - began for began, end in self.answered if end >= since), default=0.0)


@dataclass
class Ended:
    """How a mover ended, and what it told."""

    code: int
    stdout: str
    stderr: str

    def frozen_ms(self) -> list[int]:
        return [one["frozen_ms"] for one in json.loads(self.stdout).get("buckets", [])]


async def run_mover(stack: Stack, bucket: int, to: str, *options: str, dies_at: str = "") -> Ended:
    """Run the command; it kills itself at a step if told to, as an operator's machine may."""
    mover = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.local.cli", "shards", "move", "--json"),
        *("--region", "eu", "--bucket", str(bucket), "--to", to, *options),
        *("--data-dir", str(stack.options.data_dir)),
        env=dict(os.environ) | {"TENDER_MOVER_DIES_AT": dies_at},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await asyncio.wait_for(mover.communicate(), MOVER_SECONDS_MAX)
    assert mover.returncode is not None
    return Ended(mover.returncode, stdout.decode(), stderr.decode())


def bucket_of(account_id: str) -> int:
    number = buckets.number_of(account_id[-2:])
    assert number is not None
    return number


@pytest.mark.timeout(TEST_SECONDS_MAX)
async def test_a_mover_killed_at_any_step_is_resumed_or_undone_and_no_call_is_lost(
    pair: Stack, mover_s_town: Recorder
) -> None:
    recorder = mover_s_town
    town = await open_town(recorder, pair.options.layout().first_map())
    busy = town.shops["s1"].customers[0]
    bucket, home = bucket_of(busy), "s1"
    customer = Customer(recorder, town, busy)
    frozen: list[int] = []
    longest: list[float] = []
    async with new_load(recorder, town).running(CLIENTS):
        shopping = asyncio.create_task(customer.shop())
        for number, step in enumerate(STEPS):
            away = "s2" if home == "s1" else "s1"
            killed = await run_mover(pair, bucket, away, dies_at=step)
            assert killed.code == -signal.SIGKILL, killed.stderr
            since = time.monotonic()
            option = "--undo" if number % 2 else "--resume"
            ended = await run_mover(pair, bucket, away, option)
            assert ended.code == 0, ended.stderr
            frozen += ended.frozen_ms()
            longest.append(customer.longest(since))
            home = home if option == "--undo" else away
        pauses = []
        for _ in range(CALM_MOVES):
            away = "s2" if home == "s1" else "s1"
            since = time.monotonic()
            calm = await run_mover(pair, bucket, away)
            assert calm.code == 0, calm.stderr
            frozen += calm.frozen_ms()
            pauses.append(customer.longest(since))
            home = away
        customer.stopping = True
        await shopping

    again = [
        await recorder.surely(call)
        for call in customer.calls[:: len(customer.calls) // REPEATED_MAX + 1]
    ]
    assert again == customer.answers[:: len(customer.calls) // REPEATED_MAX + 1]
    account = await recorder.client.get_account(account_id=busy)
    assert account.as_of[0].shard == home
    measured(
        f"bucket moves: frozen {sorted(frozen)} ms as the mover saw it; longest call of a customer"
        f" in the bucket {[round(one * 1_000) for one in pauses]} ms, after a killed mover"
        f" {[round(one * 1_000) for one in longest]} ms; {len(customer.calls)} calls"
    )
    assert statistics.median(frozen) < FREEZE_MS_MAX


@pytest.mark.timeout(TEST_SECONDS_MAX)
async def test_a_bucket_moves_while_the_processor_and_the_database_are_killed(
    pair: Stack, mover_s_town: Recorder
) -> None:
    """The lanes are taken over in the middle of it; the mover goes on, and so do the callers."""
    recorder = mover_s_town
    town = await open_town(recorder, pair.options.layout().first_map())
    busy = town.shops["s2"].customers[0]
    bucket = bucket_of(busy)
    customer = Customer(recorder, town, busy)
    home = await owner_of(recorder, busy)
    async with new_load(recorder, town).running(CLIENTS):
        shopping = asyncio.create_task(customer.shop())
        for number, victim in enumerate(("processor", "postgres", "processor")):
            away = "s2" if home == "s1" else "s1"
            mover = asyncio.create_task(run_mover(pair, bucket, away))
            await asyncio.sleep(KILL_AFTER_SECONDS + number * 0.2)
            await asyncio.to_thread(pair.kill, victim)
            ended = await mover
            for _ in range(RESUMED_MAX):  # It says when a lane or the map is away, and is repeated.
                if ended.code == 0:
                    break
                await asyncio.sleep(BETWEEN_SECONDS)
                ended = await run_mover(pair, bucket, away, "--resume")
            assert ended.code == 0, ended.stderr
            home = away
            await asyncio.sleep(BETWEEN_SECONDS)
        customer.stopping = True
        await shopping

    assert await owner_of(recorder, busy) == home
    again = [await recorder.surely(call) for call in customer.calls[-REPEATED_MAX:]]
    assert again == customer.answers[-REPEATED_MAX:]


async def owner_of(recorder: Recorder, account_id: str) -> str:
    """Return the shard that answers for an account."""
    shard: str = (await recorder.client.get_account(account_id=account_id)).as_of[0].shard
    return shard

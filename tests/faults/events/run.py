"""One run: payments, accidents, crashing consumers, and the verdict at the end."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

import asyncpg
from confluent_kafka import Producer

from deploy.local.stack import Stack
from processor.consumers import letters
from processor.consumers.delivery import MALFORMED
from processor.consumers.loop import FAIL_POINTS, PARKED
from processor.events.messages import topics
from storage import migrate
from storage.kafka.dead_letters import DeadLetters
from tests.acceptance.conftest import connect
from tests.acceptance.load import Recorder, open_town
from tests.checker import History
from tests.consumers.events import EFFECTS
from tests.databases import with_database
from tests.faults.events import audit
from tests.faults.events.accidents import Accidents, Kind, plan
from tests.faults.events.audit import Findings
from tests.faults.events.bookkeeper import TOPIC
from tests.faults.events.crashing import Crashing
from tests.faults.events.second_relay import SecondRelay
from tests.faults.events.shopping import Shopping

CUSTOMERS: Final = 200
"""Of each shard."""
BOOKKEEPERS: Final = 2
JUNK_SECONDS: Final = 1.0
"""Between two records that nobody can read."""
CALM_SECONDS: Final = (0.5, 2.0)
"""Between two accidents."""
CRASHES_SECONDS_MAX: Final = 120.0
"""After the last accident, for crashes of consumers that are still wanted."""
DRAIN_SECONDS_MAX: Final = 240.0
"""From the last payment until all is told and heard."""
DATABASE: Final = "bookkeeping"

_HEADS: Final = """
SELECT coalesce(max(seq), 0) AS head,
       coalesce((SELECT position FROM relays WHERE name = 'events'), 0) AS told
  FROM journal
"""


@dataclass(frozen=True)
class Wanted:
    """How much of everything."""

    payments: int = 200_000
    rate: float = 2_500.0
    broker_kills: int = 5
    relay_kills: int = 10
    relay_pauses: int = 2
    crashes: int = 20


@dataclass
class Outcome:
    """What came of a run."""

    seed: int
    paid: int = 0
    rate: float = 0.0
    done: Mapping[Kind, int] = field(default_factory=dict)
    crashes: int = 0
    junk: int = 0
    findings: Findings = field(default_factory=Findings)
    effects_missing: int = 0
    effects_doubled: int = 0
    effects_reordered: int = 0
    unpublished: int = 0
    """Acknowledged payments of which no event tells."""
    problems: list[str] = field(default_factory=list)
    drain_seconds: float = 0.0

    def line(self) -> str:
        """Return the last line of a run."""
        missing = len(self.findings.missing) + self.effects_missing + self.unpublished
        return (
            f"events={self.findings.events} missing={missing}"
            f" reordered={len(self.findings.reordered) + self.effects_reordered}"
            f" effects_doubled={self.effects_doubled}"
            f" broker_kills={self.done.get(Kind.BROKER_KILL, 0)}"
            f" relay_kills={self.done.get(Kind.RELAY_KILL, 0)}"
            f" consumer_crashes={self.crashes}"
            f" send_duplicates=0"
        )

    def shortcomings(self, wanted: Wanted) -> list[str]:
        """Return in words what is not as promised, or not as much as was asked for."""
        found = [*self.problems]
        checks = (
            (bool(self.findings.missing), f"missing: {self.findings.missing[:5]}"),
            (bool(self.findings.invented), f"never committed: {self.findings.invented[:5]}"),
            (bool(self.findings.reordered), f"reordered: {self.findings.reordered[:5]}"),
            (self.unpublished > 0, f"{self.unpublished} payments have no event"),
            (self.effects_missing > 0, f"{self.effects_missing} events had no effect"),
            (self.effects_doubled > 0, f"{self.effects_doubled} events had two effects"),
            (self.effects_reordered > 0, f"{self.effects_reordered} effects out of order"),
            (self.paid < wanted.payments, f"only {self.paid} payments"),
            (self.rate < RATE_SHARE_MIN * wanted.rate, f"only {self.rate:.0f} payments/s"),
            (self.crashes < wanted.crashes, f"only {self.crashes} crashes of consumers"),
            (self.done.get(Kind.BROKER_KILL, 0) < wanted.broker_kills, "too few broker kills"),
            (self.done.get(Kind.RELAY_KILL, 0) < wanted.relay_kills, "too few relay kills"),
        )
        return found + [text for is_so, text in checks if is_so]


RATE_SHARE_MIN: Final = 0.8
"""Of the wanted rate: 2,500/s are asked for so that 2,000/s are reached."""


async def run(stack: Stack, wanted: Wanted, seed: int, say: Callable[[str], None]) -> Outcome:
    """Pay, let accidents happen, wait until all is heard, and judge."""
    outcome, dice = Outcome(seed), random.Random(seed)
    endpoints = stack.endpoints
    books = await _open_books(endpoints.owner_url)
    async with AsyncExitStack() as closing:
        second = closing.enter_context(SecondRelay(stack))
        client = await closing.enter_async_context(connect(endpoints, channels=2))
        homes = stack.options.layout().first_map()
        town = await open_town(Recorder(client, History()), homes, CUSTOMERS)
        accidents = Accidents(stack, second)
        crashing = _crashing(stack, books, dice, wanted)
        for one in crashing:
            await closing.enter_async_context(one.running())
        junk = asyncio.create_task(_throw_junk(endpoints.kafka_bootstrap, outcome))
        closing.callback(junk.cancel)
        shopping = Shopping(client, town, wanted.rate)
        async with shopping.until(wanted.payments) as task:
            chosen = plan(dice, wanted.broker_kills, wanted.relay_kills, wanted.relay_pauses)
            for number, kind in enumerate(chosen, start=1):
                await asyncio.sleep(dice.uniform(*CALM_SECONDS))
                await accidents.cause(kind)
                say(
                    f"{number}/{len(chosen)} {kind}: {len(shopping.paid)} payments,"
                    f" {sum(one.count for one in crashing)} crashes"
                )
            # Without payments consumers pass no fail-point, so they go on until enough have died.
            began = time.monotonic()
            while (
                sum(one.count for one in crashing) < wanted.crashes
                and time.monotonic() - began < CRASHES_SECONDS_MAX
            ):
                await asyncio.sleep(0.2)
            shopping.may_end = True
            await task
        outcome.paid, outcome.rate = len(shopping.paid), shopping.reached
        say(f"{outcome.paid} payments at {outcome.rate:.0f}/s; waiting until all is heard")
        junk.cancel()
        began = time.monotonic()
        await _until_told(stack)
        said = await audit.said_by({shard.name: shard.owner_url for shard in endpoints.shards})
        await _until_heard(books, said, outcome)
        outcome.drain_seconds = time.monotonic() - began
        outcome.done = accidents.done
        outcome.crashes = sum(one.count for one in crashing)
        outcome.problems += [problem for one in crashing for problem in one.problems]
    say("comparing topics with journals")
    await _judge(stack, outcome, said, shopping.paid, books)
    return outcome


def _crashing(stack: Stack, books: str, dice: random.Random, wanted: Wanted) -> list[Crashing]:
    arguments = ("-m", "tests.faults.events.bookkeeper", stack.endpoints.kafka_bootstrap, books)
    made: list[Crashing] = []

    def may_crash() -> bool:
        return sum(one.count for one in made) < wanted.crashes

    made += [
        Crashing(
            f"bookkeeper {number}",
            arguments,
            FAIL_POINTS,
            dice,
            stack.log(f"bookkeeper-{number}"),
            {PARKED},
            may_crash,
        )
        for number in range(1, BOOKKEEPERS + 1)
    ]
    return made


async def _open_books(owner_url: str) -> str:
    """Make the bookkeepers' database; return its URL."""
    connection = await asyncpg.connect(owner_url)
    try:
        await connection.execute(f"CREATE DATABASE {DATABASE} TEMPLATE template0")
    finally:
        await connection.close()
    url = with_database(owner_url, DATABASE)
    await migrate.migrate(url, migrate.CONSUMER_MIGRATIONS)
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(EFFECTS)
    finally:
        await connection.close()
    return url


async def _throw_junk(bootstrap: str, outcome: Outcome) -> None:
    """Send records that nobody can read, for consumers to park."""
    producer = Producer({"bootstrap.servers": bootstrap, "message.timeout.ms": 0, "log_level": 0})
    try:
        while True:
            await asyncio.sleep(JUNK_SECONDS)
            producer.produce(TOPIC, b"\xff\xff", b"junk")
            outcome.junk += 1
    finally:
        await asyncio.to_thread(producer.flush, 30)


async def _until_told(stack: Stack) -> None:
    """Wait until relays have stored that all of every journal is acknowledged."""
    async with asyncio.timeout(DRAIN_SECONDS_MAX):
        for shard in stack.endpoints.shards:
            connection = await asyncpg.connect(shard.owner_url)
            try:
                while True:
                    row = await connection.fetchrow(_HEADS)
                    assert row is not None
                    if row["told"] >= row["head"]:
                        break
                    await asyncio.sleep(0.2)
            finally:
                await connection.close()


async def _until_heard(books: str, said: Mapping[str, audit.Told], outcome: Outcome) -> None:
    """Wait until there are as many effects as events, or no more come."""
    wanted = sum(len(ids) for ids in said[TOPIC].values())
    connection = await asyncpg.connect(books)
    try:
        async with asyncio.timeout(DRAIN_SECONDS_MAX):
            while (  # noqa: ASYNC110
                await connection.fetchval("SELECT count(*) FROM inbox") < wanted
            ):
                await asyncio.sleep(0.5)
    except TimeoutError:
        outcome.problems.append("consumers did not get to the end")
    finally:
        await connection.close()


async def _judge(
    stack: Stack, outcome: Outcome, said: Mapping[str, audit.Told], paid: set[str], books: str
) -> None:
    bootstrap = stack.endpoints.kafka_bootstrap
    heard = {topic: await asyncio.to_thread(audit.heard_in, bootstrap, topic) for topic in topics()}
    outcome.findings = audit.compare(said, heard)
    # Independently of how events are made: whoever was told OK is told of.
    outcome.unpublished = len(paid - {key.decode() for key in heard[TOPIC].first})
    await _judge_effects(books, said[TOPIC], outcome)
    parked = await asyncio.to_thread(_parked, bootstrap)
    if heard[TOPIC].foreign != parked:
        outcome.problems.append(f"{heard[TOPIC].foreign} records are junk, {parked} are parked")


def _parked(bootstrap: str) -> int:
    """Return how many records are parked because nobody can read them, each once."""
    found = letters.outstanding(DeadLetters({"bootstrap.servers": bootstrap}).read(TOPIC))
    return sum(letter.cause == MALFORMED for letter in found.values())


async def _judge_effects(books: str, said: audit.Told, outcome: Outcome) -> None:
    connection = await asyncpg.connect(books)
    try:
        rows: Sequence[asyncpg.Record] = await connection.fetch(
            "SELECT event_id, entity_id FROM effects ORDER BY place"
        )
    finally:
        await connection.close()
    effects: dict[str, list[str]] = {}
    for row in rows:
        effects.setdefault(row["entity_id"], []).append(row["event_id"])
    for key, ids in said.items():
        got = effects.pop(key.decode(), [])
        once = list(dict.fromkeys(got))
        outcome.effects_doubled += len(got) - len(once)
        outcome.effects_missing += len(set(ids) - set(once))
        if [one for one in ids if one in set(once)] != once:
            outcome.effects_reordered += 1
    if effects:
        outcome.problems.append(f"effects of events that nobody committed: {len(effects)}")

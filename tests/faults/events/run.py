"""One run: payments, accidents, crashing consumers, and the verdict at the end."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
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
from tests.faults.events import audit, corner
from tests.faults.events.accidents import Accidents, plan
from tests.faults.events.bookkeeper import GROUP, TOPIC
from tests.faults.events.crashing import Crashing, Quota
from tests.faults.events.outcome import Outcome, Wanted
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
PARKED_SECONDS_MAX: Final = 60.0
"""From when all is sent until all that nobody can read is parked."""
DATABASE: Final = "bookkeeping"

_HEADS: Final = """
SELECT coalesce(max(seq), 0) AS head,
       coalesce((SELECT position FROM relays WHERE name = 'events'), 0) AS told
  FROM journal
"""


async def run(stack: Stack, wanted: Wanted, seed: int, say: Callable[[str], None]) -> Outcome:
    """Pay, let accidents happen, wait until all is heard, and judge."""
    outcome, dice = Outcome(seed), random.Random(seed)
    endpoints = stack.endpoints
    books = await _open_books(endpoints.owner_url)
    async with AsyncExitStack() as closing:
        second = closing.enter_context(SecondRelay(stack))
        client = await closing.enter_async_context(connect(endpoints, channels=2))
        homes = stack.options.layout().first_map()
        recorder = Recorder(client, History())
        town = await open_town(recorder, homes, CUSTOMERS)
        small = await closing.enter_async_context(corner.open_corner(recorder))
        for name in (corner.WEBHOOKS, corner.NOTIFICATIONS):
            await asyncio.to_thread(stack.stop_one, name)
        accidents = Accidents(stack, second)
        quota = Quota(wanted.crashes)
        bookkeepers = _bookkeepers(stack, books, dice, quota)
        senders = corner.services(stack, small, dice, wanted.sender_crashes)
        for one in (*bookkeepers, *senders):
            await closing.enter_async_context(one.running())
        junk = asyncio.create_task(_throw_junk(endpoints.kafka_bootstrap, outcome))
        closing.callback(junk.cancel)
        shopping = Shopping(client, town, small.shop, wanted.rate)
        async with shopping.until(wanted.payments) as task:
            chosen = plan(dice, wanted.broker_kills, wanted.relay_kills, wanted.relay_pauses)
            for number, kind in enumerate(chosen, start=1):
                await asyncio.sleep(dice.uniform(*CALM_SECONDS))
                await accidents.cause(kind)
                say(
                    f"{number}/{len(chosen)} {kind}: {len(shopping.paid)} payments,"
                    f" {sum(one.count for one in (*bookkeepers, *senders))} crashes"
                )
            # Without payments consumers pass no fail-point, so they go on until enough have died.
            began = time.monotonic()
            quotas = (quota, *(one.quota for one in senders))
            while (  # noqa: ASYNC110
                not all(each.is_met for each in quotas) or shopping.at_corner < wanted.sends
            ) and time.monotonic() - began < CRASHES_SECONDS_MAX:
                await asyncio.sleep(0.2)
            shopping.may_end = True
            await task
        outcome.paid, outcome.rate = len(shopping.paid), shopping.reached
        say(f"{outcome.paid} payments at {outcome.rate:.0f}/s; waiting until all is heard")
        junk.cancel()
        await asyncio.wait([junk])
        began = time.monotonic()
        await _until_told(stack)
        # In a thread: what is sent is received in this one, and must not be kept waiting.
        reading = audit.said_by(
            {shard.name: shard.owner_url for shard in endpoints.shards}, small.shop.merchant_id
        )
        said = await asyncio.to_thread(asyncio.run, reading)
        await _until_heard(books, said.by_topic, outcome)
        outcome.problems += await corner.until_sent(stack, small, said.of_merchant)
        outcome.drain_seconds = time.monotonic() - began
        outcome.done, outcome.crashes = accidents.done, quota.count
        outcome.sends = await corner.judge(stack, small, said.of_merchant, senders)
        say("comparing topics with journals")
        heard = await _judge_topics(endpoints.kafka_bootstrap, outcome, said, shopping.paid)
        await _until_parked(endpoints.kafka_bootstrap, heard[TOPIC].foreign, outcome)
        outcome.problems += [it for one in (*bookkeepers, *senders) for it in one.problems]
    await _judge_effects(books, said.by_topic[TOPIC], outcome)
    return outcome


def _bookkeepers(stack: Stack, books: str, dice: random.Random, quota: Quota) -> list[Crashing]:
    arguments = ("-m", "tests.faults.events.bookkeeper", stack.endpoints.kafka_bootstrap, books)
    return [
        Crashing(
            f"bookkeeper {number}",
            arguments,
            dice.sample(FAIL_POINTS, len(FAIL_POINTS)),
            dice,
            stack.log(f"bookkeeper-{number}"),
            {PARKED},
            quota,
        )
        for number in range(1, BOOKKEEPERS + 1)
    ]


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
            # By turns to all partitions, or consumers without that one would never park anything.
            producer.produce(TOPIC, b"\xff\xff", f"junk {outcome.junk}".encode())
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


async def _judge_topics(
    bootstrap: str, outcome: Outcome, said: audit.Said, paid: set[str]
) -> Mapping[str, audit.Heard]:
    """Compare topics with journals; return what topics have."""
    heard = {topic: await asyncio.to_thread(audit.heard_in, bootstrap, topic) for topic in topics()}
    outcome.findings = audit.compare(said.by_topic, heard)
    # Independently of how events are made: whoever was told OK is told of.
    outcome.unpublished = len(paid - {key.decode() for key in heard[TOPIC].first})
    return heard


async def _until_parked(bootstrap: str, junk: int, outcome: Outcome) -> None:
    """Wait until each of those who listen has parked each record that nobody can read."""
    wanted = dict.fromkeys((GROUP, *corner.LISTENERS), junk)
    stop_by = time.monotonic() + PARKED_SECONDS_MAX
    while (parked := await asyncio.to_thread(_parked, bootstrap)) != wanted:
        if time.monotonic() > stop_by:
            outcome.problems.append(f"{junk} records are junk, parked are {parked}")
            return
        await asyncio.sleep(0.5)


def _parked(bootstrap: str) -> dict[str, int]:
    """Return how many records each listener has parked for being unreadable, each once."""
    found = letters.outstanding(DeadLetters({"bootstrap.servers": bootstrap}).read(TOPIC))
    return Counter(letter.consumer for letter in found.values() if letter.cause == MALFORMED)


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

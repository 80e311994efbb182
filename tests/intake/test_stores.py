"""The database of outcomes and the writer to Kafka, each against the real thing."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from deploy.local.stack import Stack
from gateway.errors import Refused
from gateway.intake.seals import Seals, derived, first_id_since, new_core
from gateway.intake.submission import POSITION_SLACK_MS, Operations, Submission
from kit.operations import Message, Position, Row
from storage import migrate
from storage.kafka.sender import KafkaSender
from storage.postgres.operations import DatabaseAway, OperationStore
from tender import commands, operations
from tender.v1 import bulk_pb2, lane_pb2, operation_pb2
from tests.databases import with_database
from tests.kafka import brokers

NUMBERS = itertools.count(1)
NOW_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
SEALS = Seals([derived("key" * 8)])
ACME = lane_pb2.Principal(tenant_id="acme")
NOWHERE = "127.0.0.1:1"


@pytest.fixture
async def store(engines: Stack) -> AsyncIterator[OperationStore]:
    """An empty one."""
    name = f"operations_{next(NUMBERS)}_{id(engines):x}"
    owner_url = engines.endpoints.owner_url
    administrator = await asyncpg.connect(with_database(owner_url, "template1"))
    try:
        await administrator.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        url = with_database(owner_url, name)
        await migrate.migrate(url, migrate.OPERATION_MIGRATIONS)
        made = OperationStore(url, "test")
        yield made
        await made.close()
        await administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await administrator.close()


def row(outcome: bytes = b"one", *, refused: bool = False, at_ms: int = NOW_MS) -> Row:
    identifier = SEALS.operation_id(new_core(at_ms), 3, "acme", "")
    return Row(identifier, "acme", "", at_ms, refused, outcome)


async def test_the_first_outcome_stays_and_is_told(store: OperationStore) -> None:
    first, other = row(), row()

    stored = await store.put([first], [])
    again = await store.put([first._replace(outcome=b"two"), other], [])

    assert (stored, again) == ({}, {first.operation_id: b"one"})
    assert await store.find([first.operation_id, other.operation_id, "op_x"]) == {
        first.operation_id: b"one",
        other.operation_id: b"one",
    }


async def test_what_was_carried_out_was_not_refused(store: OperationStore) -> None:
    refused = row(b"no", refused=True)
    await store.put([refused], [])

    await store.put([refused._replace(outcome=b"yes", is_refused=False)], [])
    back = await store.put([refused], [])

    decided = await store.get(refused.operation_id)
    assert decided is not None
    assert (decided.outcome, decided.is_refused) == (b"yes", False)
    assert back == {refused.operation_id: b"yes"}


async def test_a_position_may_go_back_with_its_topic(store: OperationStore) -> None:
    await store.put([], [Position(1, 500, NOW_MS), Position(2, 7, NOW_MS)])
    await store.put([row()], [Position(1, 3, NOW_MS + 1)])

    assert await store.position(1) == Position(1, 3, NOW_MS + 1)
    assert await store.position(3) is None


async def test_the_old_are_forgotten_a_few_at_a_time(store: OperationStore) -> None:
    old = [row(at_ms=NOW_MS - HOUR_MS) for _ in range(5)]
    young = row()
    await store.put([*old, young], [])

    counts = [await store.forget(first_id_since(NOW_MS), 3) for _ in range(3)]

    assert counts == [3, 2, 0]
    assert await store.get(young.operation_id) is not None


async def test_a_database_that_is_away_is_told_as_such() -> None:
    store = OperationStore(f"postgresql://nobody@{NOWHERE}/nothing", "test")

    with pytest.raises(DatabaseAway):
        await store.put([row()], [])
    with pytest.raises(ConnectionError):
        await store.get("op_x")


def asked(identifier: str) -> operation_pb2.GetOperationRequest:
    return operation_pb2.GetOperationRequest(operation_id=identifier)


async def reason(told: Operations, identifier: str) -> str:
    with pytest.raises(Refused) as refused:
        await told.get(asked(identifier), ACME)
    return refused.value.reason


async def test_an_operation_is_pending_until_its_place_is_passed(store: OperationStore) -> None:
    told = Operations(store, SEALS, retention_ms=HOUR_MS, clock=lambda: NOW_MS / 1_000)
    waiting = SEALS.operation_id(new_core(NOW_MS - 1_000), 3, "acme", "")

    nothing_done = await told.get(asked(waiting), ACME)
    await store.put([], [Position(3, 9, NOW_MS - 1_000 + POSITION_SLACK_MS)])
    nearly = await told.get(asked(waiting), ACME)
    await store.put([], [Position(3, 99, NOW_MS + POSITION_SLACK_MS)])

    pending = operation_pb2.Operation.STATE_PENDING
    for answer in (nothing_done, nearly):
        assert isinstance(answer, operation_pb2.GetOperationResponse)
        assert answer.operation.state == pending
    assert await reason(told, waiting) == "OPERATION_LOST"


async def test_one_older_than_outcomes_are_kept_is_unknown(store: OperationStore) -> None:
    told = Operations(store, SEALS, retention_ms=HOUR_MS, clock=lambda: NOW_MS / 1_000)
    old = SEALS.operation_id(new_core(NOW_MS - HOUR_MS - 1), 3, "acme", "")

    assert await reason(told, old) == "OPERATION_UNKNOWN"


async def test_without_its_database_nothing_is_said_of_an_operation() -> None:
    store = OperationStore(f"postgresql://nobody@{NOWHERE}/nothing", "test")
    told = Operations(store, SEALS, retention_ms=HOUR_MS)

    assert await reason(told, row().operation_id) == "SERVICE_UNAVAILABLE"


@asynccontextmanager
async def sending(bootstrap: str, topic: str) -> AsyncIterator[KafkaSender]:
    sender = KafkaSender({"bootstrap.servers": bootstrap}, topic)
    running = asyncio.create_task(sender.run())
    await asyncio.sleep(0)
    try:
        yield sender
    finally:
        running.cancel()
        await asyncio.wait([running])


def submitted() -> bulk_pb2.RawSubmitPaymentRequest:
    call = commands.void(payment_id="pay_eu_01m80erkep5g3zaghphbxy")
    request = operations.submit(call).request
    return bulk_pb2.RawSubmitPaymentRequest.FromString(request.SerializeToString())


async def test_brokers_that_keep_nothing_are_refused_unless_loss_is_accepted(
    engines: Stack, topic_prefix: str
) -> None:
    async with sending(engines.endpoints.kafka_bootstrap, f"{topic_prefix}commands") as sender:
        careful = Submission(sender, SEALS, accepts_loss=False)
        careless = Submission(sender, SEALS, accepts_loss=True)

        with pytest.raises(Refused) as refused:
            await careful.submit(submitted(), ACME)
        accepted = await careless.submit(submitted(), ACME)

    assert refused.value.reason == "COMMANDS_NOT_DURABLE"
    assert isinstance(accepted, operation_pb2.SubmitPaymentResponse)


async def test_durable_brokers_accept_commands(
    durable_kafka: brokers.Broker, topic_prefix: str
) -> None:
    topic = f"{topic_prefix}commands"
    durable_kafka.make_topics(topic, partitions=3)

    async with sending(durable_kafka.bootstrap, topic) as sender:
        answer = await Submission(sender, SEALS, accepts_loss=False).submit(submitted(), ACME)

    assert isinstance(answer, operation_pb2.SubmitPaymentResponse)
    assert SEALS.read_id(answer.operation.id, "acme", "") is not None


async def test_a_topic_that_is_missing_accepts_nothing_and_says_so(
    durable_kafka: brokers.Broker, topic_prefix: str
) -> None:
    async with sending(durable_kafka.bootstrap, f"{topic_prefix}missing") as sender:
        [sent] = await sender.send([Message(b"k", b"v", ())])

    assert sent.problem
    assert sent.is_known or "TIMED_OUT" in sent.problem


async def test_many_records_are_each_told_their_partition(
    kafka: brokers.Broker, topic_prefix: str
) -> None:
    topic = f"{topic_prefix}many"
    kafka.make_topics(topic, partitions=4)

    async with sending(kafka.bootstrap, topic) as sender:
        sent = await sender.send([Message(b"k%d" % n, b"v", ()) for n in range(500)])

    assert {one.problem for one in sent} == {""}
    assert {one.partition for one in sent} == {0, 1, 2, 3}


async def test_brokers_that_are_nowhere_are_noticed() -> None:
    async with sending(NOWHERE, "commands") as sender:
        [sent] = await sender.send([Message(b"k", b"v", ())])
        submission = Submission(sender, SEALS, accepts_loss=True)
        with pytest.raises(Refused) as refused:
            await submission.submit(submitted(), ACME)

    assert sent.problem
    assert refused.value.reason == "COMMANDS_UNAVAILABLE"

"""`tender dlq`: what an operator sees of dead letters, and what becomes of them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from deploy.local import cli
from kit import topics
from processor.consumers.delivery import Delivery, Partition
from processor.consumers.letters import Letter
from storage.kafka.consumer import KafkaSource
from storage.kafka.parking import KafkaParking
from tests.consumers.conftest import eventually
from tests.consumers.events import event, sent
from tests.kafka import brokers
from tests.services.notifications import makers

Run = Callable[..., Awaitable[Result]]
CARD_NUMBER = "4111111111111111"


@pytest.fixture
def run(bootstrap: str, topic_prefix: str) -> Run:
    """Runs the program; topics of other tests are none of its business."""

    async def invoke(*arguments: str) -> Result:
        env = {
            "TENDER_KAFKA_BOOTSTRAP": bootstrap,
            "TENDER_TOPIC_PREFIX": topic_prefix,
            "TENDER_OPERATOR": "ada@till",
            "COLUMNS": "300",
        }
        runner = CliRunner(env=env)
        return await asyncio.to_thread(lambda: runner.invoke(cli.app, ["dlq", *arguments]))

    return invoke


def letter(topic: str, number: int, cause: str = "MALFORMED", **changed: Any) -> Letter:
    """A letter of the test's topic."""
    key, value, headers = sent(event(number))
    delivery = Delivery(Partition(topic, 1), number, key, value, headers, 0.0)._replace(**changed)
    at = 1_700_000_000.0 + number
    return Letter("webhooks", cause, "no event", 1, at, at + 0.5, delivery)


@pytest.fixture
async def parked(bootstrap: str, topic: str) -> list[Letter]:
    """Three letters, two of them with one cause."""
    made = [
        letter(topic, 1, value=f"card {CARD_NUMBER} \xff".encode("latin-1")),
        letter(topic, 2, "TEMPLATE_MISSING"),
        letter(topic, 3, "TEMPLATE_MISSING"),
    ]
    parking = KafkaParking({"bootstrap.servers": bootstrap})
    assert not any(await parking.park(made))
    await parking.close()
    return made


async def listed(run: Run, *arguments: str) -> list[str]:
    """Return the ids of the letters that wait."""
    result = await run("list", "--letters", "--json", *arguments)
    assert result.exit_code == 0, result.stderr
    return [each["id"] for each in json.loads(result.stdout)["letters"]]


async def test_letters_are_grouped_by_cause(run: Run, parked: list[Letter]) -> None:
    result = await run("list", "--json")

    groups = json.loads(result.stdout)["groups"]
    assert [(group["cause"], group["letters"]) for group in groups] == [
        ("TEMPLATE_MISSING", 2),
        ("MALFORMED", 1),
    ]
    assert groups[0]["example"] == parked[1].id
    assert groups[0]["firstTime"] == "2023-11-14 22:13:22.000Z"


async def test_the_list_is_a_table_for_people(run: Run, parked: list[Letter]) -> None:
    groups, each = await run("list"), await run("list", "--letters")

    assert "TEMPLATE_MISSING" in groups.stdout
    assert parked[1].id in groups.stdout
    assert all(one.id in each.stdout for one in parked)


async def test_the_list_can_be_narrowed(run: Run, topic: str, parked: list[Letter]) -> None:
    assert await listed(run, "--cause", "MALFORMED") == [parked[0].id]
    assert await listed(run, "--consumer", "reports") == []
    assert await listed(run, "--topic", "payments", "--limit", "2") == [
        parked[0].id,
        parked[1].id,
    ]


async def test_nothing_to_list_is_said(run: Run) -> None:
    assert "No dead letters" in (await run("list")).stdout


async def test_a_letter_is_shown_with_its_event(run: Run, parked: list[Letter]) -> None:
    result = await run("show", parked[1].id)

    for shown in (parked[1].id, "TEMPLATE_MISSING", "payment_captured", "partition 1, offset 2"):
        assert shown in result.stdout


async def test_a_card_number_is_never_shown(run: Run, parked: list[Letter]) -> None:
    for arguments in (["show", parked[0].id], ["show", parked[0].id, "--json"]):
        result = await run(*arguments)

        assert result.exit_code == 0
        assert CARD_NUMBER not in result.stdout
        assert "[card number]" in result.stdout


async def test_an_unknown_letter_is_told(run: Run, parked: list[Letter]) -> None:
    unknown = await run("show", parked[0].id + "0")
    nonsense = await run("show", "nonsense")

    assert (unknown.exit_code, nonsense.exit_code) == (1, 2)
    assert "waits for a decision" in unknown.stderr
    assert "CONSUMER/TOPIC/PARTITION/OFFSET" in nonsense.stderr


async def test_a_replayed_letter_is_in_its_topic_and_off_the_list(
    run: Run, bootstrap: str, parked: list[Letter]
) -> None:
    result = await run("replay", "--cause", "TEMPLATE_MISSING", "--rate", "1000", "--json")

    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["replayed"] == 2
    assert await listed(run) == [parked[0].id]
    topic = parked[0].delivery.partition.topic
    source = KafkaSource({"bootstrap.servers": bootstrap}, f"group-{topic}", [topic])
    await source.start()
    found: list[Delivery] = []

    async def has_come() -> bool:
        found.extend((await source.poll(10, 0.1, frozenset())).deliveries)
        return len(found) >= 2

    try:
        await eventually(has_come, "replayed events")
    finally:
        await source.close()
    came = [(one.partition, one.key, one.value, list(one.headers)) for one in found]
    assert came == [
        (
            one.delivery.partition,
            one.delivery.key,
            one.delivery.value,
            list(one.delivery.headers),
        )
        for one in parked[1:]
    ]


async def test_a_named_letter_is_replayed_alone(run: Run, parked: list[Letter]) -> None:
    result = await run("replay", parked[2].id)

    assert result.exit_code == 0
    assert "replayed 1 of 1" in result.stdout
    assert await listed(run) == [parked[0].id, parked[1].id]


async def test_a_replay_keeps_to_its_rate(run: Run, parked: list[Letter]) -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()

    await run("replay", "--all", "--rate", "2")

    # The first at once, then one each half second.
    assert loop.time() - before >= 1.0


async def test_a_dropped_letter_is_off_the_list_with_who_and_why(
    run: Run, bootstrap: str, parked: list[Letter]
) -> None:
    result = await run("drop", parked[0].id, "--reason", "a test of ours", "--json")

    assert json.loads(result.stdout) == {
        "dropped": 1,
        "by": "ada@till",
        "reason": "a test of ours",
    }
    assert await listed(run) == [parked[1].id, parked[2].id]
    [decision] = json.loads((await run("list", "--decided", "--json")).stdout)["decisions"]
    assert decision | {"time": ""} == {
        "id": parked[0].id,
        "cause": "MALFORMED",
        "decision": "dropped",
        "by": "ada@till",
        "time": "",
        "reason": "a test of ours",
    }


async def test_decisions_are_a_table_with_the_newest_first(run: Run, parked: list[Letter]) -> None:
    before = await run("list", "--decided")
    await run("drop", parked[0].id, "--reason", "a test of ours")
    await run("replay", parked[1].id)

    after = await run("list", "--decided")
    latest = await run("list", "--decided", "--limit", "1")

    assert "Nothing was decided" in before.stdout
    assert after.stdout.index("replayed") < after.stdout.index("dropped")
    assert "a test of ours" in after.stdout
    assert parked[0].id not in latest.stdout


async def test_a_request_for_a_message_is_shown_without_its_texts(
    run: Run, bootstrap: str, kafka: brokers.Broker, topic_prefix: str
) -> None:
    name = f"{topic_prefix}notifications"
    kafka.make_topics(name, topics.dead_letters(name), partitions=1)
    request = makers.request(7, texts={"code": "482913"}).SerializeToString()
    made = letter(name, 1, "TEMPLATE_MISSING", value=request, partition=Partition(name, 0))
    parking = KafkaParking({"bootstrap.servers": bootstrap})
    assert not any(await parking.park([made]))
    await parking.close()

    shown, told = await run("show", made.id), await run("show", made.id, "--json")

    assert json.loads(told.stdout)["request"]["texts"] == {"code": "(hidden)"}
    assert "req-7" in shown.stdout
    assert "482913" not in shown.stdout + told.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "--letters", "--decided"],
        ["replay"],
        ["drop", "--reason", "why"],
        ["drop", "--all"],
        ["drop", "--all", "--reason", " "],
        ["replay", "a/b/1/2", "--all"],
        ["replay", "--all", "--rate", "0"],
        ["list", "--topic", "no-such-topic"],
    ],
    ids=" ".join,
)
async def test_wrong_usage_changes_nothing(
    run: Run, parked: list[Letter], arguments: list[str]
) -> None:
    result = await run(*arguments)

    assert result.exit_code == 2
    assert result.stderr
    assert len(await listed(run)) == 3


async def test_brokers_that_are_away_are_told_without_a_traceback(run: Run) -> None:
    result = await run("list", "--bootstrap", "127.0.0.1:1")

    assert result.exit_code == 1
    assert "Kafka does not do it" in result.stderr


def test_without_a_stack_the_way_to_one_is_told(tmp_path: object) -> None:
    env = {"TENDER_DATA_DIR": str(tmp_path), "TENDER_KAFKA_BOOTSTRAP": None}

    result = CliRunner(env=env).invoke(cli.app, ["dlq", "list"])

    assert result.exit_code == 2
    assert "tender up" in result.stderr

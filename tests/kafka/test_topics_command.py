"""`tender topics` against Apache Kafka, the embedded broker and none."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from deploy import topics
from deploy.local import cli
from tests.kafka import brokers, clients
from tests.kafka.brokers import Broker

FILE = """
[topics.payments]
says = "What happened."
key = "payment"
partitions = {partitions}
retention_days = {days}
consumed = true

[topics.accounts]
says = "As they are."
key = "account"
partitions = 1
compaction_lag_hours = 24
consumed = false

[dead_letters]
partitions = 1
retention_days = 30
"""
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the program where no stack runs and nothing is set."""
    env = {
        "TENDER_DATA_DIR": str(tmp_path / "none"),
        "TENDER_KAFKA_BOOTSTRAP": None,
        "TENDER_KAFKA_SECURITY_FILE": None,
        "TENDER_TOPIC_PREFIX": None,
        "COLUMNS": "200",
    }
    return lambda *arguments: CliRunner(env=env).invoke(cli.app, ["topics", *arguments])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path)


@pytest.fixture
def at(durable_kafka: Broker, topic_prefix: str, file: Path) -> list[str]:
    """The options of a call on names that are this test's own."""
    return [
        *("--bootstrap", durable_kafka.bootstrap, "--prefix", topic_prefix, "--file", str(file))
    ]


def written(folder: Path, partitions: int = 2, days: int = 7) -> Path:
    path = folder / "topics.toml"
    path.write_text(FILE.format(partitions=partitions, days=days))
    return path


def states(result: Result) -> dict[str, str]:
    content: dict[str, Any] = json.loads(result.stdout)
    return {each["name"].split(".", 1)[1]: each["state"] for each in content["topics"]}


NAMES = ["payments", "payments.dlq", "accounts"]


def test_a_dry_run_shows_the_plan_and_changes_nothing(run: Run, at: list[str]) -> None:
    result = run("apply", *at, "--dry-run")

    assert result.exit_code == 0
    assert result.stdout.count("missing") == len(NAMES)
    assert "Nothing was changed." in result.stdout
    assert states(run("check", *at, "--json")) == dict.fromkeys(NAMES, "missing")


def test_what_is_missing_is_made_once(run: Run, at: list[str]) -> None:
    before = run("check", *at)
    first = run("apply", *at)
    second = run("apply", *at, "--json")
    after = run("check", *at)

    assert (before.exit_code, first.exit_code, second.exit_code, after.exit_code) == (1, 0, 0, 0)
    assert first.stdout.count(": created") == len(NAMES)
    assert states(second) == dict.fromkeys(NAMES, "right")


def test_topics_are_as_the_file_says(run: Run, at: list[str]) -> None:
    run("apply", *at)

    payments, dead, accounts = json.loads(run("check", *at, "--json").stdout)["topics"]

    assert (payments["partitionsFound"], dead["partitionsFound"]) == (2, 1)
    assert payments["configuration"]["retention.ms"] == str(7 * 86_400_000)
    assert accounts["configuration"]["cleanup.policy"] == "compact"
    assert [each["changes"] for each in (payments, dead, accounts)] == [{}, {}, {}]
    assert all(each["configurationShown"] for each in (payments, dead, accounts))


def test_what_is_different_stays_so_unless_it_is_to_be_altered(
    run: Run, at: list[str], file: Path
) -> None:
    run("apply", *at)
    written(file.parent, partitions=3, days=8)

    kept = run("apply", *at)
    different = run("check", *at)
    altered = run("apply", *at, "--alter")
    right = run("check", *at, "--json")

    assert kept.exit_code == altered.exit_code == 0
    assert "without --alter" in kept.stdout
    assert different.exit_code == 1
    assert "has 2 partitions; retention.ms is 604800000, not 691200000" in different.stdout
    assert "1 partitions added" in altered.stdout
    assert "configuration altered" in altered.stdout
    assert states(right) == dict.fromkeys(NAMES, "right")


def test_fewer_partitions_than_there_are_is_no_difference(
    run: Run, at: list[str], file: Path
) -> None:
    run("apply", *at)
    written(file.parent, partitions=1)

    result = run("check", *at)

    assert result.exit_code == 0
    assert "has 2 partitions" in result.stdout


def test_messages_outlive_an_alteration(
    run: Run, at: list[str], durable_kafka: Broker, topic_prefix: str, file: Path
) -> None:
    run("apply", *at)
    topic = f"{topic_prefix}payments"
    clients.send(clients.producer(durable_kafka.bootstrap), topic, [b"a", b"b"])
    written(file.parent, partitions=4, days=9)

    run("apply", *at, "--alter")

    assert clients.read(durable_kafka.bootstrap, topic, 2) == [b"a", b"b"]


def test_the_file_of_this_version_is_taken_by_a_broker(
    run: Run, durable_kafka: Broker, topic_prefix: str
) -> None:
    names = ["--bootstrap", durable_kafka.bootstrap, "--prefix", topic_prefix]

    applied = run("apply", *names)

    assert applied.exit_code == 0, applied.output
    assert run("check", *names).exit_code == 0


@pytest.fixture(scope="module")
def mock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with brokers.embedded_broker(tmp_path_factory.mktemp("mock") / "log") as broker:
        yield broker


@pytest.mark.parametrize("command", ["apply", "check"])
def test_the_embedded_broker_needs_nothing_and_it_is_said_so(
    command: str, run: Run, mock: Broker
) -> None:
    result = run(command, "--bootstrap", mock.bootstrap)

    assert result.exit_code == 0
    assert "nothing to apply" in result.stdout
    assert json.loads(run(command, "--bootstrap", mock.bootstrap, "--json").stdout)["embedded"]


def test_a_broker_that_is_away_is_told_without_a_traceback(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.kafka.topic_admin.CALL_SECONDS_MAX", 1.0)

    result = run("check", "--bootstrap", "127.0.0.1:1")

    assert result.exit_code == 1
    assert "Kafka does not answer: TRANSPORT" in result.stderr
    assert "hint" in result.stderr


@pytest.mark.parametrize("text", ["[topics", "[topics.A]\nsays = ''"])
@pytest.mark.parametrize("command", ["list", "check", "apply"])
def test_a_file_that_does_not_fit_exits_2(command: str, text: str, run: Run, file: Path) -> None:
    file.write_text(text)

    result = run(command, "--file", str(file))

    assert result.exit_code == 2
    assert str(file) in result.stderr.replace("\n", "")


def test_a_security_file_that_does_not_fit_exits_2_without_its_values(
    run: Run, tmp_path: Path
) -> None:
    security = tmp_path / "kafka.toml"
    security.write_text('acks = "hunter2"')
    security.chmod(0o600)

    result = run("check", "--bootstrap", "127.0.0.1:1", "--security-file", str(security))

    assert result.exit_code == 2
    assert "acks is no property of security" in result.stderr
    assert "hunter2" not in result.output


def test_a_property_that_librdkafka_does_not_know_is_named_without_its_value(
    run: Run, tmp_path: Path
) -> None:
    security = tmp_path / "kafka.toml"
    security.write_text('security.protocol = "hunter2"')
    security.chmod(0o600)

    result = run("check", "--bootstrap", "127.0.0.1:1", "--security-file", str(security))

    assert result.exit_code == 1
    assert "librdkafka does not take security.protocol" in result.stderr
    assert "hunter2" not in result.output


def test_the_list_asks_no_broker_and_shows_every_topic(run: Run) -> None:
    result = run("list", "--prefix", "staging.")
    as_json = json.loads(run("list", "--json").stdout)["topics"]

    assert result.exit_code == 0
    for topic in topics.read("staging."):
        assert topic.name in result.stdout
    assert [each["name"] for each in as_json] == [topic.name for topic in topics.read()]

"""A stack with Apache Kafka: it has the topics, and keeps what is in them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy import topics
from deploy.local import cli, folder
from deploy.local.options import StackOptions
from deploy.local.stack import Stack
from tests.kafka import clients

TOPIC = "acquirer.requests.dlq"  # It has one partition.


def options(data: Path) -> StackOptions:
    return StackOptions(data, replicas=0, kafka="apache", tenant=None, with_servers=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="module")
def stack(data: Path) -> Iterator[Stack]:
    """A stack that was stopped with a message in a topic, and started again."""
    with Stack(options(data)) as first:
        clients.send(clients.producer(first.endpoints.kafka_bootstrap), TOPIC, [b"before"])
    with Stack(options(data)) as second:
        yield second


def test_it_has_the_topics_of_this_version(stack: Stack) -> None:
    env = {"TENDER_DATA_DIR": str(stack.options.data_dir), "TENDER_KAFKA_BOOTSTRAP": None}

    result = CliRunner(env=env).invoke(cli.app, ["topics", "check", "--json"])

    found = json.loads(result.stdout)["topics"]
    assert [each["name"] for each in found] == [topic.name for topic in topics.read()]
    assert {each["state"] for each in found} == {"right"}
    assert result.exit_code == 0


def test_what_was_written_before_it_was_stopped_is_there(stack: Stack) -> None:
    assert clients.read(stack.endpoints.kafka_bootstrap, TOPIC, 1) == [b"before"]


def test_a_killed_broker_is_started_again_at_the_same_address(stack: Stack) -> None:
    bootstrap = stack.endpoints.kafka_bootstrap
    written = clients.count(bootstrap, TOPIC)

    stack.kill("kafka")
    stack.start_one("kafka")
    told = clients.send(clients.producer(bootstrap), TOPIC, [b"after"])

    assert told.errors == []
    assert clients.count(bootstrap, TOPIC) == written + 1


def test_both_of_its_ports_are_known(stack: Stack) -> None:
    state = folder.running_stack(stack.options.data_dir)

    assert state is not None
    assert stack.endpoints.kafka_bootstrap.endswith(f":{state.ports['kafka']}")
    assert state.ports["kafka_controller"] != state.ports["kafka"]


def test_a_given_kafka_takes_its_place(tmp_path: Path) -> None:
    given = StackOptions(tmp_path, kafka="apache", kafka_bootstrap="127.0.0.1:1")

    assert not given.has_apache_kafka
    assert {"kafka", "kafka_controller"}.isdisjoint(given.port_names())


def test_the_embedded_kafka_has_one_port(tmp_path: Path) -> None:
    names = StackOptions(tmp_path).port_names()

    assert "kafka" in names
    assert "kafka_controller" not in names

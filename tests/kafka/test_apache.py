"""Apache Kafka on this machine: it keeps what it acknowledged, whatever ends it."""

import base64
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from deploy.local import ports, supervisor
from deploy.local.kafka import apache, jars, java
from processor.events.ports import Away, Message
from storage.kafka.publisher import KafkaPublisher
from tests.deploy import files
from tests.kafka import brokers, clients
from tests.kafka.brokers import ApacheKafka

MESSAGES = [str(number).encode() for number in range(500)]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """A broker of this file's own; a test that ends it starts it again."""
    with ApacheKafka(tmp_path_factory.mktemp("own")) as broker:
        yield broker


def test_what_is_written_is_read_in_order(own: ApacheKafka) -> None:
    own.broker.make_topics("ordered")

    told = clients.send(clients.producer(own.bootstrap), "ordered", MESSAGES)

    assert (told.values, told.errors) == (MESSAGES, [])
    assert clients.read(own.bootstrap, "ordered", len(MESSAGES)) == MESSAGES


def test_a_topic_that_nobody_made_is_not_made_by_writing_to_it(own: ApacheKafka) -> None:
    settings = {"topic.metadata.propagation.max.ms": 0, "message.timeout.ms": 5_000}

    told = clients.send(clients.producer(own.bootstrap, **settings), "unmade", [b"lost"])

    (error,) = told.errors
    assert error.code() in (KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART)
    assert (
        "unmade"
        not in AdminClient({"bootstrap.servers": own.bootstrap})
        .list_topics(timeout=clients.WAIT_SECONDS_MAX)
        .topics
    )


def test_a_kill_loses_nothing_that_was_acknowledged(own: ApacheKafka) -> None:
    own.broker.make_topics("kept")
    told = clients.send(clients.producer(own.bootstrap), "kept", MESSAGES)

    own.kill()
    own.start()

    assert told.values == MESSAGES
    assert clients.read(own.bootstrap, "kept", len(MESSAGES)) == MESSAGES


def test_an_idempotent_producer_goes_on_over_a_kill_without_a_loss_or_a_repeat(
    own: ApacheKafka,
) -> None:
    own.broker.make_topics("going_on")
    producer = clients.producer(own.bootstrap)
    told = clients.Acknowledged()
    assert clients.send(producer, "going_on", [b"first"]).errors == []

    def kill_and_start() -> None:
        own.kill()
        own.start()

    restart = threading.Thread(target=kill_and_start)

    restart.start()
    for message in MESSAGES:
        producer.produce("going_on", message, b"k", on_delivery=told)
        producer.poll(0.01)
    restart.join()

    assert producer.flush(clients.WAIT_SECONDS_MAX) == 0
    assert (told.values, told.errors) == (MESSAGES, [])
    wanted = [b"first", *MESSAGES]
    assert clients.count(own.bootstrap, "going_on") == len(wanted)
    assert clients.read(own.bootstrap, "going_on", len(wanted)) == wanted


def test_an_event_that_is_refused_holds_its_row_and_all_that_follow(own: ApacheKafka) -> None:
    own.broker.make_topics("told.large")
    own.broker.make_topics("told.small", max_message_bytes="300")
    publisher = KafkaPublisher({"bootstrap.servers": own.bootstrap}, "told.", 7)
    fits, too_large = message("large", b"x"), message("small", secrets.token_bytes(1_000))
    publisher.publish(8, [fits, fits])
    poll_while_outstanding(publisher)
    first = publisher.acknowledged

    publisher.publish(9, [fits, too_large, fits])
    publisher.publish(10, [fits])
    with pytest.raises(Away, match=r"told\.small: MSG_SIZE_TOO_LARGE"):
        poll_while_outstanding(publisher)
    # All that fits arrives; what is behind the refused one counts for nothing.
    arrived = clients.read(own.bootstrap, "told.large", 5)
    publisher.close()

    assert first == 8
    assert len(arrived) == 5
    assert publisher.acknowledged == 8


def poll_while_outstanding(publisher: KafkaPublisher) -> None:
    deadline = time.monotonic() + clients.WAIT_SECONDS_MAX
    while publisher.outstanding and time.monotonic() < deadline:
        publisher.poll()


def message(topic: str, value: bytes) -> Message:
    return topic, "key", value, [("event-id", "s1.a.1.0")]


def test_what_is_dropped_is_not_acknowledged() -> None:
    publisher = KafkaPublisher({"bootstrap.servers": f"{ports.LOOPBACK}:1"}, "told.", 7)
    publisher.publish(8, [message("large", b"x"), message("large", b"x")])

    publisher.close()

    with pytest.raises(Away, match="PURGE"):
        publisher.poll()
    assert publisher.acknowledged == 7


def test_a_stop_is_in_order(own: ApacheKafka) -> None:
    own.stop()
    left = own.data / ".kafka_cleanshutdown"
    is_clean = left.exists()
    own.start()

    assert is_clean


def test_it_comes_back_on_other_ports_with_its_data(tmp_path: Path) -> None:
    with ApacheKafka(tmp_path) as first:
        first.broker.make_topics("moved")
        clients.send(clients.producer(first.bootstrap), "moved", MESSAGES)
    with ApacheKafka(tmp_path) as second:
        found = clients.read(second.bootstrap, "moved", len(MESSAGES))

    assert second.bootstrap != first.bootstrap
    assert found == MESSAGES


def test_a_broker_that_is_given_is_used(
    own: ApacheKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(brokers.GIVEN, own.bootstrap)

    with brokers.shared(tmp_path) as broker:
        assert broker == own.broker


def test_without_java_the_embedded_broker_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(brokers.GIVEN, raising=False)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))

    with brokers.shared(tmp_path) as broker:
        told = clients.send(clients.producer(broker.bootstrap), "any", [b"hello"])

    assert not broker.is_durable
    assert told.errors == []


def test_data_that_cannot_be_formatted_is_told_with_the_reason(tmp_path: Path) -> None:
    settings = {"process.roles": "nobody"}

    with pytest.raises(supervisor.StartFailed, match=r"(?s)not formatted.*nobody"):
        ApacheKafka(tmp_path, settings).__enter__()


@pytest.mark.parametrize("home", [None, "/nowhere"])
def test_a_machine_without_java_is_told_how_to_get_it(
    home: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if home is None:
        monkeypatch.delenv("JAVA_HOME", raising=False)
        monkeypatch.setenv("PATH", "/nowhere")
    else:
        monkeypatch.setenv("JAVA_HOME", home)

    with pytest.raises(java.Missing, match="apt-get install"):
        java.java()


def test_a_machine_without_maven_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(java.Missing, match="maven"):
        java.maven()


def test_an_old_java_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    old = tmp_path / "bin/java"
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    old.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))

    with pytest.raises(java.Missing, match="is 11"):
        java.java()


@pytest.mark.parametrize(
    ("told", "number"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "25" 2025-09-16', 25),
        ('java version "1.8.0_392"', 8),
        ("no such thing", 0),
    ],
)
def test_the_version_of_java_is_read(told: str, number: int) -> None:
    assert java.major(told) == number


def test_a_cluster_id_is_sixteen_bytes_and_no_option() -> None:
    ids = [apache.new_cluster_id() for _ in range(200)]

    assert {len(base64.urlsafe_b64decode(each + "==")) for each in ids} == {16}
    assert [each for each in ids if each.startswith("-")] == []
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("path", "written"),
    [("/data", "/data"), ("/a\\b", "/a\\\\b"), ("/é", "/\\u00e9"), ("/𝄞", "/\\ud834\\udd1e")],
)
def test_a_path_is_written_as_java_reads_it(path: str, written: str) -> None:
    assert apache.escaped(path) == written


def test_it_is_of_the_version_that_is_deployed() -> None:
    image = files.services()["kafka"]["image"]
    (cluster,) = files.of_kind("Kafka").values()

    assert image == f"apache/kafka:{jars.version()}"
    assert cluster["spec"]["kafka"]["version"] == jars.version()


def test_compose_sets_it_up_as_the_stack_does() -> None:
    given = files.services()["kafka"]["environment"]
    own = dict(
        line.split("=", 1)
        for line in apache.CONFIGURATION.splitlines()
        if "=" in line and not line.startswith("#")
    )
    names = {"KAFKA_" + name.upper().replace(".", "_"): value for name, value in own.items()}

    same = {name for name in names if "REPLICATION" in name or "MIN_I" in name}
    assert len(same) == 7
    assert {name: given.get(name) for name in same} == {name: names[name] for name in same}
    assert yaml.safe_load(given["KAFKA_AUTO_CREATE_TOPICS_ENABLE"]) is False

"""Brokers for tests: Apache Kafka where it can run, one that is given, or the embedded one."""

import contextlib
import dataclasses
import functools
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.local import kafka, ports, servers, supervisor
from deploy.local.kafka import apache, embedded, jars, java

GIVEN: Final = "TENDER_TEST_KAFKA_BOOTSTRAP"
"""host:port of an Apache Kafka that the tests are to use instead of their own."""

CALL_SECONDS_MAX: Final = 30.0
NAME: Final = "kafka"

QUICK: Final = "-XX:TieredStopAtLevel=1"
"""Compile less: a broker that lives for seconds costs a third less CPU."""


@dataclass(frozen=True)
class Broker:
    """A broker that runs."""

    bootstrap: str
    is_durable: bool
    """Whether it is Apache Kafka and not the embedded broker, which forgets what it had."""

    def make_topics(self, *names: str, partitions: int = 1, **configuration: str) -> None:
        """Make topics and wait for them; the embedded broker makes them itself.

        A property is written with underscores for its dots.
        """
        if not self.is_durable:
            return
        properties = {name.replace("_", "."): value for name, value in configuration.items()}
        client = AdminClient({"bootstrap.servers": self.bootstrap})
        made = client.create_topics(
            [NewTopic(name, partitions, config=properties) for name in names],
            operation_timeout=CALL_SECONDS_MAX,
            request_timeout=CALL_SECONDS_MAX,
        )
        for future in made.values():
            future.result(CALL_SECONDS_MAX)


class ApacheKafka:
    """A broker of a test's own, to be killed and started again."""

    def __init__(
        self,
        data: Path,
        settings: Mapping[str, str] | None = None,
        client: Mapping[str, Any] | None = None,
    ) -> None:
        """`client` is how clients have to come, if not in plain text. Raises java.Missing."""
        java.java()
        fetched = jars.fetch()
        self._held = ExitStack()
        self._children = supervisor.Supervisor(lambda _event: None, lambda _who: None)
        chosen = ports.choose(["kafka", "controller"], {}, self._held)
        self.bootstrap = f"{ports.LOOPBACK}:{chosen['kafka']}"
        self.data = data / "data"
        service = apache.service(
            data, chosen["kafka"], chosen["controller"], data / "log", fetched, settings
        )
        environment = {**service.env, "JAVA_TOOL_OPTIONS": QUICK}
        service = dataclasses.replace(service, env=environment)
        if client is not None:
            service = dataclasses.replace(
                service, probe=functools.partial(probe, self.bootstrap, client)
            )
        self._service = service

    @property
    def broker(self) -> Broker:
        return Broker(self.bootstrap, is_durable=True)

    def __enter__(self) -> Self:
        try:
            self._children.add(self._service)
            self._children.await_ready(NAME)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._children.stop_all()
        self._held.close()

    def start(self) -> None:
        """Start it again, and wait until it answers."""
        self._children.start(NAME)

    def stop(self) -> None:
        """Stop it in order."""
        self._children.stop(NAME)

    def kill(self) -> None:
        """End it as an accident would; it stays down."""
        self._children.kill(NAME, signal.SIGKILL, stay_down=True)


def probe(bootstrap: str, client: Mapping[str, Any]) -> None:
    """Raise NotReady unless a broker lists itself to clients that have to prove who they are."""
    settings: dict[str, Any] = {**client, "bootstrap.servers": bootstrap, "log_level": 0}
    try:
        ports.connect(bootstrap)
        listed = AdminClient(settings).list_topics(timeout=kafka.LIST_SECONDS_MAX)
    except (OSError, KafkaException) as error:
        raise supervisor.NotReady(str(error)) from error
    if not listed.brokers:
        raise supervisor.NotReady("no broker has registered yet")


@contextlib.contextmanager
def embedded_broker(log: Path) -> Iterator[Broker]:
    """Run librdkafka's mock cluster."""
    with ExitStack() as held:
        port = ports.choose([NAME], {}, held)[NAME]
        children = supervisor.Supervisor(lambda _event: None, lambda _who: None)
        held.callback(children.stop_all)
        children.add(embedded.service(port, servers.environment(), log))
        children.await_ready(NAME)
        yield Broker(f"{ports.LOOPBACK}:{port}", is_durable=False)


@contextlib.contextmanager
def shared(data: Path) -> Iterator[Broker]:
    """Run one for many tests: the given one, Apache Kafka, or without Java the embedded one."""
    data.mkdir(exist_ok=True)
    if given := os.environ.get(GIVEN):
        yield Broker(given, is_durable=True)
        return
    with ExitStack() as running:
        try:
            broker = running.enter_context(ApacheKafka(data)).broker
        except java.Missing:
            broker = running.enter_context(embedded_broker(data / "log"))
        yield broker

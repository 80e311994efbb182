"""Kafka on this machine: librdkafka's mock cluster in memory, or Apache Kafka itself."""

import confluent_kafka
from confluent_kafka.admin import AdminClient

from deploy.local import ports, supervisor

LIST_SECONDS_MAX = 1.0


def probe(bootstrap: str) -> None:
    """Raise NotReady unless a broker lists itself."""
    try:
        # Cheaper than a client that is only going to be refused.
        ports.connect(bootstrap.partition(",")[0])
        client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        listed = client.list_topics(timeout=LIST_SECONDS_MAX)
    except (OSError, confluent_kafka.KafkaException) as error:
        raise supervisor.NotReady(str(error)) from error
    # Apache Kafka answers before its controller has let the broker in.
    if not listed.brokers:
        raise supervisor.NotReady("no broker has registered yet")

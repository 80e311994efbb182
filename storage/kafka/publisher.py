"""Hands events to Kafka by an idempotent producer, and says up to which row all are acknowledged.

The producer's threads send; acknowledgements are taken in by `poll`, in the caller's own thread. A
producer that failed is of no use any more: what is outstanding is dropped with it.

To be called for each event that arrived would be a fifth of what publishing costs. So the client
is asked to call for errors alone (`delivery.report.only.error`). It must then hold on to the
callback of an event until it knows whether there is one: a row's events share a callback of their
own, and once that is gone without a call, all of them are acknowledged.
"""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple
from weakref import ref

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Delivered

from processor.events.ports import Away, Message

BUFFER_MESSAGES_MAX: Final = 200_000
BUFFER_KILOBYTES_MAX: Final = 128 * 1024
"""Of librdkafka; the relay itself stops earlier."""

LINGER_MS: Final = 8
"""Batches of a few events cost a broker several times as much per event; 5 ms made such ones."""

STALL_SECONDS_MAX: Final = 30.0
"""Without any acknowledgement the producer is replaced: a broker that lost its memory, as embedded
ones do, never accepts what follows what it has forgotten."""

CLOSE_SECONDS_MAX: Final = 1.0

SETTINGS: Final[Mapping[str, object]] = {
    "enable.idempotence": True,
    "acks": "all",
    "delivery.report.only.error": True,
    "compression.type": "lz4",
    "linger.ms": LINGER_MS,
    "batch.num.messages": 10_000,
    "queue.buffering.max.messages": BUFFER_MESSAGES_MAX,
    "queue.buffering.max.kbytes": BUFFER_KILOBYTES_MAX,
    # Never: one that timed out would be passed by those behind it, once the brokers are back.
    "message.timeout.ms": 0,
    # As Java's clients do, so that a key is in one partition whoever writes it.
    "partitioner": "murmur2_random",
}


_ANY_PARTITION: Final = -1
_NOW: Final = 0


class _Row(NamedTuple):
    """A row whose events are on their way."""

    seq: int
    events: int
    failed: "ref[partial[None]]"
    """The callback of its events; the client alone holds it, as long as one is not acknowledged."""


class KafkaPublisher:
    """Publishes the rows behind a position, in the order in which they are given."""

    def __init__(self, configuration: Mapping[str, Any], prefix: str, position: int) -> None:
        """`configuration` is how to reach the brokers; topics get the prefix. Raises Away."""
        self._prefix = prefix
        self._rows: deque[_Row] = deque()
        self._failure = ""
        self._moved_at = time.monotonic()
        self.outstanding = 0
        self.acknowledged = position
        settings = {**configuration, **SETTINGS, "error_cb": self._note_error}
        try:
            self._producer = Producer(settings)
        except KafkaException as error:
            raise Away(f"Kafka: {_said(error.args[0])}") from None

    def publish(self, seq: int, messages: Sequence[Message]) -> None:
        """Hand a row's events over. Raises Away."""
        if not self.outstanding:
            self._moved_at = time.monotonic()
        produce, prefix, failed = self._producer.produce, self._prefix, partial(self._fail)
        try:
            for topic, key, value, headers in messages:
                # By position, which is cheaper; on_delivery is another name for the callback.
                produce(prefix + topic, value, key, _ANY_PARTITION, failed, None, _NOW, headers)
        except BufferError:
            # The bound on what is outstanding is meant to come first: begin anew with less.
            self._failure = "Kafka: the producer's buffer is full"
        except KafkaException as error:
            self._failure = f"Kafka: {_said(error.args[0])}"
        # No position passes a row that was not handed over whole.
        if self._failure:
            raise Away(self._failure)
        self.outstanding += len(messages)
        self._rows.append(_Row(seq, len(messages), ref(failed)))

    def poll(self) -> None:
        """Take acknowledgements in. Raises Away once anything has failed."""
        if self._producer.poll(0):
            self._moved_at = time.monotonic()
        self._note_acknowledged()
        if self._failure:
            raise Away(self._failure)
        if self.outstanding and time.monotonic() - self._moved_at > STALL_SECONDS_MAX:
            raise Away(f"Kafka: nothing was acknowledged for {STALL_SECONDS_MAX:g} s")

    def close(self) -> None:
        """Drop what is outstanding; acknowledgements that are here already still count."""
        self._producer.poll(0)
        self._note_acknowledged()
        self._producer.purge(in_queue=True, in_flight=True)
        self._producer.flush(CLOSE_SECONDS_MAX)

    def _note_acknowledged(self) -> None:
        rows = self._rows
        # Callbacks are gone after an error, too, once they were called with it.
        while rows and not self._failure and rows[0].failed() is None:
            row = rows.popleft()
            self.acknowledged = row.seq
            self.outstanding -= row.events

    def _fail(self, error: KafkaError, message: Delivered) -> None:
        """Note that an event was not published, and so none behind it may be."""
        self._failure = self._failure or f"Kafka, topic {message.topic()}: {_said(error)}"

    def _note_error(self, error: KafkaError) -> None:
        # Brokers come and go, and the library tries again; only what it cannot mend is a failure.
        if error.fatal():
            self._failure = self._failure or f"Kafka: {_said(error)}"


def _said(error: KafkaError) -> str:
    """Return the error's name: its text may quote what was sent, or name hosts."""
    return str(error.name())

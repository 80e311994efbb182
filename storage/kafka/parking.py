"""Puts dead letters into their topics, and waits until the brokers have them for good."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Record

from kit import topics
from processor.consumers import letters
from processor.consumers.letters import Letter
from storage.kafka.member import said
from storage.kafka.worker import Worker

TIMEOUT_MS: Final = 10_000
"""By then a letter is stored or it is not; its partition stands still for so long at most."""
FLUSH_SECONDS_MORE: Final = 2.0
MESSAGE_BYTES_MAX: Final = 2_000_000
"""A record as large as its own topic takes has to fit with our headers; the broker judges."""
NOT_ANSWERED: Final = "no answer in time"

SETTINGS: Final[Mapping[str, object]] = {
    "acks": "all",
    "enable.idempotence": True,
    "message.max.bytes": MESSAGE_BYTES_MAX,
    "socket.timeout.ms": TIMEOUT_MS,
    "compression.type": "lz4",
    "linger.ms": 5,
    # Reported by each message; and our logs are JSON.
    "log_level": 0,
}

_TOO_LARGE: Final = {"MSG_SIZE_TOO_LARGE", "_MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"}


class KafkaParking:
    """Implements `ports.Parking`; a producer that failed is thrown away, and the next one made."""

    def __init__(self, configuration: Mapping[str, Any], *, timeout_ms: int = TIMEOUT_MS) -> None:
        """`configuration` is how to reach the brokers."""
        self._configuration = {
            **configuration,
            **SETTINGS,
            "message.timeout.ms": timeout_ms,
            # A topic that is missing is told as such, and not as brokers that do not answer.
            "topic.metadata.propagation.max.ms": timeout_ms // 2,
        }
        self._flush_seconds_max = timeout_ms / 1_000 + FLUSH_SECONDS_MORE
        self._producer: Producer | None = None
        self._worker = Worker("kafka-parking")

    async def park(self, parked: Sequence[Letter]) -> Sequence[str]:
        """Store letters; return for each why not, empty if it is."""
        return await self._worker.call(lambda: self._park(parked))

    async def close(self) -> None:
        """Let the producer go; nothing is outstanding between two calls."""
        await self._worker.call(self._forget_producer)
        self._worker.stop()

    # In the thread.

    def _park(self, parked: Sequence[Letter]) -> Sequence[str]:
        problems = self._send(parked)
        too_large = [at for at, problem in enumerate(problems) if problem in _TOO_LARGE]
        if too_large:
            # Better known without its value than in everybody's way for ever: that is still where
            # it was, for as long as its topic is kept.
            shortened = [parked[at]._replace(without_value=True) for at in too_large]
            for at, problem in zip(too_large, self._send(shortened), strict=True):
                problems[at] = problem
        if any(problems):
            self._forget_producer()
        return [
            problem and f"topic {topics.dead_letters(letter.delivery.partition.topic)}: {problem}"
            for letter, problem in zip(parked, problems, strict=True)
        ]

    def _send(self, parked: Sequence[Letter]) -> list[str]:
        problems = [NOT_ANSWERED] * len(parked)
        try:
            if self._producer is None:
                self._producer = Producer(self._configuration)
            for at, letter in enumerate(parked):
                self._produce(self._producer, letter, at, problems)
            self._producer.flush(self._flush_seconds_max)
        except KafkaException as error:
            return [problem and said(error.args[0]) for problem in problems]
        return problems

    def _produce(self, producer: Producer, letter: Letter, at: int, problems: list[str]) -> None:
        def told(error: KafkaError | None, _record: Record) -> None:
            problems[at] = "" if error is None else said(error)

        delivery = letter.delivery
        try:
            producer.produce(
                topics.dead_letters(delivery.partition.topic),
                value=None if letter.without_value else delivery.value,
                key=delivery.key,
                headers=list(letters.headers(letter)),
                on_delivery=told,
            )
        except KafkaException as error:
            problems[at] = said(error.args[0])
        except BufferError:
            problems[at] = "the producer's buffer is full"

    def _forget_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
            producer.flush(0)

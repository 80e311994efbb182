"""Writes records to one topic and says of each what became of it: stored, not stored, or unknown.

The producer and its callbacks live in a thread; answers come to the event loop in portions. A
producer on which anything ran out of time is replaced: one whose broker lost its memory, as
embedded ones do, would never have anything accepted again.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Delivered

from kit.operations import Message, Sent
from storage.kafka.member import said

TIMEOUT_MS: Final = 3_000
"""From taking a record until it is stored, or not."""
POLL_SECONDS: Final = 0.05
PROBE_SECONDS: Final = 1.0
"""Between two looks at brokers that are away, and the longest that one takes."""
BUFFER_MESSAGES_MAX: Final = 20_000
BUFFER_KILOBYTES_MAX: Final = 64 * 1024
MESSAGE_BYTES_MAX: Final = 1_000_000
MEMORY_ONLY: Final = "mockCluster"
"""How the ids of librdkafka's mock clusters begin, which keep nothing."""
CLOSE_SECONDS_MAX: Final = 1.0

SETTINGS: Final[Mapping[str, object]] = {
    "enable.idempotence": True,
    "acks": "all",
    "compression.type": "lz4",
    "linger.ms": 2,
    "queue.buffering.max.messages": BUFFER_MESSAGES_MAX,
    "queue.buffering.max.kbytes": BUFFER_KILOBYTES_MAX,
    "message.max.bytes": MESSAGE_BYTES_MAX,
    "socket.timeout.ms": TIMEOUT_MS,
    # A topic that is missing is told as such, and not as brokers that do not answer.
    "topic.metadata.propagation.max.ms": TIMEOUT_MS // 2,
    "reconnect.backoff.max.ms": 500,
    # As Java's clients do, so that a key is in one partition whoever writes it.
    "partitioner": "murmur2_random",
    "log_level": 0,
}

_NOT_STORED: Final = frozenset(
    {
        *(KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC),
        *(KafkaError._UNKNOWN_PARTITION, KafkaError.TOPIC_AUTHORIZATION_FAILED),
        *(KafkaError.CLUSTER_AUTHORIZATION_FAILED, KafkaError._AUTHENTICATION),
        *(KafkaError.MSG_SIZE_TOO_LARGE, KafkaError._INVALID_ARG),
        *(KafkaError.RECORD_LIST_TOO_LARGE, KafkaError.NOT_ENOUGH_REPLICAS),
        *(KafkaError.INVALID_RECORD, KafkaError.POLICY_VIOLATION),
        # Taken out of the buffer before it was sent.
        *(KafkaError._PURGE_QUEUE, KafkaError._QUEUE_FULL),
    }
)
_OUT_OF_TIME: Final = frozenset(
    {KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT, KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER}
)


class KafkaSender:
    """Writes to a topic; use it within `run`, which ends it when cancelled."""

    def __init__(
        self, configuration: Mapping[str, Any], topic: str, *, timeout_ms: int = TIMEOUT_MS
    ) -> None:
        """`configuration` is how to reach the brokers, `topic` a whole name."""
        self._topic = topic
        self._timeout_seconds = timeout_ms / 1_000
        self._configuration = {
            **configuration,
            **SETTINGS,
            "message.timeout.ms": timeout_ms,
            "error_cb": self._on_error,
        }
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()  # Of the answers, which both threads touch.
        self._answers: list[tuple[asyncio.Future[Sent], Sent]] = []
        self._is_told = False
        self._away = ""
        self._is_worn = False
        self._is_over = threading.Event()
        self._producer = Producer(self._configuration)
        self._thread = threading.Thread(target=self._work, name=f"kafka-{topic}", daemon=True)

    @property
    def problem(self) -> str:
        """Why nothing can be written just now; empty if nothing is known to be wrong."""
        return self._away

    async def run(self) -> None:
        """Take answers in until cancelled."""
        self._thread.start()
        try:
            await self._loop.create_future()
        finally:
            self._is_over.set()
            await asyncio.to_thread(self._thread.join, CLOSE_SECONDS_MAX * 2)

    async def send(self, messages: Sequence[Message]) -> Sequence[Sent]:
        """Write records, and return what became of each."""
        futures = [self._produce(message) for message in messages]
        # The library answers in its time; this is for a thread that hangs in it.
        _, late = await asyncio.wait(futures, timeout=self._timeout_seconds + 2.0)
        unknown = Sent(-1, "no answer in time", is_known=False)
        return [unknown if future in late else future.result() for future in futures]

    async def is_memory_only(self) -> bool:
        """Whether the brokers forget all they have when they end. Raises ConnectionError."""
        try:
            listed = await asyncio.to_thread(
                self._producer.list_topics, self._topic, self._timeout_seconds
            )
        except KafkaException as error:
            raise ConnectionError(said(error.args[0])) from None
        return str(listed.cluster_id).startswith(MEMORY_ONLY)

    def _produce(self, message: Message) -> "asyncio.Future[Sent]":
        future: asyncio.Future[Sent] = self._loop.create_future()

        def told(error: KafkaError | None, record: Delivered) -> None:
            if error is None:
                self._answer(future, Sent(record.partition() or 0))
            else:
                if error.code() in _OUT_OF_TIME or error.fatal():
                    self._is_worn = True
                is_known = error.code() in _NOT_STORED
                self._answer(future, Sent(-1, said(error), is_known=is_known))

        try:
            self._producer.produce(
                self._topic,
                message.value,
                message.key,
                on_delivery=told,
                headers=list(message.headers),
            )
        except BufferError:
            future.set_result(Sent(-1, "_QUEUE_FULL"))
        except KafkaException as error:
            self._is_worn = self._is_worn or error.args[0].fatal()
            future.set_result(Sent(-1, said(error.args[0])))
        return future

    def _answer(self, future: "asyncio.Future[Sent]", sent: Sent) -> None:
        """In the thread: let the event loop have an answer, with all others of this moment."""
        with self._lock:
            self._answers.append((future, sent))
            is_first, self._is_told = not self._is_told, True
        if is_first:
            # A loop that is closed has nobody who waits.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        with self._lock:
            answers, self._answers = self._answers, []
            self._is_told = False
        for future, sent in answers:
            if not future.done():
                future.set_result(sent)

    # In the thread.

    def _work(self) -> None:
        probe_at = 0.0
        while not self._is_over.is_set():
            self._producer.poll(POLL_SECONDS)
            if self._is_worn:
                self._replace()
            if self._away and time.monotonic() >= probe_at:
                self._probe()
                probe_at = time.monotonic() + PROBE_SECONDS
        self._end(self._producer)

    def _replace(self) -> None:
        worn, self._producer = self._producer, Producer(self._configuration)
        self._is_worn = False
        self._end(worn)

    def _end(self, producer: Producer) -> None:
        producer.purge(in_queue=True, in_flight=True)
        producer.flush(CLOSE_SECONDS_MAX)

    def _probe(self) -> None:
        try:
            self._producer.list_topics(self._topic, PROBE_SECONDS)
            self._away = ""
        except KafkaException as error:
            self._away = said(error.args[0])

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._is_worn = True
        elif error.code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError._AUTHENTICATION):
            # Perhaps only idle connections were closed: the next look tells.
            self._away = said(error)

"""Hears of payments as a consumer does, and notes how old each event is by then."""

import threading
import time
from typing import Final

from confluent_kafka import OFFSET_END, Consumer, TopicPartition

from tender.v1 import event_pb2

TOPIC: Final = "payments"
WAIT_SECONDS: Final = 0.02
LIST_SECONDS_MAX: Final = 30.0
JOIN_SECONDS_MAX: Final = 10.0


class Listener:
    """Listens in a thread within a block, from what is sent after its beginning."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self.ages: list[float] = []
        """In seconds, from the decision until it was heard."""

    def __enter__(self) -> "Listener":
        self._thread.start()
        if not self._ready.wait(LIST_SECONDS_MAX):
            raise TimeoutError("the broker does not answer")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(JOIN_SECONDS_MAX)

    def _listen(self) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": "benchmark",
                "enable.auto.commit": False,
                # As a consumer has it that wants to hear soon.
                "fetch.wait.max.ms": 20,
            }
        )
        try:
            listed = consumer.list_topics(TOPIC, timeout=LIST_SECONDS_MAX)
            consumer.assign(
                [TopicPartition(TOPIC, one, OFFSET_END) for one in listed.topics[TOPIC].partitions]
            )
            consumer.poll(WAIT_SECONDS)
            self._ready.set()
            while not self._stop.is_set():
                # One by one: asked for several, it waits until there are as many.
                message = consumer.poll(WAIT_SECONDS)
                if message is None or message.error() is not None:
                    continue
                value = message.value()
                if isinstance(value, bytes):
                    self._note(value)
        finally:
            consumer.close()

    def _note(self, value: bytes) -> None:
        decided = event_pb2.Event.FromString(value).create_time
        self.ages.append(time.time() - decided.seconds - decided.nanos / 1e9)


def percentile_ms(ages: list[float], share: float) -> float:
    """Return a percentile in ms; 0 of nothing."""
    ordered = sorted(ages)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e3 if ordered else 0.0

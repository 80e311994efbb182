"""Asks Kafka how far the service's consumer group is, in a thread of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

from services.reporting.watch import Away, Look
from storage.kafka.offsets import GroupOffsets
from storage.kafka.topic_plan import BrokersAway
from storage.kafka.worker import Worker


class GroupBrokers:
    """Implements `watch.Brokers`."""

    def __init__(self, configuration: Mapping[str, Any], group: str, topics: Sequence[str]) -> None:
        """`topics` are whole names, with the prefix."""
        self._configuration = configuration
        self._group = group
        self._topics = topics
        self._offsets: GroupOffsets | None = None
        self._worker = Worker(f"kafka-watch-{group}")

    async def look(self) -> Look:
        """Return what the brokers say now. Raises Away."""
        try:
            return Look(*await self._worker.call(self._look))
        except BrokersAway as away:
            raise Away(str(away)) from None

    def _look(self) -> tuple[Any, Any]:
        if self._offsets is None:
            self._offsets = GroupOffsets(self._configuration, self._group, self._topics)
        return self._offsets.look()

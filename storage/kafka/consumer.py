"""A member of a consumer group as the loop sees it: its calls run in a thread of their own.

Polls wait in that thread and not in the event loop, and callbacks of the client library run inside
of these calls, so that nothing of a member is touched by two threads at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from typing import Any, Final, TypeVar

import structlog
from confluent_kafka import KafkaException

from processor.consumers.delivery import Partition
from processor.consumers.ports import Polled, SourceLost
from storage.kafka.member import Member, said
from storage.kafka.worker import Worker

CLOSE_SECONDS_MAX: Final = 15.0
"""Longer than the commit of brokers that answer; with others it is left to the session's end."""

_Result = TypeVar("_Result")

log = structlog.get_logger()


def opener(
    configuration: Mapping[str, Any], group: str, topics: Sequence[str]
) -> Callable[[], Awaitable["KafkaSource"]]:
    """Return what opens a member of a group; `configuration` is how to reach the brokers.

    `topics` are whole names, with the prefix. The opener raises SourceLost.
    """

    async def open_source() -> KafkaSource:
        source = KafkaSource(configuration, group, topics)
        try:
            await source.start()
        except BaseException:
            await source.close()
            raise
        return source

    return open_source


class KafkaSource:
    """Implements `ports.Source`."""

    def __init__(self, configuration: Mapping[str, Any], group: str, topics: Sequence[str]) -> None:
        self._group = group
        self._member = Member(configuration, group, topics)
        self._worker = Worker(f"kafka-{group}")

    async def start(self) -> None:
        """Join the group. Raises SourceLost."""
        await self._call(self._member.start)

    @property
    def owned(self) -> Set[Partition]:
        """The partitions that this member has; the thread is idle when the loop asks."""
        return self._member.owned

    async def poll(self, count_max: int, seconds_max: float, paused: Set[Partition]) -> Polled:
        """Return what there is; see `ports.Source.poll`."""
        return await self._call(lambda: self._member.poll(count_max, seconds_max, paused))

    def finish(self, positions: Mapping[Partition, int]) -> None:
        """Note what is to be committed; the thread is idle when the loop says so."""
        self._member.finish(positions)

    async def close(self) -> None:
        """Commit what is finished and leave the group, if the brokers answer."""
        closed = self._worker.submit(self._member.close)
        await asyncio.wait([closed], timeout=CLOSE_SECONDS_MAX)
        reason = ""
        if not closed.done():
            closed.cancel()
            reason = "no answer in time"
        elif error := closed.exception():
            if not isinstance(error, KafkaException):
                raise error
            reason = said(error.args[0])
        if reason:
            # What was not committed is delivered again, and had its effect already.
            log.warning("consumer_left_uncommitted", consumer=self._group, reason=reason)
        self._worker.stop()

    async def _call(self, function: Callable[[], _Result]) -> _Result:
        """Run in the thread. Raises SourceLost for whatever the library cannot do."""
        try:
            return await self._worker.call(function)
        except KafkaException as error:
            raise SourceLost(said(error.args[0])) from None

"""What a relay reads and writes, and what it needs of whoever does so. Implemented in `storage`."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Row(NamedTuple):
    """A row of a shard's journal; `created_at` in µs since 1970."""

    shard: str
    incarnation: str
    seq: int
    body: bytes
    created_at: int


Message = tuple[str, str, bytes, list[tuple[str, str | bytes | None]]]
"""An event as it goes to Kafka: its topic, without a prefix yet, its key, its value and headers.

A tuple without names: there are five for a payment, and one with names takes Python to make.
"""


class Away(Exception):
    """The journal, or what publishes it, cannot be used now; the text is for people."""


class Busy(Away):
    """Another relay has the shard."""


class Fenced(Away):
    """Another relay has taken the shard over."""


class Head(NamedTuple):
    """What is behind a position: how many rows, and for how many seconds the first has waited."""

    rows: int
    seconds: float


class Journal(Protocol):
    """The journal of one shard, as its relay uses it. All methods raise Away."""

    async def open(self, owner: str) -> int:
        """Become the shard's relay; return the stored position. Raises Busy."""

    async def rows(self, after: int, limit: int) -> Sequence[Row]: ...
    async def store(self, position: int) -> None:
        """Store a position, and give a sign of life. Raises Fenced."""

    async def behind(self, position: int) -> Head: ...
    async def close(self) -> None: ...


class Publisher(Protocol):
    """Takes events and says how far they are acknowledged. All methods raise Away."""

    @property
    def acknowledged(self) -> int:
        """The row up to which every event is acknowledged."""

    @property
    def outstanding(self) -> int:
        """Events that are not."""

    def publish(self, seq: int, messages: Sequence[Message]) -> None: ...
    def poll(self) -> None:
        """Take acknowledgements in."""

    def close(self) -> None:
        """Forget what is outstanding."""


class Releases(Protocol):
    """What is known of other shards' relays."""

    async def is_told(self, source: str, number: int) -> bool:
        """Say whether a shard's relay is past its leg of a number. Raises Away."""

"""What the asynchronous way in needs of Kafka and of its database, and how they say no."""

from collections.abc import Collection, Mapping, Sequence, Set
from typing import Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from kit.operations import Decided, Message, Position, Row, Sent

Headers: TypeAlias = Sequence[tuple[str, bytes | None]]
Place = TypeVar("Place")
"""A partition of the topic, whatever the source calls it."""
Held = TypeVar("Held", covariant=True)


class Record(Protocol):
    """A record as the broker has it."""

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...
    @property
    def timestamp(self) -> float:
        """When it was published, in s since 1970; 0 if the broker does not say."""


class Delivery(Record, Protocol[Held]):
    """A record, and its partition."""

    @property
    def partition(self) -> Held: ...


class Polled(Protocol[Place]):
    """What came of a poll."""

    @property
    def deliveries(self) -> Sequence[Delivery[Place]]: ...
    @property
    def gone(self) -> Set[Place]:
        """Partitions that were taken away since the last poll; perhaps they are back."""

    @property
    def lags(self) -> Mapping[Place, int]:
        """By partition, how many records follow what was delivered."""

    @property
    def problem(self) -> str:
        """What the broker has against us."""


class SourceGone(Exception):
    """The member of the group is of no more use; another one has to be opened."""


class Source(Protocol[Place]):
    """A member of the consumer group. Partitions come and go within `poll` and `close`."""

    @property
    def owned(self) -> Set[Place]: ...
    async def poll(self, count_max: int, seconds_max: float, paused: Set[Place]) -> Polled[Place]:
        """Return what there is; at least every few seconds. Raises SourceGone."""

    def finish(self, positions: Mapping[Place, int]) -> None:
        """Note, by partition, the first offset that is not done; not while a poll is under way."""

    async def close(self) -> None: ...
    def number(self, place: Place) -> int:
        """Return the number of a partition."""


class DeadLetter(NamedTuple, Generic[Place]):
    """A record that cannot be read, and why; the text shows nothing of it."""

    delivery: Delivery[Place]
    cause: str
    text: str
    at: float
    """When it was found, in s since 1970."""


class Parking(Protocol[Place]):
    """The topic of dead letters."""

    async def park(self, letters: Sequence[DeadLetter[Place]]) -> Sequence[str]:
        """Store letters, and return for each why not, empty if it is."""

    async def close(self) -> None: ...


class Outbox(Protocol):
    """Writes to one topic; what it says is stored, all replicas in sync have."""

    @property
    def problem(self) -> str:
        """Why nothing can be written just now; empty if nothing is known to be wrong."""

    async def send(self, messages: Sequence[Message]) -> Sequence[Sent]:
        """Write messages and return, within some seconds, what became of each."""

    async def is_memory_only(self) -> bool:
        """Whether the brokers forget all they have when they end. Raises ConnectionError."""


class Store(Protocol):
    """The database of outcomes. All raise ConnectionError while it does not answer."""

    async def put(
        self, rows: Sequence[Row], positions: Collection[Position]
    ) -> Mapping[str, bytes]:
        """Store outcomes once; return, by operation, those that were stored before.

        A refusal gives way to an answer: what was carried out was not refused.
        """

    async def find(self, operation_ids: Sequence[str]) -> Mapping[str, bytes]:
        """Return the stored outcomes of those operations that have one."""

    async def get(self, operation_id: str) -> Decided | None:
        """Return one."""

    async def position(self, partition: int) -> Position | None:
        """Return how far a partition is."""

    async def forget(self, before_id: str, limit: int) -> int:
        """Delete at most so many whose ids are lower than this; return how many."""

"""Records of the asynchronous way in, which its edge and its stores both know."""

from collections.abc import Sequence
from typing import NamedTuple


class Message(NamedTuple):
    """A record to be written to Kafka."""

    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]


class Sent(NamedTuple):
    """What became of a message: it is stored, or not, or nobody knows."""

    partition: int
    problem: str = ""
    """Why it may not be stored; empty if it is."""
    is_known: bool = True
    """With a problem, whether it is known that it is not stored."""


class Row(NamedTuple):
    """An operation with its outcome, as it is stored."""

    operation_id: str
    tenant_id: str
    merchant_id: str
    accepted_ms: int
    is_refused: bool
    outcome: bytes
    """CommandOutcome, serialized."""


class Decided(NamedTuple):
    """What is stored of an operation."""

    outcome: bytes
    is_refused: bool
    decided_ms: int


class Position(NamedTuple):
    """How far a partition is: all before the offset have an outcome, or are dead letters."""

    partition: int
    offset: int
    accepted_ms: int
    """Of the last of those."""

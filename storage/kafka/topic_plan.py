"""Compares what topics are to be with what a broker shows of them; decides, and does nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from kit.topics import Topic


class BrokersAway(Exception):
    """No broker answers, or none lets us in; the text says why and shows no secret."""


class State(StrEnum):
    """How a topic is."""

    MISSING = "missing"
    DIFFERENT = "different"
    RIGHT = "right"


@dataclass(frozen=True)
class Found:
    """What a broker shows of a topic."""

    partitions: int
    configuration: Mapping[str, str] | None  # None: it does not show that to us.


@dataclass(frozen=True)
class Change:
    """One property of a topic."""

    name: str
    is_now: str
    to_be: str


@dataclass(frozen=True)
class Finding:
    """A topic, and what is there of it."""

    topic: Topic
    found: Found | None = None

    @property
    def state(self) -> State:
        """What is not shown to us counts as right: nothing can be done about it from here."""
        if self.found is None:
            return State.MISSING
        return State.DIFFERENT if self.partitions_lacking or self.changes else State.RIGHT

    @property
    def partitions_lacking(self) -> int:
        """How many are to be added; more than wanted cannot be taken back, and do no harm."""
        return max(0, self.topic.partitions - self.found.partitions) if self.found else 0

    @property
    def changes(self) -> tuple[Change, ...]:
        """The properties that are not as wanted; those that are not named are the broker's own."""
        if self.found is None or self.found.configuration is None:
            return ()
        there = self.found.configuration
        return tuple(
            Change(name, there.get(name, ""), wanted)
            for name, wanted in self.topic.configuration.items()
            if there.get(name, "") != wanted
        )

    @property
    def is_hidden(self) -> bool:
        """Whether its configuration is not shown to us."""
        return self.found is not None and self.found.configuration is None


@dataclass(frozen=True)
class Seen:
    """What the brokers show."""

    findings: tuple[Finding, ...]
    is_mock: bool
    """The embedded broker: it makes topics at their first use, and is told nothing of them."""


@dataclass(frozen=True)
class Done:
    """What became of a topic that was missing or different."""

    finding: Finding
    did: tuple[str, ...] = ()
    refused: str = ""
    """Why it is not as wanted yet; empty if it is."""


def compare(topics: Iterable[Topic], there: Mapping[str, Found]) -> tuple[Finding, ...]:
    """Return what is there of each topic."""
    return tuple(Finding(topic, there.get(topic.name)) for topic in topics)

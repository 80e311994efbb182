"""What Kafka's topics are to be: reads the file that says so, and refuses what does not fit."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

DEAD_LETTERS_SUFFIX: Final = ".dlq"

NAME_LENGTH_MAX: Final = 249
"""Kafka's own bound."""

PREFIX_LENGTH_MAX: Final = 64
PREFIX_FORM: Final = r"^[a-z0-9.-]*$"
"""Dots and underscores are the same in the names of Kafka's metrics, so there are only dots."""

PARTITIONS_MAX: Final = 1_000
"""Of one topic: each costs files and memory on every broker that has a copy."""

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS

_Text = Annotated[str, Meta(min_length=1, max_length=200)]
_Name = Annotated[str, Meta(pattern=r"^[a-z0-9]+([.-][a-z0-9]+)*$", max_length=100)]
_Partitions = Annotated[int, Meta(ge=1, le=PARTITIONS_MAX)]
_Days = Annotated[int, Meta(ge=1, le=3_650)]
_Hours = Annotated[int, Meta(ge=1, le=24 * 365)]


class BadTopics(Exception):
    """The file of topics does not fit; the text names the place."""


@dataclass(frozen=True)
class Topic:
    """One topic, under the name that it has in Kafka."""

    name: str
    says: str
    key: str  # What its events are ordered by, in words.
    partitions: int
    configuration: Mapping[str, str]  # Kafka's own names.


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    says: _Text
    key: _Text
    partitions: _Partitions
    consumed: bool
    retention_days: _Days | None = None
    compaction_lag_hours: _Hours | None = None

    def __post_init__(self) -> None:
        if (self.retention_days is None) == (self.compaction_lag_hours is None):
            raise ValueError("either retention_days or compaction_lag_hours is needed")

    @property
    def configuration(self) -> Mapping[str, str]:
        if self.retention_days is not None:
            return _kept_for(self.retention_days)
        assert self.compaction_lag_hours is not None
        return {
            "cleanup.policy": "compact",
            "min.compaction.lag.ms": str(self.compaction_lag_hours * _HOUR_MS),
        }


class _DeadLetters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    partitions: _Partitions
    retention_days: _Days


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    topics: Annotated[dict[_Name, dict[str, Any]], Meta(min_length=1)]
    dead_letters: _DeadLetters


def dead_letters(topic: str) -> str:
    """Return the name of the topic for what could not be taken in from this one."""
    return f"{topic}{DEAD_LETTERS_SUFFIX}"


def read(path: Path, prefix: str = "") -> tuple[Topic, ...]:
    """Return the topics of a file, in its order, each with its dead letters behind it.

    Raises BadTopics.
    """
    if len(prefix) > PREFIX_LENGTH_MAX or not re.fullmatch(PREFIX_FORM, prefix):
        raise BadTopics(f"the prefix {prefix!r} is not of letters, digits, dots and dashes")
    try:
        file = msgspec.convert(tomllib.loads(path.read_text()), _File)
        topics = tuple(_made(file, prefix))
    except (OSError, ValueError, BadTopics) as error:
        raise BadTopics(f"{path}: {error}") from None
    names = [topic.name for topic in topics]
    for name in names:
        if names.count(name) > 1:
            raise BadTopics(f"{path}: {name} is a topic and the dead letters of another one")
        assert len(name) <= NAME_LENGTH_MAX
    return topics


def _made(file: _File, prefix: str) -> Iterator[Topic]:
    for name, content in file.topics.items():
        try:
            entry = msgspec.convert(content, _Entry)
        except msgspec.ValidationError as error:
            raise BadTopics(f"topics.{name}: {error}") from None
        yield Topic(prefix + name, entry.says, entry.key, entry.partitions, entry.configuration)
        if entry.consumed:
            yield Topic(
                prefix + dead_letters(name),
                f"What could not be taken in from {name}, with the cause.",
                "as there",
                file.dead_letters.partitions,
                _kept_for(file.dead_letters.retention_days),
            )


def _kept_for(days: int) -> Mapping[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(days * _DAY_MS)}

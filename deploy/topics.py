"""The file of Kafka's topics that comes with this version, and who reads it."""

from pathlib import Path
from typing import Final

from kit import topics

FILE: Final = Path(__file__).with_suffix(".toml")


def read(prefix: str = "", file: Path = FILE) -> tuple[topics.Topic, ...]:
    """Return the topics under the names that they have in Kafka. Raises BadTopics."""
    return topics.read(file, prefix)

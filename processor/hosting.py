"""One process, several shards: how a shard's part is found by what a call names."""

from collections.abc import Mapping
from typing import Final, TypeVar

SHARD_METADATA: Final = "tender-shard"
"""Names the shard that a stream of commands is for."""

NOT_HELD: Final = "This processor does not hold that lane."

_Part = TypeVar("_Part")


def part_of(parts: Mapping[str, _Part], shard: str) -> _Part | None:
    """Return a shard's part; an empty name means the only one, and nobody's if there are more."""
    if not shard and len(parts) == 1:
        return next(iter(parts.values()))
    return parts.get(shard)

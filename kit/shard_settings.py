"""Which shards a processor may serve, and where their databases are: a file, or one shard alone."""

from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from kit.shard_map import REGION_FORM, SHARD_FORM

SHARDS_MAX: Final = 256
"""Of one processor; a lane takes a good part of a core when it is busy."""

_FOR_OTHERS: Final = 0o007


class BadShards(Exception):
    """The file of shards does not fit; the text names the place and shows no URL."""


class ShardSettings(BaseModel):
    """One shard that this processor may serve. Its URLs carry passwords."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    shard: Annotated[str, Field(pattern=SHARD_FORM)]
    region: Annotated[str, Field(pattern=REGION_FORM)]
    # The primary, as the role that owns the lane's tables.
    database_url: str = Field(min_length=1, repr=False)
    # The primary as a role that only reads; database_url when empty.
    query_database_url: str = Field("", repr=False)
    # Standbys for reads.
    replica_database_urls: tuple[str, ...] = Field((), repr=False)

    @property
    def reading_url(self) -> str:
        """The primary, as the role that reads."""
        return self.query_database_url or self.database_url


_LIST: Final = TypeAdapter(
    Annotated[tuple[ShardSettings, ...], Field(min_length=1, max_length=SHARDS_MAX)]
)


def read(path: Path) -> tuple[ShardSettings, ...]:
    """Return the shards of a JSON file that only its owner and group can read.

    Raises BadShards.
    """
    try:
        if path.stat().st_mode & _FOR_OTHERS:
            raise BadShards(f"{path}: holds passwords, so others may not read it (mode 0600)")
        content = path.read_bytes()
    except OSError as error:
        raise BadShards(f"{path}: {type(error).__name__}") from None
    try:
        shards = _LIST.validate_json(content)
    except ValidationError as error:
        problems = (
            f"{path}: {_place(problem['loc'])}{problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise BadShards("\n".join(problems)) from None
    for name in ("shard", "database_url"):
        values = [getattr(each, name) for each in shards]
        for number, value in enumerate(values):
            if value in values[:number]:
                first = values.index(value)
                raise BadShards(f"{path}: {number}.{name}: the same as in entry {first}")
    return shards


def _place(location: tuple[int | str, ...]) -> str:
    return f"{'.'.join(map(str, location))}: " if location else ""

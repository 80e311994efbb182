"""Which shards a stack has, and on which of its Postgres servers each one is."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.local import database, folder
from kit import buckets
from kit.shard_map import BadShardMap, ShardMap

FILE_NAME = "layout.json"
PRIMARY = "postgres"


class BadLayout(Exception):
    """The shards, regions and servers asked for do not fit together, or not to the folder."""


@dataclass(frozen=True)
class Place:
    """One shard of a stack."""

    name: str
    region: str
    server: int  # From 0.
    database: str


@dataclass(frozen=True)
class Layout:
    """How many shards, in which regions, on how many Postgres servers."""

    shards: int = 1
    regions: tuple[str, ...] = ("eu",)
    servers: int = 1

    def __post_init__(self) -> None:
        if self.servers < 1 or self.servers > self.shards:
            raise BadLayout(f"{self.shards} shards cannot be on {self.servers} servers")
        if not self.regions or len(set(self.regions)) != len(self.regions):
            raise BadLayout("the regions need names, each another one")
        if len(self.regions) > self.shards:
            raise BadLayout(f"{self.shards} shards cannot be in {len(self.regions)} regions")
        try:
            self.first_map()
        except BadShardMap as error:
            raise BadLayout(str(error)) from None

    def __str__(self) -> str:
        return (
            f"{self.shards} shard(s) in {', '.join(self.regions)} on {self.servers} "
            "Postgres server(s)"
        )

    def places(self) -> list[Place]:
        """The shards; regions and servers get them in turn."""
        return [
            Place(
                name=f"s{number + 1}",
                region=self.regions[number % len(self.regions)],
                server=number % self.servers,
                database=f"{database.NAME}_s{number + 1}" if number else database.NAME,
            )
            for number in range(self.shards)
        ]

    def first_map(self) -> ShardMap:
        """The buckets of each region evenly over its shards."""
        return ShardMap.split(
            {
                region: [place.name for place in self.places() if place.region == region]
                for region in self.regions
            }
        )

    def databases_of(self, server: int) -> list[str]:
        """The databases on one server."""
        return [place.database for place in self.places() if place.server == server]


def bucket_name(number: int) -> str:
    """The two characters by which ids name a bucket."""
    return buckets.NAMES[number]


def bucket_number(name: str) -> int:
    """The bucket that two characters name; raises ValueError."""
    return buckets.NAMES.index(name)


def primary_name(server: int) -> str:
    """The child that is the primary of a server: postgres, postgres2, ..."""
    return f"{PRIMARY}{server + 1}" if server else PRIMARY


def replica_name(server: int, replica: int) -> str:
    """The child that is a standby, counted from 1: replica1, ..., postgres2-replica1, ..."""
    return f"{primary_name(server)}-replica{replica}" if server else f"replica{replica}"


def require_same(data: folder.Folder, wanted: Layout) -> None:
    """Raise BadLayout if the folder's databases were made with another layout; remember this one.

    Folders of earlier versions remember none: they have one shard on one server.
    """
    path = data.root / FILE_NAME
    if (data.root / PRIMARY).exists():
        made = _parsed(path) if path.exists() else Layout(1, wanted.regions[:1], 1)
        if made != wanted:
            raise BadLayout(f"{data.root} was made with {made}, not with {wanted}")
    folder.write_private(path, json.dumps(asdict(wanted)))


def _parsed(path: Path) -> Layout:
    content = json.loads(path.read_text())
    return Layout(content["shards"], tuple(content["regions"]), content["servers"])

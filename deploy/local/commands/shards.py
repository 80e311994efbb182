"""Which shard has which users: the directory's map."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from deploy.local.commands import calling, movers, moving, output, reports
from deploy.local.commands.calling import DATA_DIR_DEFAULT, DataDir
from deploy.local.commands.output import Output
from kit import buckets
from kit.shard_map import BadShardMap, ShardMap
from storage.shards.store import DirectoryAway, MapExists, ShardMapStore

app = typer.Typer()
group = typer.Typer(invoke_without_command=True)
app.add_typer(group, name="shards")

Directory = Annotated[
    str | None,
    typer.Option(
        "--dsn",
        envvar="TENDER_DIRECTORY_DATABASE_URL",
        help="The directory's database; else the running stack's.",
    ),
]
Owner = Annotated[
    str | None,
    typer.Option(
        "--dsn",
        envvar="TENDER_DIRECTORY_OWNER_URL",
        help="The directory's database, as its owner; else the running stack's.",
    ),
]
Processors = Annotated[
    list[str] | None,
    typer.Option("--processor", help="host:port of each processor; else the running stack's."),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--internal-token-file",
        envvar="TENDER_INTERNAL_TOKEN_FILE",
        help="What processors know each other by; else the running stack's.",
    ),
]


@calling.local_group(group, "tender shards", "tender shards --json")
def shards(printer: Output, dsn: Directory = None, data_dir: DataDir = DATA_DIR_DEFAULT) -> None:
    """List the shard map: for each region, the buckets of each shard, and the map's version."""
    url = dsn or calling.find_endpoints(data_dir).query_url
    try:
        found = asyncio.run(_read(url))
    except (DirectoryAway, BadShardMap) as error:
        raise reports.Problem(
            f"The directory does not tell its map: {error}",
            "Check --dsn and whether the database runs and is migrated.",
        ) from None
    if found is None:
        raise reports.Problem("The directory has no shard map yet.", "`tender up` writes one.")
    if printer.as_json:
        ranges = [
            {
                "region": each.region,
                "firstBucket": each.first_bucket,
                "lastBucket": each.last_bucket,
                "shard": each.shard,
            }
            for each in found.ranges
        ]
        printer.json({"version": found.version, "ranges": ranges})
    rows = [
        (each.region, f"{each.first_bucket} to {each.last_bucket}", each.shard)
        for each in found.ranges
    ]
    printer.show(output.table(("region", "buckets", "shard"), rows))
    printer.say(f"version {found.version}")


@calling.local(
    group,
    "move",
    "tender shards move --region eu --bucket 3 --bucket 100-199 --to s3",
    "... --json",
)
def move(
    printer: Output,
    region: Annotated[str, typer.Option(help="The region of the buckets.")],
    bucket: Annotated[list[str], typer.Option(help="One bucket, or a range as in 100-199.")],
    to: Annotated[str, typer.Option(help="The shard that gets them.")],
    undo: Annotated[
        bool, typer.Option("--undo", help="Bring them back to the shards that gave them to it.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on where a mover stopped; what is done is not repeated."),
    ] = False,
    dsn: Owner = None,
    processors: Processors = None,
    token_file: TokenFile = None,
    data_dir: DataDir = DATA_DIR_DEFAULT,
) -> None:
    """Move buckets with their users to another shard, while payments go on.

    Repeat it after whatever stopped it, with or without --resume; or bring all back with --undo.
    """
    wanted = _ranges(bucket)
    running = None if dsn and processors and token_file else calling.find_endpoints(data_dir)
    url = dsn or (running.owner_url if running else "")
    targets = processors or (running.processor_targets if running else [])
    path = token_file or (running.internal_token_file if running else data_dir)
    if undo and resume:
        raise reports.Problem(
            "--undo and --resume exclude each other.", exit_code=reports.EXIT_USAGE
        )
    lanes = moving.Lanes(targets, path.read_text().strip())
    task = _Task(url, region, lanes, printer.say)
    try:
        (task.undo if undo else task.move)(wanted, to)
    except (DirectoryAway, MapExists, BadShardMap, moving.NotMoved) as error:
        raise reports.Problem(
            f"The buckets were not moved to the end: {error}",
            "It can be repeated as it is; --undo brings back what has moved.",
        ) from None
    finally:
        lanes.close()
    if printer.as_json:
        printer.json(task.told())
    printer.say(f"version {task.version}: {len(task.moved)} parts have moved")


class _Task:
    """One call of the command: what it moves, and what it has moved."""

    def __init__(
        self, dsn: str, region: str, lanes: moving.Lanes, say: Callable[[str], None]
    ) -> None:
        self._dsn = dsn
        self._region = region
        self._lanes = lanes
        self._say = say
        self.version = 0
        self.moved: list[moving.Part] = []
        self.with_users: list[movers.Moved] = []

    def move(self, wanted: Sequence[tuple[int, int]], to: str) -> None:
        """Move ranges to a shard. Raises NotMoved and what the directory raises."""
        for first, last in wanted:
            found = self._map()
            found.moved(self._region, first, last, to)  # Whether that can be.
            for part in moving.parts(found, self._region, first, last, to):
                self._mover(to).move(part)
                self.moved.append(part)

    def undo(self, wanted: Sequence[tuple[int, int]], to: str) -> None:
        """Bring what has moved to a shard back, and let go on what has not. Raises the same."""
        for first, last in wanted:
            found = self._map()
            for part in moving.parts(found, self._region, first, last, to):
                self._mover(to).undo(part)
            for bucket in range(first, last + 1):
                self._bring_back(bucket, to, found)

    def told(self) -> dict[str, object]:
        """Return what was done, as JSON."""
        told: dict[str, object] = {
            "version": self.version,
            "moved": [part._asdict() for part in self.moved],
        }
        if self.with_users:
            told["buckets"] = [asdict(one) for one in self.with_users]
        return told

    def _bring_back(self, bucket: int, to: str, found: ShardMap) -> None:
        regional = [shard for shard, region in found.shards().items() if region == self._region]
        source = movers.origin_of(self._lanes, sorted(regional), bucket, to)
        if not source:
            return
        # What is released arrives: only then it can be given back.
        self._mover(to).move(moving.Part(source, bucket, bucket))
        self._mover(source).move(moving.Part(to, bucket, bucket))
        self.moved.append(moving.Part(to, bucket, bucket))

    def _mover(self, to: str) -> movers.Mover:
        def write_map(part: moving.Part) -> None:
            found = self._map()
            if moving.parts(found, self._region, part.first_bucket, part.last_bucket, to):
                newer = found.moved(self._region, part.first_bucket, part.last_bucket, to)
                asyncio.run(_write_next(self._dsn, newer))
                self.version = newer.version

        return movers.Mover(self._lanes, to, write_map, self._say, self.with_users)

    def _map(self) -> ShardMap:
        found = asyncio.run(_read(self._dsn))
        if found is None:
            raise moving.NotMoved("the directory has no shard map yet")
        self.version = found.version
        return found


def _ranges(texts: list[str]) -> list[tuple[int, int]]:
    try:
        return movers.ranges(texts)
    except ValueError:
        raise reports.Problem(
            f"{' '.join(texts)!r}: neither buckets from 0 to {buckets.BUCKETS - 1} nor ranges of"
            " them.",
            exit_code=reports.EXIT_USAGE,
        ) from None


async def _write_next(dsn: str, newer: ShardMap) -> None:
    store = ShardMapStore(dsn)
    try:
        await store.write_next(newer)
    finally:
        await store.close()


async def _read(dsn: str) -> ShardMap | None:
    store = ShardMapStore(dsn)
    try:
        return await store.read()
    finally:
        await store.close()

"""Which shard has which users: the directory's map."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from deploy.local.commands import calling, moving, output, reports
from deploy.local.commands.calling import DATA_DIR_DEFAULT, DataDir
from deploy.local.commands.output import Output
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
    group, "move", "tender shards move --region eu --bucket 100-199 --to s3", "... --json"
)
def move(
    printer: Output,
    region: Annotated[str, typer.Option(help="The region of the buckets.")],
    bucket: Annotated[str, typer.Option(help="One bucket, or a range as in 100-199.")],
    to: Annotated[str, typer.Option(help="The shard that gets them.")],
    dsn: Owner = None,
    processors: Processors = None,
    token_file: TokenFile = None,
    data_dir: DataDir = DATA_DIR_DEFAULT,
) -> None:
    """Move buckets without users to another shard, while payments go on.

    Repeat it after whatever stopped it; to undo it, move them back.
    """
    first, last = _range(bucket)
    running = None if dsn and processors and token_file else calling.find_endpoints(data_dir)
    url = dsn or (running.owner_url if running else "")
    targets = processors or ([running.processor] if running else [])
    path = token_file or (running.internal_token_file if running else data_dir)
    lanes = moving.Lanes(targets, path.read_text().strip())
    try:
        found = asyncio.run(_read(url))
        if found is None:
            raise moving.NotMoved("the directory has no shard map yet")
        newer = found.moved(region, first, last, to)
        parts = moving.parts(found, region, first, last, to)
        for part in parts:
            where = f"buckets {part.first_bucket} to {part.last_bucket} of {part.source}"
            printer.say(f"releasing {where}")
            lanes.release(part, to)
        moving.wait_until_taken(lanes, to, parts)
        if parts:
            asyncio.run(_write_next(url, newer))
    except (DirectoryAway, MapExists, BadShardMap, moving.NotMoved) as error:
        raise reports.Problem(
            f"The buckets were not moved to the end: {error}", "It can be repeated as it is."
        ) from None
    finally:
        lanes.close()
    version = newer.version if parts else found.version
    if printer.as_json:
        printer.json({"version": version, "moved": [part._asdict() for part in parts]})
    printer.say(f"version {version}: buckets {first} to {last} of {region} are on {to}")


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    try:
        return int(first), int(last or first)
    except ValueError:
        raise reports.Problem(
            f"{text!r} is neither a bucket nor a range of them.", exit_code=reports.EXIT_USAGE
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

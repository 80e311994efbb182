"""Which shard has which users: the directory's map."""

import asyncio
from typing import Annotated

import typer

from deploy.local.commands import calling, output, reports
from deploy.local.commands.calling import DATA_DIR_DEFAULT, DataDir
from deploy.local.commands.output import Output
from kit.shard_map import BadShardMap, ShardMap
from storage.shards.store import DirectoryAway, ShardMapStore

app = typer.Typer()

Directory = Annotated[
    str | None,
    typer.Option(
        "--dsn",
        envvar="TENDER_DIRECTORY_DATABASE_URL",
        help="The directory's database; else the running stack's.",
    ),
]


@calling.local(app, "shards", "tender shards", "tender shards --json")
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


async def _read(dsn: str) -> ShardMap | None:
    store = ShardMapStore(dsn)
    try:
        return await store.read()
    finally:
        await store.close()

"""The journal's archive: what is in files, what is still in the tables, and who needs it there."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from deploy.local.commands import calling, output, reports
from deploy.local.commands.calling import DATA_DIR_DEFAULT, DataDir
from deploy.local.commands.output import Output
from storage.archive import manifest
from storage.archive.archiver import Archiver, Did, Wishes
from storage.archive.folder import Folder
from storage.archive.ports import ArchiveAway, Damaged
from storage.archive.reader import ArchiveReader

app = typer.Typer(no_args_is_help=True, help="Archive the journal, and look at its archive.")

DAY_SECONDS = 86_400.0
NAME = "tender journal"
STATUS_COLUMNS = ("shard", "=files", "=archived to", "=table from", "=to", "needed by", "=after")

Dsns = Annotated[
    list[str] | None,
    typer.Option(
        "--dsn",
        metavar="SHARD=URL",
        help="Primary of a shard, as the relay's role; all of them. Else the running stack's.",
    ),
]
ArchiveFolder = Annotated[
    Path | None,
    typer.Option(
        "--archive",
        envvar="TENDER_ARCHIVE_FOLDER",
        file_okay=False,
        help="Folder of archived journal rows; else the stack's.",
    ),
]

Found = TypeVar("Found")


def archive_of(given: Path | None, data_dir: Path) -> Path:
    """Return the folder that is meant."""
    return given or data_dir / "archive"


def _shards(given: list[str] | None, data_dir: Path) -> dict[str, str]:
    if given:
        return calling.parse_pairs(given)
    return {it.name: it.relay_url for it in calling.find_endpoints(data_dir).shards}


def _each(shards: Mapping[str, str], what: Callable[[str], Awaitable[Found]]) -> dict[str, Found]:
    """Ask about each shard. Raises Problem."""

    async def ask() -> dict[str, Found]:
        return {shard: await what(shard) for shard in sorted(shards)}

    try:
        return asyncio.run(ask())
    except ArchiveAway as error:
        raise reports.Problem(
            str(error), "Check that the database runs, and the folder can be written."
        ) from None
    except Damaged as error:
        raise reports.Problem(
            str(error), "Put the file back from a copy; rows that are still in the table are safe."
        ) from None


@calling.local(
    app,
    "archive",
    "tender journal archive",
    "tender journal archive --retention-days 7 --archive /mnt/journal --dsn s1=postgresql://...",
)
def archive(
    printer: Output,
    dsns: Dsns = None,
    folder: ArchiveFolder = None,
    retention_days: Annotated[
        float, typer.Option(min=0, help="How long rows stay in the table all the same.")
    ] = 30.0,
    after: Annotated[
        float, typer.Option(min=0, help="Seconds before a row is archived at all.")
    ] = 300.0,
    data_dir: DataDir = DATA_DIR_DEFAULT,
) -> None:
    """Archive now what relays archive by and by, and delete what nobody needs in the table."""
    shards = _shards(dsns, data_dir)
    files = Folder(archive_of(folder, data_dir))
    wishes = Wishes(retention_days * DAY_SECONDS, after, range_rows_min=1)

    async def once(shard: str) -> Did | None:
        return await Archiver(shard, shards, files, wishes).once()

    found = _each(shards, once)
    if printer.as_json:
        printer.json({shard: did and did._asdict() for shard, did in found.items()})
    for shard, did in found.items():
        if did is None:
            printer.say(f"{shard}: another archiver is at it")
        else:
            printer.say(
                f"{shard}: {did.archived:,} rows into {did.ranges:,} files, {did.deleted:,} deleted"
            )


@calling.local(app, "status", "tender journal status", "tender journal status --json")
def status(printer: Output, dsns: Dsns = None, data_dir: DataDir = DATA_DIR_DEFAULT) -> None:
    """Show what is archived, what is in the table, and who needs rows there."""
    shards = _shards(dsns, data_dir)

    async def look(shard: str) -> dict[str, Any]:
        async with manifest.opened(shards[shard], NAME) as found:
            bounds, noted = await found.bounds(), await found.ranges()
            held = list(await found.holders())
        # Of moves it is only asked; the folder is not needed for it.
        held += await Archiver(shard, shards, Folder(data_dir), Wishes(0.0)).moves()
        return {
            "files": len(noted),
            "archivedTo": noted[-1].last_seq if noted else 0,
            "tableFrom": bounds.first_seq,
            "tableTo": bounds.last_seq,
            "neededAfter": [{"by": it.holder, "after": it.through} for it in held],
        }

    found = _each(shards, look)
    if printer.as_json:
        printer.json(found)
    rows = []
    for shard, it in found.items():
        oldest = min(it["neededAfter"], key=lambda each: int(each["after"]))
        rows.append(
            (
                *(shard, f"{it['files']:,}", f"{it['archivedTo']:,}"),
                *(f"{it['tableFrom'] or 0:,}", f"{it['tableTo'] or 0:,}"),
                *(oldest["by"], f"{oldest['after']:,}"),
            )
        )
    printer.show(output.table(STATUS_COLUMNS, rows))


@calling.local(
    app, "verify", "tender journal verify", "tender journal verify --archive /mnt/journal"
)
def verify(
    printer: Output,
    dsns: Dsns = None,
    folder: ArchiveFolder = None,
    data_dir: DataDir = DATA_DIR_DEFAULT,
) -> None:
    """Read every archived file, and compare it with its digest and its chain of hashes.

    `tender verify` reads them too, and recomputes the whole ledger from them.
    """
    shards = _shards(dsns, data_dir)
    files = Folder(archive_of(folder, data_dir))

    async def check(shard: str) -> dict[str, int]:
        async with manifest.opened(shards[shard], NAME) as found:
            noted = await found.ranges()
        return (await ArchiveReader(files, noted).check())._asdict()

    found = _each(shards, check)
    if printer.as_json:
        printer.json(found)
    rows = [
        (shard, f"{it['ranges']:,}", f"{it['rows']:,}", f"{it['size']:,}", "[green]ok[/]")
        for shard, it in found.items()
    ]
    printer.show(output.table(("shard", "=files", "=rows", "=bytes", "result"), rows))

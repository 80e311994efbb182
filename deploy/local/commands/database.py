"""What is done to the database itself: migrate, verify, and keys."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import typer
from rich.markup import escape

from deploy.local import anchors, database, devkey, services
from deploy.local.commands import calling, journal, output, reports
from deploy.local.commands.calling import DATA_DIR_DEFAULT, DataDir
from deploy.local.commands.output import Output
from deploy.local.options import DEVELOPMENT_TENANT
from storage import migrate as migrations
from storage import verify as ledger
from storage.archive.folder import Folder
from storage.archive.ports import ArchiveAway

app = typer.Typer()
key_app = typer.Typer(no_args_is_help=True, help="Make API keys.")

Dsn = Annotated[
    str | None,
    typer.Option(envvar="TENDER_DATABASE_URL", help="Database; else the running stack's."),
]


Dsns = Annotated[
    list[str] | None,
    typer.Option(
        "--dsn",
        envvar="TENDER_DATABASE_URL",
        help="Database, repeatable: those of all shards; else the running stack's.",
    ),
]


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Tells what a database refused, or that there is none."""
    try:
        yield
    except migrations.MigrationError as error:
        raise reports.Problem(str(error), "Nothing of the failed migration was kept.") from None
    except ledger.ArchiveNeeded as error:
        raise reports.Problem(str(error), "Name their folder with --archive.") from None
    except ArchiveAway as error:
        raise reports.Problem(f"The archive cannot be read: {error}", "Check --archive.") from None
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        message = f"The database does not do it: {str(error) or type(error).__name__}"
        raise reports.Problem(message, "Check --dsn and whether the database runs.") from None


@calling.local(
    app, "migrate", "tender migrate", "tender migrate --status", "tender migrate --service webhooks"
)
def migrate(
    printer: Output,
    dsn: Dsn = None,
    data_dir: DataDir = DATA_DIR_DEFAULT,
    only_status: Annotated[
        bool, typer.Option("--status", help="Show what is applied; change nothing.")
    ] = False,
    service: Annotated[
        str | None,
        typer.Option(help="A service behind Kafka: its own database, beside the one named."),
    ] = None,
) -> None:
    """Bring a database to the schema of this version, forward only."""
    url, files = dsn or calling.find_endpoints(data_dir).owner_url, migrations.MIGRATIONS
    own = "" if service is None else services.database_name(service)
    if service is not None:
        files = _migrations_of(service)
    with explained():
        if own and not only_status:
            asyncio.run(database.ensure_database(url, own))
        if own:
            url = database.named(url, own)
        applied = [] if only_status else asyncio.run(migrations.migrate(url, files))
        if own and applied:
            asyncio.run(database.let_in(url, own))
        found = asyncio.run(migrations.status(url, files))
    if printer.as_json:
        rows = [{"name": each.name, "appliedAt": each.applied_at} for each in found]
        printer.json({"applied": applied, "migrations": rows})
    for name in applied:
        printer.say(f"applied {name}")
    shown = [(each.name, f"{each.applied_at or 'missing'}") for each in found]
    printer.show(output.table(("migration", "applied"), shown))


def _migrations_of(service: str) -> Path:
    spec = services.SERVICES.get(service)
    if spec is None or spec.migrations is None:
        known = ", ".join(name for name, each in services.SERVICES.items() if each.migrations)
        raise reports.Problem(
            f"No service {service} has a database.", f"There are: {known}.", reports.EXIT_USAGE
        )
    return spec.migrations


@calling.local(
    app,
    "verify",
    "tender verify",
    "tender verify --json",
    "tender verify --dsn postgresql://one/tender --dsn postgresql://two/tender",
)
def verify(
    printer: Output,
    dsn: Dsns = None,
    data_dir: DataDir = DATA_DIR_DEFAULT,
    archive: journal.ArchiveFolder = None,
    anchor: Annotated[
        list[str] | None,
        typer.Option(
            help="SEQ:HASH of a journal row as it was seen before, with several shards "
            "SHARD:SEQ:HASH; repeatable. The processor logs one a minute as journal_anchor. Without"
            " --dsn the last verified head of each shard is one too."
        ),
    ] = None,
) -> None:
    """Recompute the ledger: hash chain, every balance and hold, states and request keys.

    With several shards also what is between them: legs, clearing accounts, the sum of all money.
    Exit code 1 on any breach, naming the row.
    """
    given = [anchors.parse(text) for text in anchor or ()]
    files = None if dsn and archive is None else Folder(journal.archive_of(archive, data_dir))
    shards = () if dsn else calling.find_endpoints(data_dir).shards
    urls = dsn or [shard.query_url for shard in shards]
    if len(urls) == 1:
        _verify_one(
            printer, urls[0], [known for _, known in given], None if dsn else data_dir, files
        )
        return
    if any(not shard for shard, _ in given):
        raise typer.BadParameter("with several shards an anchor is SHARD:SEQ:HASH")
    known: dict[str, tuple[ledger.Anchor, ...]] = {}
    kept = [(one.name, each) for one in shards for each in anchors.kept(data_dir, one.name)]
    for shard, each in (*given, *kept):
        known[shard] = (*known.get(shard, ()), each)
    with explained():
        report = asyncio.run(ledger.verify_shards(urls, anchors=known, archive=files))
    if unknown := known.keys() - {one.head.shard for one in report.shards}:
        raise typer.BadParameter(f"there is no shard {', '.join(sorted(unknown))} to be anchored")
    if shards and report.ok:
        for one in report.shards:
            anchors.keep(data_dir, one.head, one.head.shard)
    _show(printer, report.to_json(), all_verified(report), ok=report.ok)


def _verify_one(
    printer: Output,
    url: str,
    known: list[ledger.Anchor],
    data_dir: Path | None,
    files: Folder | None,
) -> None:
    """Verify the only shard; with a data folder its head is remembered there."""
    if data_dir is not None:
        known = [*known, *anchors.kept(data_dir)]
    with explained():
        report = asyncio.run(ledger.verify(url, anchors=tuple(known), archive=files))
    if data_dir is not None and report.ok:
        anchors.keep(data_dir, report.head)
    _show(printer, report.to_json(), verified(report.checks), ok=report.ok)


def _show(printer: Output, as_json: str, tables: list[Any], *, ok: bool) -> None:
    if printer.as_json:
        typer.echo(as_json)
    for rendered in tables:
        printer.show(rendered)
    if not ok:
        raise typer.Exit(reports.EXIT_REFUSED)


def all_verified(report: ledger.ShardsReport) -> list[Any]:
    """The checks within the shards, those between them, and what else should be known."""
    within: dict[str, list[tuple[str, ledger.Check]]] = {}
    for one in report.shards:
        for check in one.checks:
            within.setdefault(check.name, []).append((one.head.shard, check))
    rows = [_row(found) for found in within.values()]
    rows += [_row([("", check)]) for check in report.checks]
    rows += [_row([("", check)], "[yellow]found[/]") for check in report.findings]
    told = [
        (f"{one.head.shard}: {check.name}", check) for one in report.shards for check in one.checks
    ]
    told += [(check.name, check) for check in (*report.checks, *report.findings)]
    breaches = [(name, escape(breach)) for name, check in told for breach in check.breaches]
    tables = [output.table(("check", "invariant", "=rows", "result"), rows)]
    return [*tables, output.grid(breaches)] if breaches else tables


def _row(
    found: Sequence[tuple[str, ledger.Check]], broken: str = "[bold red]broken[/]"
) -> tuple[str, ...]:
    """One check, perhaps of several shards; those on which it is broken are named."""
    where = [shard for shard, check in found if not check.ok]
    names = ", ".join(filter(None, where))
    result = f"{broken} on {names}" if names else broken
    first = found[0][1]
    rows = sum(check.rows for _, check in found)
    return (first.name, first.invariant, f"{rows:,}", result if where else "[green]ok[/]")


def verified(checks: Sequence[ledger.Check]) -> list[Any]:
    """The checks as a table, and under it what is wrong."""
    rows = [_row([("", check)]) for check in checks]
    breaches = [(check.name, escape(breach)) for check in checks for breach in check.breaches]
    tables = [output.table(("check", "invariant", "=rows", "result"), rows)]
    return [*tables, output.grid(breaches)] if breaches else tables


@calling.local(
    key_app,
    "create",
    "tender key create --scope service --label checkout",
    "tender key create --scope merchant --merchant mer_... --label till-7",
)
def create_key(
    printer: Output,
    scope: Annotated[list[str], typer.Option(help="merchant, service, operator; repeatable.")],
    label: Annotated[str, typer.Option(help="Who will use it.")] = "",
    merchant: Annotated[
        str | None, typer.Option(help="mer_...: sees and touches only its own.")
    ] = None,
    tenant: Annotated[str, typer.Option(help="Whose data it opens.")] = DEVELOPMENT_TENANT,
    data_dir: DataDir = DATA_DIR_DEFAULT,
) -> None:
    """Make an API key for the stack that runs in the data folder; it is shown once."""
    endpoints = calling.find_endpoints(data_dir)
    secrets = endpoints.api_key_pepper_file.parent
    try:
        key = devkey.create(
            endpoints.owner_url,
            secrets,
            tenant=tenant,
            scopes=scope,
            merchant_id=merchant,
            label=label,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if printer.as_json:
        printer.json({"apiKey": key, "tenant": tenant, "scopes": scope, "merchantId": merchant})
    printer.say(key)

"""What is done to the database itself: migrate, verify, and keys."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Annotated, Any

import asyncpg
import typer
from rich.markup import escape

from deploy.local import anchors, devkey
from deploy.local.commands import calling, output, reports
from deploy.local.commands.calling import DATA_DIR_DEFAULT, DataDir
from deploy.local.commands.output import Output
from deploy.local.options import DEVELOPMENT_TENANT
from storage import migrate as migrations
from storage import verify as ledger

app = typer.Typer()
key_app = typer.Typer(no_args_is_help=True, help="Make API keys.")

Dsn = Annotated[
    str | None,
    typer.Option(envvar="TENDER_DATABASE_URL", help="Database; else the running stack's."),
]


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Tells what a database refused, or that there is none."""
    try:
        yield
    except migrations.MigrationError as error:
        raise reports.Problem(str(error), "Nothing of the failed migration was kept.") from None
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        message = f"The database does not do it: {str(error) or type(error).__name__}"
        raise reports.Problem(message, "Check --dsn and whether the database runs.") from None


@calling.local(app, "migrate", "tender migrate", "tender migrate --status")
def migrate(
    printer: Output,
    dsn: Dsn = None,
    data_dir: DataDir = DATA_DIR_DEFAULT,
    only_status: Annotated[
        bool, typer.Option("--status", help="Show what is applied; change nothing.")
    ] = False,
) -> None:
    """Bring a database to the schema of this version, forward only."""
    url = dsn or calling.find_endpoints(data_dir).owner_url
    with explained():
        applied = [] if only_status else asyncio.run(migrations.migrate(url))
        found = asyncio.run(migrations.status(url))
    if printer.as_json:
        rows = [{"name": each.name, "appliedAt": each.applied_at} for each in found]
        printer.json({"applied": applied, "migrations": rows})
    for name in applied:
        printer.say(f"applied {name}")
    shown = [(each.name, f"{each.applied_at or 'missing'}") for each in found]
    printer.show(output.table(("migration", "applied"), shown))


@calling.local(app, "verify", "tender verify", "tender verify --json")
def verify(
    printer: Output,
    dsn: Dsn = None,
    data_dir: DataDir = DATA_DIR_DEFAULT,
    anchor: Annotated[
        list[str] | None,
        typer.Option(
            help="SEQ:HASH of a journal row as it was seen before; repeatable. The processor logs "
            "one a minute as journal_anchor. Without --dsn the last verified head is one too."
        ),
    ] = None,
) -> None:
    """Recompute the ledger: hash chain, every balance and hold, states and request keys.

    Exit code 1 on any breach, naming the row.
    """
    url = dsn or calling.find_endpoints(data_dir).query_url
    known = [anchors.parse(text) for text in anchor or ()]
    if dsn is None:
        known += anchors.kept(data_dir)
    with explained():
        report = asyncio.run(ledger.verify(url, anchors=tuple(known)))
    if dsn is None and report.ok:
        anchors.keep(data_dir, report.head)
    if printer.as_json:
        typer.echo(report.to_json())
    for rendered in verified(report):
        printer.show(rendered)
    if not report.ok:
        raise typer.Exit(reports.EXIT_REFUSED)


def verified(report: ledger.Report) -> list[Any]:
    """The checks as a table, and under it what is wrong."""
    rows = [
        (
            check.name,
            check.invariant,
            f"{check.rows:,}",
            "[green]ok[/]" if check.ok else "[bold red]broken[/]",
        )
        for check in report.checks
    ]
    breaches = [
        (check.name, escape(breach)) for check in report.checks for breach in check.breaches
    ]
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

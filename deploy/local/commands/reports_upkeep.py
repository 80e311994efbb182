"""Making reports anew, and comparing them with the ledgers."""

from pathlib import Path
from typing import Annotated

import typer

from deploy.local.commands import calling, journal, output, reports
from deploy.local.commands.brokers import Bootstrap, Prefix, SecurityFile
from deploy.local.commands.calling import DATA_DIR_DEFAULT, DataDir
from deploy.local.commands.journal import ArchiveFolder
from deploy.local.commands.output import Output

app = typer.Typer()

DIFFERENCE_COLUMNS = ("what", "of", "currency", "sum", "=ledger", "=report")
DIFFERENCES_SHOWN = 50

ReportUrl = Annotated[
    str | None,
    typer.Option(
        "--report-dsn",
        envvar="TENDER_REPORT_DATABASE_URL",
        help="Database of the reports, as its owner; else the running stack's.",
    ),
]
ShardUrls = Annotated[
    list[str] | None,
    typer.Option(
        "--dsn",
        metavar="SHARD=URL",
        help="Ledger of a shard, as a role that may read, best of a standby; repeatable. Else the"
        " running stack's.",
    ),
]


def _report_url(given: str | None, data_dir: Path) -> str:
    if given is not None:
        return given
    found = calling.find_endpoints(data_dir).services.get("reporting")
    if found is None:
        raise reports.Problem(
            "The stack runs no reporting service.", "`tender up` starts it.", reports.EXIT_USAGE
        )
    return found.owner_url


def _ledgers(given: list[str] | None, data_dir: Path) -> dict[str, str]:
    """Where the ledger of each shard is read: on a standby where there is one."""
    if given:
        return calling.parse_pairs(given)
    shards = calling.find_endpoints(data_dir).shards
    return {it.name: it.replica_urls[0] if it.replica_urls else it.query_url for it in shards}


@calling.local(
    app,
    "rebuild",
    "tender report rebuild",
    "tender report rebuild --report-dsn postgresql://... --dsn s1=postgresql://...",
)
def rebuild(
    printer: Output,
    report_url: ReportUrl = None,
    shards: ShardUrls = None,
    archive: ArchiveFolder = None,
    bootstrap: Bootstrap = None,
    security_file: SecurityFile = None,
    prefix: Prefix = "",
    data_dir: DataDir = DATA_DIR_DEFAULT,
) -> None:
    """Make all reports anew: from the journals, archived rows first, then from the topics.

    The old ones are read meanwhile, and the service goes on; the new ones take their place at once.
    A rebuild that was ended is simply repeated.
    """
    # It takes long to import, which no other command shall wait for.
    from deploy.local import rebuilding

    done = rebuilding.rebuild(
        _report_url(report_url, data_dir),
        _ledgers(shards, data_dir),
        journal.archive_of(archive, data_dir),
        bootstrap or calling.find_endpoints(data_dir).kafka_bootstrap,
        security_file,
        prefix,
        printer.say,
    )
    if printer.as_json:
        printer.json({**done._asdict(), "seconds": done.seconds})
    printer.say(
        f"{done.payments:,} images of payments and {done.transfers:,} transfers of {done.rows:,}"
        f" commits, {done.events:,} events since: {done.seconds:.1f} s"
        f" (journals {done.journal_seconds:.1f}, folding {done.fold_seconds:.1f},"
        f" topics {done.topics_seconds:.1f})"
    )


@calling.local(app, "verify", "tender report verify", "tender report verify --wait 60")
def verify(
    printer: Output,
    report_url: ReportUrl = None,
    shards: ShardUrls = None,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for events that are under way.")
    ] = 30.0,
    data_dir: DataDir = DATA_DIR_DEFAULT,
) -> None:
    """Compare the reports with the ledgers of all shards, to the cent.

    Reads every payment and account once, on standbys where there are some. Exit code 1 if a sum
    differs, naming it. While payments go on both sides are hardly ever of the same moment: wait
    for a quiet one.
    """
    from deploy.local import rebuilding

    found = rebuilding.verify(_ledgers(shards, data_dir), _report_url(report_url, data_dir), wait)
    if printer.as_json:
        printer.json(
            {
                "ok": found.ok,
                "commits": dict(found.seqs),
                "payments": found.payments,
                "accounts": found.accounts,
                "differences": [it._asdict() for it in found.differences],
            }
        )
    rows = [
        (it.of, it.key[1], it.key[2], it.name, f"{it.ledger:,}", f"{it.report:,}")
        for it in found.differences[:DIFFERENCES_SHOWN]
    ]
    if rows:
        printer.show(output.table(DIFFERENCE_COLUMNS, rows))
    else:
        at = ", ".join(f"{shard}: {seq:,}" for shard, seq in sorted(found.seqs.items()))
        printer.say(
            f"[green]equal to the cent[/]: {found.payments:,} payments and {found.accounts:,}"
            f" accounts, as of {at}"
        )
    if not found.ok:
        raise typer.Exit(reports.EXIT_REFUSED)

"""Reports over all shards: days of merchants, search, statements, and their export."""

import datetime
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

import tender
from deploy.local.commands import calling, output, reports, reports_upkeep
from deploy.local.commands.calling import Session
from tender import calls, reporting
from tender.v1 import account_pb2, reporting_pb2

app = typer.Typer(
    no_args_is_help=True,
    help="Reports over all shards, as far as events have been read.",
)
app.add_typer(reports_upkeep.app)

DAYS_DEFAULT = 30
EXPORT_SECONDS_MAX = 30.0
"""For a chunk."""

DAY_COLUMNS = ("day", "=payments", "=captured", "=fees", "=refunds", "=refunded", "=fees returned")
FOUND_COLUMNS = ("payment", "state", "=amount", "=captured", "=refunded", "payer", "created")
LINE_COLUMNS = ("time", "=amount", "=balance", "why", "other side", "transfer", "description")


def parse_date(text: str | datetime.date) -> datetime.date:
    """Reads a day, as 2026-01-31."""
    if isinstance(text, datetime.date):
        return text
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no day, as 2026-01-31") from None


def parse_time(text: str | datetime.datetime) -> datetime.datetime:
    """Reads a time or a day; without a zone it is UTC."""
    if isinstance(text, datetime.datetime):
        return text
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time, as 2026-01-31T12:00") from None
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


Merchant = Annotated[
    str, typer.Option("--merchant", help="mer_...; not needed with a merchant's own key.")
]
FromDay = Annotated[
    datetime.date | None,
    typer.Option("--from", parser=parse_date, metavar="DAY", help="First day (UTC); else 30 ago."),
]
ToDay = Annotated[
    datetime.date | None,
    typer.Option("--to", parser=parse_date, metavar="DAY", help="Last day (UTC); else today."),
]
FromTime = Annotated[
    datetime.datetime | None,
    typer.Option("--from", parser=parse_time, metavar="TIME", help="At or after; UTC."),
]
ToTime = Annotated[
    datetime.datetime | None,
    typer.Option("--to", parser=parse_time, metavar="TIME", help="Before; UTC."),
]
Currency = Annotated[str, typer.Option(help="Only in this one, as EUR.")]
States = Annotated[
    list[str] | None, typer.Option("--state", help="As captured; repeatable.", metavar="STATE")
]
AmountMin = Annotated[
    tender.Money | None,
    typer.Option("--min", parser=calling.parse_amount, metavar="AMOUNT", help="As '10.50 EUR'."),
]
AmountMax = Annotated[
    tender.Money | None,
    typer.Option("--max", parser=calling.parse_amount, metavar="AMOUNT", help="As '99 EUR'."),
]
Payer = Annotated[str, typer.Option("--payer", help="Only from this account.")]
Metadata = Annotated[
    list[str] | None, typer.Option("--metadata", metavar="KEY=VALUE", help="Repeatable.")
]
AccountId = Annotated[str, typer.Argument(help="acc_...", metavar="ACCOUNT")]
Out = Annotated[Path, typer.Option("--out", help="File to write.", dir_okay=False)]
Limit = Annotated[int, typer.Option(min=1, help="At most this many.")]


def wanted(
    merchant: str,
    from_time: datetime.datetime | None,
    to_time: datetime.datetime | None,
    states: list[str] | None,
    currency: str,
    least: tender.Money | None,
    most: tender.Money | None,
    payer: str,
    metadata: list[str] | None,
) -> reporting_pb2.PaymentFilter:
    """Makes a filter of options; amounts bring their currency with them."""
    currencies = {it.currency_code for it in (least, most) if it is not None}
    currencies |= {currency} if currency else set()
    if len(currencies) > 1:
        raise typer.BadParameter("all amounts have to be in one currency")
    return reporting.payment_filter(
        merchant_id=merchant,
        from_time=from_time,
        to_time=to_time,
        states=[_state(name) for name in states or ()],
        currency_code=next(iter(currencies), ""),
        minor_units_min=least.minor_units if least else 0,
        minor_units_max=most.minor_units if most else 0,
        payer_account_id=payer,
        metadata=calling.parse_pairs(metadata or []),
    )


def _state(name: str) -> str:
    found = f"STATE_{name.upper().replace('-', '_')}"
    if found not in tender.Payment.State.keys():  # noqa: SIM118 (an enum of protobuf is no dict)
        raise typer.BadParameter(f"{name!r} is no state of a payment")
    return found


@calling.command(
    app,
    "merchants",
    "tender report merchants --merchant mer_...",
    "tender report merchants --merchant mer_... --from 2026-01-01 --to 2026-01-31 --currency EUR",
)
def merchants(
    session: Session,
    merchant: Merchant = "",
    from_date: FromDay = None,
    to_date: ToDay = None,
    currency: Currency = "",
) -> None:
    """Show what a merchant's days brought: payments, captures, fees, refunds."""
    last = to_date or datetime.datetime.now(datetime.UTC).date()
    first = from_date or last - datetime.timedelta(days=DAYS_DEFAULT - 1)
    answer = session.client.get_merchant_report(
        merchant_id=merchant, from_date=first, to_date=last, currency_code=currency
    )
    if session.output.as_json:
        session.output.json(output.as_dict(answer))
    session.output.show(
        output.table(DAY_COLUMNS, [_day(day) for day in (*answer.days, *answer.totals)])
    )
    session.output.say(_newness(answer.position))


def _day(it: reporting_pb2.MerchantDay) -> tuple[str, ...]:
    return (
        it.date or "[bold]all[/]",
        ", ".join(
            f"{each.count:,} {output.plain(tender.Payment.State, each.state).lower()}"
            for each in it.states
        ),
        output.money(it.captured),
        output.money(it.fees),
        f"{it.refund_count:,}",
        output.money(it.refunded),
        output.money(it.fees_refunded),
    )


@calling.command(
    app,
    "search",
    "tender report search --merchant mer_... --state captured --min '100 EUR'",
    "tender report search --merchant mer_... --metadata order=4711",
)
def search(
    session: Session,
    merchant: Merchant = "",
    from_time: FromTime = None,
    to_time: ToTime = None,
    states: States = None,
    currency: Currency = "",
    least: AmountMin = None,
    most: AmountMax = None,
    payer: Payer = "",
    metadata: Metadata = None,
    limit: Limit = 20,
) -> None:
    """Find payments of a merchant over all shards, newest first."""
    chosen = wanted(merchant, from_time, to_time, states, currency, least, most, payer, metadata)
    found = session.client.iter_found_payments(filter=chosen, page_size=min(limit, 200))
    session.output.many("payments", itertools.islice(found, limit), FOUND_COLUMNS, _found)


def _found(it: tender.Payment) -> tuple[str, ...]:
    return (
        it.id,
        output.state(tender.Payment.State, it.state),
        output.money(it.amount),
        output.money(it.captured),
        output.money(it.refunded),
        it.payer_account_id,
        output.moment(it.create_time),
    )


@calling.command(app, "statement", "tender report statement acc_... --from 2026-01-01")
def statement(
    session: Session,
    account: AccountId,
    from_time: FromTime = None,
    to_time: ToTime = None,
    limit: Limit = 100,
) -> None:
    """Show an account's movements with the balance after each, oldest first."""
    found = session.client.iter_account_statement(
        account_id=account, from_time=from_time, to_time=to_time, page_size=min(limit, 1_000)
    )
    lines = list(itertools.islice(found, limit))
    if session.output.as_json:
        session.output.json({"lines": [output.as_dict(line) for line in lines]})
    session.output.show(output.table(LINE_COLUMNS, map(_line, lines)))


def _line(it: reporting_pb2.StatementLine) -> tuple[str, ...]:
    return (
        output.moment(it.create_time),
        output.money(it.amount),
        output.money(it.posted),
        output.plain(account_pb2.Transfer.Reason, it.reason).lower().replace("_", " "),
        it.counterparty_account_id,
        it.transfer_id,
        escape(it.description),
    )


@calling.command(
    app,
    "export",
    "tender report export --merchant mer_... --from 2026-01-01 --out january.csv",
    "tender report export acc_... --from 2026-01-01 --out statement.csv",
)
def export(
    session: Session,
    out: Out,
    account: Annotated[
        str, typer.Argument(metavar="[ACCOUNT]", help="acc_...: its movements, and no payments.")
    ] = "",
    merchant: Merchant = "",
    from_time: FromTime = None,
    to_time: ToTime = None,
    states: States = None,
    currency: Currency = "",
    least: AmountMin = None,
    most: AmountMax = None,
    payer: Payer = "",
    metadata: Metadata = None,
) -> None:
    """Write a merchant's payments, or an account's movements, to a file (CSV)."""
    if account and any((merchant, states, currency, least, most, payer, metadata)):
        raise typer.BadParameter("an account's movements are chosen by --from and --to alone")
    call: calls.Call[Any]
    if account:
        call = reporting.export_statement(
            account_id=account, from_time=from_time, to_time=to_time, timeout=EXPORT_SECONDS_MAX
        )
    else:
        chosen = wanted(
            merchant, from_time, to_time, states, currency, least, most, payer, metadata
        )
        call = reporting.export_payments(filter=chosen, timeout=EXPORT_SECONDS_MAX)
    _write(session, out, _chunks(session, call))


def _chunks(session: Session, call: calls.Call[Any]) -> Iterator[Any]:
    following: calls.Call[Any] | None = call
    while following is not None:
        answer = session.client.invoke(following)
        yield answer
        following = calls.next_page(following, answer)


def _write(session: Session, out: Path, chunks: Iterator[Any]) -> None:
    """Write chunks beside the file, which is there once all of it is."""
    beside = out.with_name(f".{out.name}.part")
    rows, told_at = 0, time.monotonic()
    try:
        with beside.open("w", encoding="utf-8", newline="") as file:
            for chunk in chunks:
                file.write(chunk.csv)
                rows += chunk.row_count
                if time.monotonic() - told_at > 1.0:
                    told_at = time.monotonic()
                    session.output.say(f"{rows:,} rows ...")
        beside.replace(out)
    except OSError as error:
        raise reports.Problem(f"{out} cannot be written: {error.strerror}") from None
    finally:
        beside.unlink(missing_ok=True)
    if session.output.as_json:
        session.output.json({"file": str(out), "rows": rows})
    session.output.say(f"{rows:,} rows in {out}")


@calling.command(app, "status", "tender report status", "tender report status --json")
def status(session: Session) -> None:
    """Show how far events have been read."""
    answer = session.client.get_reporting_status()
    if session.output.as_json:
        session.output.json(output.as_dict(answer))
    rows = [
        (it.shard, f"{it.seq:,}", it.incarnation, output.moment(it.event_time), _lost(it))
        for it in answer.position.shards
    ]
    session.output.show(output.table(("shard", "=commit", "history", "of", ""), rows))
    if answer.HasField("rebuild_time"):
        session.output.say(f"made anew {output.moment(answer.rebuild_time)}")
    session.output.say(_newness(answer.position))


def _lost(it: reporting_pb2.ShardPosition) -> str:
    return "[red]shows commits that a failover took back[/]" if it.history_lost else ""


def _newness(position: reporting_pb2.ReportPosition) -> str:
    if not position.HasField("staleness"):
        return "[dim]how new this is is not known: Kafka does not answer, or it has just begun[/]"
    seconds = position.staleness.seconds + position.staleness.nanos / 1e9
    return f"[dim]everything that was published {seconds:.1f} s ago is in it[/]"

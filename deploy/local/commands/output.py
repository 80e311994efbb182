"""How resources look on a terminal and in JSON."""

import datetime
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import typer
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import tender
from tender.v1 import merchant_pb2, payment_pb2

GOOD, BAD, WAITING = "green", "red", "yellow"
STATE_COLOURS = {
    "CAPTURED": GOOD,
    "AUTHORIZED": GOOD,
    "PARTIALLY_CAPTURED": GOOD,
    "POSTED": GOOD,
    "SENT": GOOD,
    "SUCCEEDED": GOOD,
    "OPEN": GOOD,
    "ACTIVE": GOOD,
    "ENABLED": GOOD,
    "DELIVERED": GOOD,
    "DISABLED": BAD,
    "DECLINED": BAD,
    "FAILED": BAD,
    "FROZEN": BAD,
    "SUSPENDED": BAD,
    "PROCESSING": WAITING,
    "PENDING": WAITING,
    "IN_DOUBT": WAITING,
    "SUSPENSE": WAITING,
}
# Wider than any table: ids are there to be copied, so that nothing is ever cut or wrapped.
WIDTH = 500

Rows = list[tuple[str, str]]
Item = TypeVar("Item", bound=Message)


def state(kind: EnumTypeWrapper, number: int) -> str:
    """The short, coloured name of an enum's value: CAPTURED for STATE_CAPTURED."""
    name = plain(kind, number)
    colour = STATE_COLOURS.get(name)
    return f"[{colour}]{name}[/]" if colour else name


def plain(kind: EnumTypeWrapper, number: int) -> str:
    prefix = kind.Name(0).removesuffix("UNSPECIFIED")
    return kind.Name(number).removeprefix(prefix)


def moment(timestamp: Timestamp) -> str:
    at = timestamp.ToDatetime(tzinfo=datetime.UTC)
    return at.isoformat(sep=" ", timespec="milliseconds").replace("+00:00", "Z")


def money(amount: tender.Money) -> str:
    return tender.money.text(amount) if amount.currency_code else ""


def fee(schedule: tender.FeeSchedule, currency_code: str) -> str:
    fixed = money(tender.money(currency_code, schedule.fixed_minor_units))
    policy = plain(merchant_pb2.FeeRefundPolicy, schedule.refund_policy).lower()
    return f"{schedule.basis_points / 100:g} % + {fixed}, refunds {policy} it"


def payment(it: tender.Payment) -> Rows:
    rows = [
        ("payment", it.id),
        ("state", state(tender.Payment.State, it.state)),
        ("amount", money(it.amount)),
        ("captured", money(it.captured)),
        ("capturable", money(it.capturable)),
        ("refunded", money(it.refunded)),
        ("fee", money(it.fee)),
        ("capture", plain(payment_pb2.CaptureMethod, it.capture_method).lower()),
        ("payer", it.payer_account_id),
        ("merchant", it.merchant_id),
        ("created", moment(it.create_time)),
    ]
    if it.decline_reason:
        rows.insert(2, ("reason", plain(payment_pb2.DeclineReason, it.decline_reason)))
    if it.refund_pending.minor_units:
        rows.append(("on its way back", money(it.refund_pending)))
    if it.capturable.minor_units:
        rows.append(("held until", moment(it.hold_expire_time)))
    if it.description:
        rows.append(("description", escape(it.description)))
    return rows + [(f"  {escape(key)}", escape(it.metadata[key])) for key in sorted(it.metadata)]


def refund(it: tender.Refund) -> Rows:
    rows = [
        ("refund", it.id),
        ("state", state(tender.Refund.State, it.state)),
        ("amount", money(it.amount)),
        ("fee returned", money(it.fee_refunded)),
        ("payment", it.payment_id),
    ]
    if it.failure_reason:
        rows.insert(2, ("reason", it.failure_reason))
    return rows


def leg(it: tender.Leg) -> Rows:
    return [
        ("to another shard", it.transfer_id),
        ("state", state(tender.Leg.State, it.state)),
        ("amount", money(it.amount)),
        ("account", it.account_id),
        ("sent", moment(it.create_time)),
    ]


def account(it: tender.Account) -> Rows:
    return [
        ("account", it.id),
        ("state", state(tender.Account.State, it.state)),
        ("owner", escape(it.user_id)),
        ("kind", plain(tender.Account.Kind, it.kind).lower().replace("_", " ")),
        ("available", f"[bold]{money(it.available)}[/]"),
        ("posted", money(it.posted)),
        ("held", money(it.held)),
        ("floor", money(it.floor)),
        ("opened", moment(it.create_time)),
    ]


def transfer(it: tender.Transfer) -> Rows:
    rows = [
        ("transfer", it.id),
        ("state", state(tender.Transfer.State, it.state)),
        ("amount", money(it.amount)),
        ("from", it.source_account_id),
        ("to", it.destination_account_id),
        ("why", plain(tender.Transfer.Reason, it.reason).lower().replace("_", " ")),
        ("created", moment(it.create_time)),
    ]
    if it.decline_reason:
        rows.insert(2, ("reason", plain(payment_pb2.DeclineReason, it.decline_reason)))
    if it.remote_account_id:
        rows.append(("on another shard", it.remote_account_id))
    return rows


def merchant(it: tender.Merchant) -> Rows:
    rows = [
        ("merchant", it.id),
        ("state", state(tender.Merchant.State, it.state)),
        ("reference", escape(it.reference)),
        ("name", escape(it.display_name)),
        ("created", moment(it.create_time)),
    ]
    for terms in it.settlement_terms:
        rows.append((f"in {terms.currency_code}", terms.account_id))
        rows.append(("", fee(terms.fee_schedule, terms.currency_code)))
    return rows


def as_dict(message: Message) -> dict[str, Any]:
    """The canonical JSON of a message, as `buf curl` prints it, with empty fields too."""
    content: dict[str, Any] = MessageToDict(message, always_print_fields_with_no_presence=True)
    return content


@dataclass(frozen=True)
class Output:
    """Prints to stdout: for people, as JSON, or the id alone."""

    as_json: bool = False
    only_id: bool = False

    def one(self, answer: Message, resource_id: str, *tables: Rows) -> None:
        """One resource: `answer` for machines, `tables` for people."""
        if self.as_json:
            self.json(as_dict(answer))
        elif self.only_id:
            typer.echo(resource_id)
        else:
            for rows in tables:
                self._console().print(grid(rows))

    def many(
        self,
        name: str,
        items: Iterable[Item],
        columns: Sequence[str],
        row: Callable[[Item], Sequence[str]],
    ) -> None:
        """A list of resources that all have an id."""
        if self.as_json:
            self.json({name: [as_dict(item) for item in items]})
        elif self.only_id:
            for item in items:
                typer.echo(getattr(item, "id"))  # noqa: B009 (every listed message has one)
        else:
            self._console().print(table(columns, map(row, items)))

    def json(self, content: Any) -> None:
        typer.echo(json.dumps(content, indent=2, default=str))

    def say(self, text: str) -> None:
        """A line for people."""
        if not self.as_json:
            self._console().print(text)

    def show(self, rendered: Table) -> None:
        if not self.as_json:
            self._console().print(rendered)

    def _console(self) -> Console:
        # Made anew, so that it prints to the stdout of the moment.
        return Console(width=WIDTH, soft_wrap=True, highlight=False)


def grid(rows: Rows) -> Table:
    lines = Table(box=None, show_header=False, pad_edge=False)
    lines.add_column(style="dim")
    lines.add_column(overflow="fold")
    for label, text in rows:
        lines.add_row(label, text)
    return lines


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> Table:
    """A table whose amounts stand right; "=amount" asks for that."""
    lines = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left")
    for column in columns:
        right = column.startswith("=")
        lines.add_column(column.lstrip("="), justify="right" if right else "left", no_wrap=True)
    for row in rows:
        lines.add_row(*row)
    return lines

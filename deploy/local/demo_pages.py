"""How the demo tells its story: scenes, calls with their answers, and what was expected of them."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from google.protobuf.message import Message
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import tender
from deploy.local.commands import output, reports
from tender.v1 import payment_pb2

P = ParamSpec("P")
Answer = TypeVar("Answer", bound=Message)


@dataclass
class Narrator:
    """Prints the story and keeps the score."""

    console: Console
    scenes: list[str] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def scene(self, title: str) -> None:
        self.scenes.append(title)
        self.console.print(f"\n[bold cyan]{len(self.scenes)}. {escape(title)}[/]")

    def say(self, text: str) -> None:
        self.console.print(f"   {text}")

    def show(self, table: Table) -> None:
        self.console.print(table)

    def expect(self, what: str, holds: bool) -> None:
        """States what must be true at this point of the story."""
        if holds:
            self.console.print(f"   [green]✓[/] {escape(what)}")
        else:
            self.failures.append(f"scene {len(self.scenes)}: {what}")
            self.console.print(f"   [bold red]✗ {escape(what)}[/]")

    async def call(
        self, method: Callable[P, Coroutine[Any, Any, Answer]], *args: P.args, **kwargs: P.kwargs
    ) -> Answer:
        """Makes a call, and prints it with its answer; errors are printed and passed on."""
        name = getattr(method, "__name__", "call")
        told = {key: written(key, value) for key, value in kwargs.items()}
        arguments = ", ".join(f"{key}={value}" for key, value in told.items())
        self.console.print(f"   [dim]> {name}({escape(arguments)})[/]")
        try:
            answer = await method(*args, **kwargs)
        except tender.TenderError as error:
            self._record(name, told, {"error": reports.describe(error)})
            self.say(f"< [red]{error.code.name}[/] [bold]{error.reason}[/] {_details(error)}")
            raise
        self._record(name, told, output.as_dict(answer))
        self.say(f"< {summary(answer)}")
        return answer

    def _record(self, name: str, told: dict[str, str], answer: dict[str, Any]) -> None:
        scene = self.scenes[-1] if self.scenes else ""
        self.calls.append({"scene": scene, "call": name, "arguments": told, "answer": answer})


def summary(answer: Any) -> str:
    """The answer in a line: what it is about, its state, its amounts."""
    fields = answer.DESCRIPTOR.fields_by_name
    parts = []
    if "result" in fields:
        kind = payment_pb2.ReversePaymentResponse.Result
        parts.append(f"[bold]{output.plain(kind, answer.result)}[/]")
    for name, line in LINES.items():
        if name in fields and answer.HasField(name):
            parts.append(line(getattr(answer, name)))
    return "; ".join(parts)


def _payment(it: tender.Payment) -> str:
    parts = [it.id, output.state(tender.Payment.State, it.state)]
    if it.decline_reason:
        parts.append(f"[red]{output.plain(payment_pb2.DeclineReason, it.decline_reason)}[/]")
    for label in ("amount", "captured", "capturable", "refunded", "fee"):
        amount = getattr(it, label)
        if amount.minor_units:
            parts.append(f"{label} {output.money(amount)}")
    return " ".join(parts)


def _account(it: tender.Account) -> str:
    amounts = f"available {output.money(it.available)} held {output.money(it.held)}"
    return f"{it.id} {output.state(tender.Account.State, it.state)} {amounts}"


def _transfer(it: tender.Transfer) -> str:
    return f"{it.id} {output.state(tender.Transfer.State, it.state)} {output.money(it.amount)}"


def _refund(it: tender.Refund) -> str:
    return f"{it.id} {output.state(tender.Refund.State, it.state)} {output.money(it.amount)}"


def _merchant(it: tender.Merchant) -> str:
    fees = [output.fee(terms.fee_schedule, terms.currency_code) for terms in it.settlement_terms]
    return f"{it.id} {output.state(tender.Merchant.State, it.state)} {' | '.join(fees)}"


LINES: dict[str, Callable[[Any], str]] = {
    "refund": _refund,
    "payment": _payment,
    "account": _account,
    "transfer": _transfer,
    "merchant": _merchant,
}


def _details(error: tender.TenderError) -> str:
    pairs = " ".join(f"{key}={value}" for key, value in error.metadata.items())
    return escape(pairs or error.message)


def written(name: str, value: Any) -> str:
    """An argument as the story shows it."""
    if isinstance(value, tender.Money):
        return output.money(value)
    if name in ENUMS:
        return output.plain(ENUMS[name], value)
    if name == "settlement_terms":
        return "+".join(terms.currency_code for terms in value)
    return f"{value}"


ENUMS: dict[str, Any] = {
    "capture_method": payment_pb2.CaptureMethod,
    "kind": tender.Account.Kind,
}

"""What the program prints when a call did not go well, and the exit code that says so."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

import tender

EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_UNKNOWN = 3
EXIT_DECLINED = 4

HINTS = {
    "REQUEST_ID_REUSED": "Another request used this --request-id; choose a new one for a new wish.",
    "PAYMENT_STATE": "See where the payment stands with `tender show`.",
    "CAPTURE_EXCEEDS_CAPTURABLE": "See what is capturable with `tender show`.",
    "REFUND_EXCEEDS_CAPTURED": "See what is captured and refunded with `tender show`.",
    "ACCOUNT_FROZEN": "An operator can lift it with `tender account unfreeze`.",
    "ACCOUNT_NOT_EMPTY": "Move the rest away with `tender transfer` first.",
    "MERCHANT_SUSPENDED": "An operator can lift it with `tender merchant update --activate`.",
    "SETTLEMENT_ACCOUNT_MISSING": "The merchant takes no payments in this currency.",
    "SCOPE_MISSING": "Make a key with the scope by `tender key create --scope operator`.",
}
HINT_UNAUTHENTICATED = "Give a key with --api-key or TENDER_API_KEY."
HINT_UNAVAILABLE = "Is the server up? See `tender status`."


class Problem(Exception):
    """Something the caller has to put right before anything can be sent."""

    def __init__(self, message: str, hint: str = "", exit_code: int = EXIT_REFUSED) -> None:
        super().__init__(message)
        self.hint = hint
        self.exit_code = exit_code


@contextlib.contextmanager
def reported(as_json: bool) -> Iterator[None]:
    """Prints what a call raises to stderr and ends the program with its exit code."""
    try:
        yield
    except tender.OutcomeUnknown as unknown:
        hint = f"Repeat the command with --request-id {unknown.request_id}, or `tender reverse` it."
        _end(
            describe(unknown) | {"requestId": unknown.request_id, "hint": hint},
            "outcome unknown",
            EXIT_UNKNOWN,
            as_json,
        )
    except tender.Refused as refused:
        title, code = ("refused", EXIT_REFUSED) if refused.final else ("no answer", EXIT_UNKNOWN)
        _end(describe(refused) | {"hint": hint_for(refused)}, title, code, as_json)
    except Problem as problem:
        content = {"message": str(problem), "hint": problem.hint}
        _end(content, "error", problem.exit_code, as_json)


def hint_for(refused: tender.Refused) -> str:
    if isinstance(refused, tender.Unauthenticated):
        return HINT_UNAUTHENTICATED
    if isinstance(refused, tender.Unavailable):
        return HINT_UNAVAILABLE
    return HINTS.get(refused.reason, "")


def describe(error: tender.TenderError) -> dict[str, Any]:
    return {
        "reason": error.reason,
        "code": error.code.name,
        "message": error.message,
        "metadata": error.metadata,
        "fieldViolations": [
            {"field": each.field, "description": each.description}
            for each in error.field_violations
        ],
    }


def _end(content: dict[str, Any], title: str, exit_code: int, as_json: bool) -> NoReturn:
    if as_json:
        typer.echo(json.dumps({"error": content}, indent=2), err=True)
        raise typer.Exit(exit_code)
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    reason = content.get("reason", "")
    headline = f"{title}: [bold]{reason}[/] " if reason else f"{title}: "
    console.print(f"[red]{headline}[/]{escape(content['message'])}")
    for key, value in content.get("metadata", {}).items():
        console.print(f"  {escape(key)}: {escape(value)}")
    for violation in content.get("fieldViolations", ()):
        console.print(f"  {escape(violation['field'])}: {escape(violation['description'])}")
    if content["hint"]:
        console.print(f"[dim]hint: {escape(content['hint'])}[/]")
    raise typer.Exit(exit_code)

"""The results of all scenarios as a table for people."""

from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Summary = dict[str, Any]

COLUMNS: dict[str, Callable[[Summary], str]] = {
    "payments/s": lambda it: f"{it['payments_per_second']:,.0f}",
    "worst second": lambda it: f"{it['lowest_second']:,}",
    "calls": lambda it: f"{it['calls']:,}",
    "repeats": lambda it: f"{it['repeats']:,}",
    "errors": lambda it: f"{sum(it['errors'].values()):,}",
    "p50 ms": lambda it: f"{it['p50_ms']:,.1f}",
    "p99 ms": lambda it: f"{it['p99_ms']:,.1f}",
    "p99 intended ms": lambda it: f"{it['scheduled_p99_ms']:,.1f}",
    "generator µs": lambda it: f"{it['generator_cpu_us_per_payment']:,.0f}",
}


def show(console: Console, summaries: Sequence[Summary], verified: Sequence[str] | None) -> None:
    """Print the table, what failed, and whether the ledger was verified (None: it was not)."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("scenario", no_wrap=True)
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("result", no_wrap=True)
    for summary in summaries:
        table.add_row(summary["scenario"], *_cells(summary), _result(summary))
    console.print(table)
    for summary in summaries:
        for breach in summary["breaches"]:
            console.print(f"[red]{summary['scenario']}[/]: {escape(breach)}")
    if verified is None:
        console.print("The ledger was not verified: run `tender verify --dsn ...` where it is.")
    elif verified:
        for breach in verified:
            console.print(f"[red]{escape(breach)}[/]")
    else:
        console.print("verify: the ledger holds")


def _cells(summary: Summary) -> list[str]:
    if "calls" not in summary:
        return [""] * len(COLUMNS)
    return [show(summary) for show in COLUMNS.values()]


def _result(summary: Summary) -> str:
    return "[bold red]failed[/]" if summary["breaches"] else "[green]ok[/]"

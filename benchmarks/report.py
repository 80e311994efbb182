"""The table at the end of a run."""

from typing import Any

from rich.markup import escape
from rich.table import Table

from benchmarks.rounds import SERVERS
from benchmarks.shards.bars import figure
from benchmarks.wanted import BARS


def table(results: dict[str, Any]) -> Table:
    """Return the scenarios with their medians, one a row."""
    shown = Table(box=None, header_style="bold", pad_edge=False)
    shown.add_column("scenario")
    for name in (
        *("payments/s", "rounds", "x pgbench", "p50 ms", "p99 ms", "p99.9", "max", "batch"),
        *(
            "gateway",
            "proc.",
            "postgres",
            "redis",
            "[bold]servers[/]",
            "gener.",
            "others",
            "errors",
        ),
    ):
        shown.add_column(name, justify="right")
    for name, one in results["scenarios"].items():
        if one.get("group"):
            continue
        cpu = one["cpu_us"]
        shown.add_row(
            f"[bold]{name}[/]",
            f"[bold]{one['rate']:,.0f}[/]",
            _spread(one),
            _number(one["ratio"], ".2f"),
            *(_number(one[key], ".1f") for key in ("p50_ms", "p99_ms", "p999_ms", "max_ms")),
            _number(one.get("batch_mean"), ".0f"),
            *(
                _number(cpu.get(kind), ".1f")
                for kind in ("gateway", "processor", "postgres", "redis")
            ),
            f"[bold]{one['servers_cpu_us']:.1f}[/]",
            _number(cpu["generator"], ".1f"),
            f"{one['others_cpu_share']:.2f}",
            f"[red]{one['errors']}[/]" if one["errors"] else "0",
        )
    return shown


def overloads(results: dict[str, Any]) -> Table | None:
    """Return what came of more than can be carried, if that was offered."""
    if not results.get("overload"):
        return None
    shown = Table(box=None, header_style="bold", pad_edge=False)
    shown.add_column("overload")
    names = ("offered/s", "carried/s", "goodput", "at least", "of", "p50 ms", "p99 ms")
    for name in (*names, "refused", "their p99 ms", "others", "errors"):
        shown.add_column(name, justify="right")
    for name, one in results["overload"].items():
        shown.add_row(
            f"[bold]{name}[/]",
            f"{one['offered_per_second']:,.0f}",
            f"[bold]{one['rate']:,.0f}[/]",
            f"[bold]{one['goodput']:.2f}[/]",
            f"{one['goodput_min']:.2f}",
            f"{one['of']}, {one['carried_max']:,.0f}/s",
            *(_number(one[key], ".1f") for key in ("p50_ms", "p99_ms")),
            f"{one['refused']:,}",
            _number(one["refusals"].get("p99_ms"), ".1f"),
            f"{one['others_cpu_share']:.2f}",
            f"[red]{one['errors']}[/]" if one["errors"] else "0",
        )
    return shown


def shards(results: dict[str, Any]) -> Table | None:
    """Return the loads on several shards, each with what it is compared to."""
    found = {name: one for name, one in results["scenarios"].items() if one.get("group")}
    if not found:
        return None
    least = {bar.path: bar.least for bar in BARS}
    shown = Table(box=None, header_style="bold", pad_edge=False)
    shown.add_column("shards, Redis, standbys")
    names = ("per s", "rounds", "ratio", "at least", "of", "p50 ms", "p99 ms", "max")
    cpu_names = ("gateway", "proc.", "postgres", "redis", "[bold]servers[/]", "gener.", "others")
    for name in (*names, *cpu_names, "errors"):
        shown.add_column(name, justify="right")
    for name, one in found.items():
        cpu = one["cpu_us"]
        shown.add_row(
            f"[bold]{name}[/]",
            f"[bold]{one['rate']:,.0f}[/]",
            _spread(one),
            _number(one["ratio"], ".2f"),
            _number(least.get(f"scenarios.{name}.ratio"), ".2f"),
            one.get("of", ""),
            *(_number(one[key], ".1f") for key in ("p50_ms", "p99_ms", "max_ms")),
            *(_number(cpu.get(kind), ".1f") for kind in SERVERS),
            f"[bold]{one['servers_cpu_us']:.1f}[/]",
            _number(cpu["generator"], ".1f"),
            f"{one['others_cpu_share']:.2f}",
            f"[red]{one['errors']}[/]" if one["errors"] else "0",
        )
    return shown


def accidents(results: dict[str, Any]) -> Table | None:
    """Return what has no rate: what must be at most so much."""
    shown = Table(box=None, header_style="bold", pad_edge=False)
    shown.add_column("of several shards")
    for name in ("measured", "asked"):
        shown.add_column(name, justify="right")
    for bar in BARS:
        value = figure(results, bar.path)
        if value is not None and not bar.path.endswith(".ratio"):
            shown.add_row(bar.path, f"[bold]{value:,.2f}[/]", bar.asked())
    return shown if shown.row_count else None


def notes(results: dict[str, Any]) -> list[str]:
    """Return what stands under the table."""
    lines = []
    if results["pgbench"]["tps"]:
        lines.append(
            f"pgbench: {results['pgbench']['tps']:,.0f} transactions/s, the highest of all"
        )
    lines.append("CPU columns: µs per payment; servers: gateway + processor + postgres + redis")
    lines.append("others: cores that were busy with something else (1.00 is one whole core)")
    verify, history = results["verify"], results["history"]
    lines.append(f"verify: {_verdict(verify['ok'])}; history: {_verdict(history['ok'])}")
    lines += [f"[red]{escape(problem)}[/]" for problem in results["failures"]]
    return lines


def _verdict(ok: bool | None) -> str:
    return "not possible here" if ok is None else "[green]ok[/]" if ok else "[bold red]broken[/]"


def _spread(one: dict[str, Any]) -> str:
    return " ".join(f"{each['rate']:,.0f}" for each in one["rounds"])


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)

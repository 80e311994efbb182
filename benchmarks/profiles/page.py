"""Fills the parts of docs/performance.md that are made from figures, between their markers."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.shards.bars import figure
from benchmarks.wanted import BARS

PAGE: Final = Path("docs/performance.md")
SMALLEST: Final = 0.01
"""Parts with less of a server's time are put together."""
SERVERS: Final = ("gateway", "processor", "postgres")
NO_PERF: Final = (
    "Postgres is missing here: Linux's `perf` was not there when this was made, or was not allowed"
    " to look."
)


NO_PLOTS: Final = (
    "`tender bench --knee` and `tender bench --soak 10`, then `python -m benchmarks.capacity"
    " --markdown`, fill this in."
)


class NoMarker(Exception):
    """A page has no place for a section."""


def fill(path: Path, sections: Mapping[str, str]) -> None:
    """Write sections between their markers, `<!-- name: ... -->` and `<!-- /name -->`."""
    text = path.read_text()
    for name, section in sections.items():
        text = filled(text, name, section)
    path.write_text(text)


def filled(text: str, name: str, section: str) -> str:
    """Return a page with a section in its place. Raises NoMarker."""
    begin, end = _place(text, name)
    return f"{text[:begin]}\n{section.strip()}\n{text[end:]}"


def section_of(text: str, name: str) -> str:
    """Return what stands between the markers of a section. Raises NoMarker."""
    begin, end = _place(text, name)
    return text[begin:end].strip()


def _place(text: str, name: str) -> tuple[int, int]:
    begin = re.search(rf"<!-- {name}: [^>]*-->", text)
    end = text.find(f"<!-- /{name} -->")
    if begin is None or end < begin.end():
        raise NoMarker(f"there is no <!-- {name}: ... --> followed by <!-- /{name} -->")
    return begin.end(), end


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table: texts in the first column, figures in the others."""
    marks = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, marks, *rows))


def results(found: Mapping[str, Any]) -> str:
    """Return the table of a run of `make bench`."""
    head = ("Scenario", "payments/s", "x pgbench", "p50 ms", "p99 ms", "p99.9 ms", "batch")
    cpu = ("gateway", "processor", "postgres", "redis")
    rows = [
        (
            f"`{name}`",
            f"{one['rate']:,.0f}",
            _number(one["ratio"], ".2f"),
            *(f"{one[key]:.1f}" for key in ("p50_ms", "p99_ms", "p999_ms")),
            _number(one.get("batch_mean"), ".0f"),
            *(_number(one["cpu_us"].get(kind), ".1f") for kind in cpu),
            f"**{one['servers_cpu_us']:.1f}**",
            f"{one['cpu_us']['generator']:.1f}",
            f"{one['others_cpu_share']:.2f}",
        )
        for name, one in found["scenarios"].items()
        if not one.get("group")
    ]
    shown = table((*head, *cpu, "servers", "generator", "others"), rows)
    return f"{_about(found)}\n\n{shown}"


def shards(found: Mapping[str, Any]) -> str:
    """Return what a run showed of several shards, Redis and standbys, with what is asked."""
    least = {bar.path: f"{bar.least:g}" for bar in BARS if bar.least is not None}
    loads = {name: one for name, one in found["scenarios"].items() if one.get("group")}
    if not loads:
        return "This run did not measure them."
    head = ("Scenario", "per s", "ratio", "at least", "of", "p50 ms", "p99 ms", "max ms")
    cpu = ("gateway", "processor", "postgres", "redis")
    rows = [
        (
            f"`{name}`",
            f"{one['rate']:,.0f}",
            _number(one["ratio"], ".2f"),
            least.get(f"scenarios.{name}.ratio", ""),
            f"`{one['of']}`" if "of" in one else "",
            *(f"{one[key]:.1f}" for key in ("p50_ms", "p99_ms", "max_ms")),
            *(_number(one["cpu_us"].get(kind), ".1f") for kind in cpu),
            f"**{one['servers_cpu_us']:.1f}**",
        )
        for name, one in loads.items()
    ]
    others = [
        (f"`{bar.path}`", f"{value:,.2f}", bar.asked())
        for bar in BARS
        if not bar.path.endswith(".ratio") and (value := figure(found, bar.path)) is not None
    ]
    shown = table((*head, *cpu, "servers"), rows)
    return f"{shown}\n\n{table(('Figure', 'measured', 'asked'), others)}"


def _about(found: Mapping[str, Any]) -> str:
    machine, versions, lengths = found["machine"], found["versions"], found["lengths"]
    tps = found["pgbench"]["tps"]
    yardstick = f"pgbench {tps:,.0f} transactions/s" if tps else "pgbench was left out"
    verdicts = ", ".join(
        f"{name} {'ok' if found[name]['ok'] else 'not ok'}" for name in ("verify", "history")
    )
    return (
        f"{machine['cpus']} cores, Postgres {versions.get('postgres', '?')}, grpcio"
        f" {versions['grpcio']}, Python {versions['python']}, commit"
        f" `{found['commit'][:10] or '?'}`; the median of {lengths['rounds']} rounds of"
        f" {lengths['measured']:g} s; {yardstick}; {verdicts}."
    )


def plots(found: Mapping[str, Any], folder: Path) -> str:
    """Return what a search for the knee and a soak found, with the plots that are in a folder."""
    blocks = []
    if knee := found.get("knee"):
        blocks.append(f"The knee is at {knee['rate']:,.0f} payments/s.")
        rows = [
            (
                f"{one['share']:.0%}",
                *(f"{one[key]:,.0f}" for key in ("offered", "rate")),
                *(f"{one[key]:.1f}" for key in ("p50_ms", "p99_ms", "p999_ms", "max_ms")),
            )
            for one in knee["held"]
        ]
        head = ("Of the knee", "offered/s", "carried/s", "p50 ms", "p99 ms", "p99.9 ms", "max ms")
        blocks += [table(head, rows), *_plot(folder / "knee.png", "Latency and goodput by load")]
    if soak := found.get("soak"):
        grown = ", ".join(f"{kind} {by:+.1%}" for kind, by in soak["growth"].items())
        blocks.append(
            f"{soak['minutes']:g} minutes at {soak['rate']:,.0f} payments/s. Private memory from"
            f" minute 3 to the end: {grown}."
        )
        blocks += _plot(folder / "soak.png", "Memory and latency over time")
    return "\n\n".join(blocks) or NO_PLOTS


def _plot(path: Path, title: str) -> list[str]:
    return [f"![{title}](../{path.as_posix()})"] if path.exists() else []


def profiles(found: Mapping[str, Any]) -> str:
    """Return flame graphs and tables of `make profile`."""
    return "\n\n".join(
        block for name, one in found["scenarios"].items() for block in _profile(name, one)
    )


def _profile(name: str, one: Mapping[str, Any]) -> list[str]:
    blocks = [
        f"### `{name}`: {one['rate']:,.0f} payments/s, batches of {one['batch_mean']:.0f}",
        f"{one['others_cpu_share']:.2f} cores were busy with something else.",
    ]
    for kind in SERVERS:
        server = one["servers"].get(kind)
        if server is None:
            blocks.append(NO_PERF)
            continue
        blocks += [
            f"**{kind}**: {_server(kind, server)}",
            f"![Flame graph of the {kind}, {name}](images/{kind}-{name}.svg)",
            table(("Part", "µs", "share"), _parts(server)),
        ]
    if one["statements"]:
        rows = [
            (f"`{each['what']}`", f"{each['us']:.1f}") for each in one["statements"] if each["us"]
        ]
        blocks += [
            "Time inside apply by statement, as Postgres counts it (on the clock: waiting for a"
            " core is in it):",
            table(("Statement", "µs per payment"), rows),
        ]
    return blocks


def _server(kind: str, server: Mapping[str, Any]) -> str:
    whole, main = server["cpu_us"], server["main_thread_cpu_us"]
    if kind == "postgres":
        return (
            f"{whole:.1f} µs of CPU per payment, all its processes; sampled is the lane's session."
        )
    return (
        f"{whole:.1f} µs of CPU per payment, of which {whole - main:.1f} in threads beside the main"
        " one, gRPC's own for the most part."
    )


def _parts(server: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    shares, whole = server["parts"], server["main_thread_cpu_us"]
    rest = 0.0
    for part, share in shares.items():
        if share < SMALLEST:
            rest += share
        else:
            yield part, f"{share * whole:.1f}", f"{share:.0%}"
    if rest:
        yield "everything smaller", f"{rest * whole:.1f}", f"{rest:.0%}"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)

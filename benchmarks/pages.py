"""Plots, as PNG and as one HTML page that needs nothing else."""

import base64
import html
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

INCHES: Final = (9.0, 7.0)
MIB: Final = 1 << 20

PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; }}
table {{ border-collapse: collapse; }} td, th {{ padding: .2rem .8rem; text-align: right; }}
tr:nth-child(even) {{ background: #f4f4f4; }} img {{ max-width: 100%; }}
</style>
<h1>{title}</h1><p>{text}</p>
<img alt="{title}" src="data:image/png;base64,{image}">
<table><tr>{head}</tr>{rows}</table>
<details><summary>Figures as JSON</summary><pre>{figures}</pre></details>
</html>
"""


def knee(found: dict[str, Any], folder: Path) -> list[Path]:
    """Plot latency and goodput against the offered load; return the files."""
    steps = sorted((*found["steps"], *found["held"]), key=lambda one: float(one["offered"]))
    offered = [one["offered"] for one in steps]
    figure = _figure()
    above, below = figure.subplots(2, 1, sharex=True)
    for name, label in (("p50_ms", "p50"), ("p99_ms", "p99"), ("p999_ms", "p99.9")):
        above.plot(offered, [one[name] for one in steps], marker="o", label=label)
    above.set_yscale("log")
    above.set_ylabel("latency from the intended time, ms")
    below.plot(offered, [one["rate"] for one in steps], marker="o", label="goodput")
    below.plot(offered, offered, linestyle=":", color="grey", label="offered")
    below.set_ylabel("payments/s carried")
    below.set_xlabel("payments/s offered")
    for axes in (above, below):
        axes.axvline(found["rate"], color="black", linestyle="--", linewidth=0.8)
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
    text = (
        f"The knee is at {found['rate']:,.0f} payments/s, the dashed line. Arrivals follow a"
        " schedule drawn beforehand; latency runs from the time that it names."
    )
    columns = ("offered", "rate", "p50_ms", "p99_ms", "p999_ms", "max_ms", "errors")
    return _write(figure, folder / "knee", "Latency and goodput against load", text, columns, steps)


def soak(found: dict[str, Any], folder: Path) -> list[Path]:
    """Plot p99 and private memory over time; return the files."""
    figure = _figure()
    above, below = figure.subplots(2, 1, sharex=True)
    series = found["intervals"]
    minutes = [one["at"] / 60 for one in series]
    above.plot(minutes, [one["p99_ms"] for one in series], label="p99")
    above.set_ylabel("p99, ms")
    above.set_ylim(bottom=0)
    for kind in series[0]["private_bytes"]:
        below.plot(minutes, [one["private_bytes"][kind] / MIB for one in series], label=kind)
    below.set_ylabel("private memory, MiB")
    below.set_ylim(bottom=0)
    below.set_xlabel("minutes")
    for axes in (above, below):
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
    text = f"{found['rate']:,.0f} payments/s, open loop, for {found['minutes']:g} minutes."
    paths = _write(
        figure,
        folder / "soak",
        "Memory and latency over time",
        text,
        ("at", "rate", "p99_ms"),
        series,
    )
    vector = folder / "soak.svg"
    mpl.rcParams["svg.hashsalt"] = "soak"
    figure.savefig(vector, metadata={"Date": None})
    return [*paths, vector]


def _figure() -> Figure:
    # Not through pyplot: no window system is asked for, and nothing global is kept.
    return Figure(figsize=INCHES, layout="constrained")


def _write(
    figure: Figure,
    stem: Path,
    title: str,
    text: str,
    columns: Sequence[str],
    rows: Sequence[dict[str, Any]],
) -> list[Path]:
    stem.parent.mkdir(parents=True, exist_ok=True)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    shown = [{name: one[name] for name in columns} for one in rows]
    page = PAGE.format(
        title=html.escape(title),
        text=html.escape(text),
        image=base64.b64encode(drawn.getvalue()).decode(),
        head="".join(f"<th>{name}</th>" for name in columns),
        rows="".join(
            "<tr>" + "".join(f"<td>{value:,.1f}</td>" for value in one.values()) + "</tr>"
            for one in shown
        ),
        figures=html.escape(json.dumps(shown, indent=1)),
    )
    picture, document = stem.with_suffix(".png"), stem.with_suffix(".html")
    picture.write_bytes(drawn.getvalue())
    document.write_text(page)
    return [picture, document]

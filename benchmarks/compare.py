"""Compares two results: a difference counts when the bands of their rounds do not overlap."""

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.table import Table

COMPARED: Final = {
    "rate": True,
    "p50_ms": False,
    "p99_ms": False,
    "servers_cpu_us": False,
}
"""Figures, and whether more is better."""

SAME: Final = "within noise"
BETTER: Final = "better"
WORSE: Final = "worse"
UNKNOWN: Final = "one round: no band"

BAND_MIN: Final = 0.02
"""No machine is calmer than this: bands are at least 2 % to either side of their median."""


class Band(NamedTuple):
    """The least and the most that the rounds of a run showed."""

    low: float
    high: float
    rounds: int


class Line(NamedTuple):
    """A figure of a scenario in both results."""

    scenario: str
    figure: str
    before: float
    after: float
    verdict: str

    @property
    def change(self) -> float:
        """How much it changed, as a share of what it was."""
        return self.after / self.before - 1 if self.before else 0.0


def load(path: Path) -> dict[str, Any]:
    """Read results as they were written."""
    results: dict[str, Any] = json.loads(path.read_text())
    return results


def compare(before: dict[str, Any], after: dict[str, Any]) -> list[Line]:
    """Return every figure that both results have."""
    lines = []
    for name, one in before["scenarios"].items():
        other = after["scenarios"].get(name)
        if other is None:
            continue
        for figure, more_is_better in COMPARED.items():
            said = verdict(band(one, figure), band(other, figure), more_is_better)
            lines.append(Line(name, figure, one[figure], other[figure], said))
    return lines


def band(scenario: dict[str, Any], figure: str) -> Band:
    """Return the band of a figure over the rounds."""
    values = [_of_round(one, figure) for one in scenario["rounds"]]
    middle = scenario[figure]
    low, high = middle * (1 - BAND_MIN), middle * (1 + BAND_MIN)
    return Band(min(low, *values), max(high, *values), len(values))


def verdict(before: Band, after: Band, more_is_better: bool) -> str:
    """Say whether a figure changed by more than noise."""
    if min(before.rounds, after.rounds) < 2:
        return UNKNOWN
    if before.low <= after.high and after.low <= before.high:
        return SAME
    return BETTER if (after.low > before.high) == more_is_better else WORSE


def _of_round(one: dict[str, Any], figure: str) -> float:
    if figure == "servers_cpu_us":
        return sum(float(value) for kind, value in one["cpu_us"].items() if kind != "generator")
    return float(one[figure])


def table(lines: list[Line]) -> Table:
    """Return the comparison, one figure a row."""
    shown = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("scenario", "figure"):
        shown.add_column(name)
    for name in ("before", "after", "change"):
        shown.add_column(name, justify="right")
    shown.add_column("")
    colours = {BETTER: "green", WORSE: "red"}
    for line in lines:
        colour = colours.get(line.verdict, "dim")
        shown.add_row(
            line.scenario,
            line.figure,
            f"{line.before:,.1f}",
            f"{line.after:,.1f}",
            f"{line.change:+.1%}",
            f"[{colour}]{line.verdict}[/]",
        )
    return shown

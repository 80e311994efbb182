"""What the group must show; every bar is of the same run."""

from collections.abc import Mapping
from typing import Any, Final

from benchmarks.wanted import BARS

KINDS: Final = "error_kinds"


def failures(results: dict[str, Any]) -> list[str]:
    """Return what was missed by the loads and accidents of the group."""
    found: list[str] = []
    for bar in BARS:
        value = figure(results, bar.path)
        if value is not None and not bar.holds(value):
            found.append(f"{bar.path}: {value:,.2f}, {bar.asked()}")
    for name in ("takeover", "bucket_move"):
        one = results.get(name)
        if one and one["errors"]:
            kinds = "".join(f"; {kind}" for kind in one[KINDS])
            found.append(f"{name}: {one['errors']} errors{kinds}")
    return found


def figure(results: Mapping[str, Any], path: str) -> float | None:
    """Return a figure by its path; None when it was not measured."""
    found: Any = results
    for name in path.split("."):
        found = found.get(name) if found else None
    return found if found is None else float(found)

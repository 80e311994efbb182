"""Whether a run counts: errors, declines, a broken ledger, thresholds."""

from typing import Any, Final

from benchmarks import overload
from benchmarks.shards import bars
from benchmarks.wanted import Wanted

DECLINES_MAX: Final = 0.01


def failures(results: dict[str, Any], wanted: Wanted) -> list[str]:
    """Return why a run does not count, or missed what was asked of it."""
    found: list[str] = []
    for name, one in results["scenarios"].items():
        found += [f"{name}: {problem}" for problem in _scenario(one, wanted)]
    found += overload.failures(results.get("overload"))
    found += bars.failures(results)
    soak = results.get("soak")
    if soak and soak["errors"]:
        found.append(f"soak: {soak['errors']} errors")
    if results["verify"]["ok"] is False:
        found.append("verify: the ledger is broken")
    if results["history"]["ok"] is False:
        problems = [text for part in results["history"]["parts"] for text in part["problems"]]
        found += [f"history: {problem}" for problem in problems]
    return found


def _scenario(one: dict[str, Any], wanted: Wanted) -> list[str]:
    found: list[str] = []
    if one["errors"]:
        kinds = sorted({kind for each in one["rounds"] for kind in each["error_kinds"]})
        found.append(f"{one['errors']} errors{''.join(f'; {kind}' for kind in kinds)}")
    if one["declined"] > DECLINES_MAX * max(1, one["done"]):
        found.append(f"{one['declined']} of {one['done']} were declined")
    if not one["done"]:
        found.append("nothing was carried out")
    if one.get("group"):
        return found  # They have bars of their own.
    if wanted.p99_ms is not None and one["p99_ms"] > wanted.p99_ms:
        found.append(f"p99 is {one['p99_ms']:.1f} ms, at most {wanted.p99_ms:g} asked")
    if wanted.rate_min is not None and one["rate"] < wanted.rate_min:
        found.append(f"{one['rate']:,.0f}/s, at least {wanted.rate_min:,.0f} asked")
    return found

"""More than can be carried: how much is carried all the same, and what becomes of the rest."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from benchmarks.scenarios import Scenario

Once = Callable[[Scenario, float, float], dict[str, Any]]
"""Runs a scenario for some seconds at a rate and returns its figures."""


class Overload(NamedTuple):
    """A load beyond what can be carried, and the share of that which must be carried."""

    scenario: Scenario
    times: float
    goodput_min: float
    of: str
    """What `times` and the share are of."""


UNARY: Final = Overload(
    Scenario("overload_unary", "unary, beyond the knee", "open", "pay", 0, 8, sheds=True),
    1.3,
    0.60,
    "knee",
)
STREAM: Final = Overload(
    Scenario("overload_stream", "stream, far beyond", "open_stream", "", 0, 4, sheds=True),
    10.0,
    0.90,
    "stream",
)
OVERLOADS: Final = (UNARY, STREAM)

NEEDED: Final = ("unary", "stream")
"""Scenarios that show how much can be carried."""


def measure(
    once: Once, carried: dict[str, float], seconds: float, say: Callable[[str], None]
) -> dict[str, Any]:
    """Offer each overload; `carried` is what can be carried, by what overloads are multiples of."""
    found: dict[str, Any] = {}
    for one in OVERLOADS:
        most = carried[one.of]
        figures = once(one.scenario, seconds, one.times * most)
        goodput = figures["rate"] / most
        found[one.scenario.name] = {
            "of": one.of,
            "times": one.times,
            "carried_max": most,
            "goodput": goodput,
            "goodput_min": one.goodput_min,
        } | figures
        say(
            f"{one.scenario.name}: {figures['offered_per_second']:,.0f}/s offered,"
            f" {figures['rate']:,.0f}/s carried, {goodput:.0%} of the {one.of}'s"
        )
    return found


def failures(found: dict[str, Any] | None) -> list[str]:
    """Return what was missed."""
    missed: list[str] = []
    for name, one in (found or {}).items():
        if one["goodput"] < one["goodput_min"]:
            missed.append(
                f"{name}: carried {one['goodput']:.0%} of the {one['of']}'s rate,"
                f" at least {one['goodput_min']:.0%} asked"
            )
        if one["errors"]:
            kinds = "".join(f"; {kind}" for kind in sorted(one["error_kinds"]))
            missed.append(f"{name}: {one['errors']} errors{kinds}")
    return missed

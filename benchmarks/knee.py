"""Where latency breaks: offers more and more on a schedule, then stays below what was found."""

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

P99_MS_MAX: Final = 100.0
GOODPUT_MIN: Final = 0.97
"""Of what is offered; less means that the rest piles up."""
FIRST_SHARE: Final = 0.4
STEP: Final = 1.15
CLOSE: Final = 1.08
"""Between what is carried and what is not; closer than this, noise decides."""
STEPS_MAX: Final = 14
TRIES: Final = 2
"""A step that is not carried is offered once more: a moment's stall of the disk is no knee."""
SHARES: Final = (0.50, 0.70, 0.85)

Offer = Callable[[float, float], dict[str, Any]]
"""Offers a rate for some seconds and returns the round's figures."""


class Knee(NamedTuple):
    """The highest rate that was carried, and every step on the way."""

    rate: float
    steps: list[dict[str, Any]]


def carried(figures: dict[str, Any]) -> bool:
    """Say whether a round kept up with what was offered."""
    return (
        not figures["errors"]
        and figures["p99_ms"] <= P99_MS_MAX
        and figures["rate"] >= GOODPUT_MIN * figures["offered"]
    )


def find(offer: Offer, closed_rate: float, seconds: float, say: Callable[[str], None]) -> Knee:
    """Raise the rate until it is not carried, then close in; `closed_rate` is a hint."""
    steps: list[dict[str, Any]] = []
    best = 0.0

    def attempt(rate: float) -> bool:
        return any(once(rate) for _ in range(TRIES))

    def once(rate: float) -> bool:
        figures = offer(rate, seconds)
        steps.append(figures)
        good = carried(figures)
        say(
            f"knee: {rate:,.0f}/s offered, {figures['rate']:,.0f}/s carried, p99"
            f" {figures['p99_ms']:.1f} ms: {'ok' if good else 'too much'}"
        )
        return good

    rate = closed_rate * FIRST_SHARE
    while len(steps) < STEPS_MAX and attempt(rate):
        best, rate = rate, rate * STEP
    while not best and len(steps) < STEPS_MAX:
        if attempt(rate / 2):
            best = rate / 2
        else:
            rate /= 2
    while best and rate / best > CLOSE and len(steps) < STEPS_MAX:
        halfway = math.sqrt(best * rate)
        if attempt(halfway):
            best = halfway
        else:
            rate = halfway
    return Knee(best, steps)

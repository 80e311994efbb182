"""Series as promtool's rule tests write them: what servers would show, step by step."""

from collections.abc import Mapping
from math import inf
from typing import Final

STEP_SECONDS: Final = 5  # Of scrapes and of evaluations, as in deploy/prometheus/prometheus.yml.
LONG: Final = 40 * 60  # Longer than any window and `for` of the rules together.

Series = Mapping[str, str]
"""Values over time by the selector of the one series that has them."""


def stays(value: float, seconds: int = LONG) -> str:
    """One value at every scrape of these seconds."""
    return f"{value}+0x{seconds // STEP_SECONDS - 1}"


def rises(per_second: float, start: float = 0, seconds: int = LONG) -> str:
    """A value that grows evenly."""
    return f"{start}+{per_second * STEP_SECONDS:g}x{seconds // STEP_SECONDS - 1}"


def is_away(seconds: int) -> str:
    """No value at the scrapes of these seconds."""
    return f"_x{seconds // STEP_SECONDS}"


def in_turn(*values: str) -> str:
    """Put one after the other."""
    return " ".join(values)


def gateway(name: str, instance: str = "gateway-1:9464", **labels: str) -> str:
    """Return the selector of a series of a gateway."""
    return _selector(name, job="tender-gateway", instance=instance, **labels)


def processor(name: str, instance: str = "processor-1:9465", **labels: str) -> str:
    """Return the selector of a series of a processor."""
    return _selector(name, job="tender-processor", instance=instance, **labels)


def relay(name: str, instance: str = "relay-1:9466", **labels: str) -> str:
    """Return the selector of a series of a relay."""
    return _selector(name, job="tender-relay", instance=instance, **labels)


def reporting(name: str, instance: str = "reporting-1:9470", **labels: str) -> str:
    """Return the selector of a series of the reporting service."""
    return _selector(name, job="tender-reporting", instance=instance, **labels)


def notifications(name: str, instance: str = "notifications-1:9468", **labels: str) -> str:
    """Return the selector of a series of the notifications service."""
    return _selector(name, job="tender-notifications", instance=instance, **labels)


def webhooks(name: str, instance: str = "webhooks-1:9469", **labels: str) -> str:
    """Return the selector of a series of the webhooks service."""
    return _selector(name, job="tender-webhooks", instance=instance, **labels)


def operations(name: str, instance: str = "operations-1:9467", **labels: str) -> str:
    """Return the selector of a series of the asynchronous way in."""
    return _selector(name, job="tender-operations", instance=instance, **labels)


def buckets(selector: str, per_second: Mapping[float, float]) -> Series:
    """Return buckets of a histogram: how many a second came within each bound."""
    written = {f"{bound:g}".replace("inf", "+Inf"): count for bound, count in per_second.items()}
    return {f'{selector[:-1]}, le="{bound}"}}': rises(count) for bound, count in written.items()}


def one_in_fifty_slower(selector: str, bound: float, slower: float) -> Series:
    """Of 100 a second 98 within the bound, the others within the slower one.

    The quantile of 99 % is then in the middle between both.
    """
    return buckets(selector, {bound: 98, slower: 100, inf: 100})


def none_slower(selector: str, bound: float, slower: float) -> Series:
    """The same buckets with all within the bound."""
    return buckets(selector, {bound: 100, slower: 100, inf: 100})


def _selector(name: str, **labels: str) -> str:
    inner = ", ".join(f'{label}="{value}"' for label, value in labels.items())
    return f"{name}{{{inner}}}"

"""How long a lane does not answer when the processor that has it is killed."""

import asyncio
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import tender
from benchmarks.rounds import Say
from benchmarks.shards import metrics
from benchmarks.shards.city import City
from benchmarks.shards.probe import CALL_SECONDS_MAX, Payer, Probe, probing

BACK_SECONDS_MAX: Final = 30.0
SETTLED_SECONDS_MAX: Final = 60.0
"""Until each processor has a lane again."""

STRAYS_SECONDS: Final = 0.5
CALM_SECONDS: Final = 1.0
"""Before the next one: a supervisor takes deaths that come faster for a crash loop."""


async def measure(city: City, count: int, history: Path, say: Say) -> dict[str, Any]:
    """Kill processors in turn; return for how long the lanes they had did not answer."""
    gaps: list[float] = []
    key = city.api_key
    async with tender.Client(city.endpoints.gateway, key, timeout=CALL_SECONDS_MAX) as client:
        names = [home.shard for home in city.world.homes]
        probes = {name: Probe(name, Payer(client, city.world, name, history).pay) for name in names}
        processors = city.endpoints.processors
        async with probing(list(probes.values())):
            for number in range(count):
                await _settled(city)
                await asyncio.sleep(CALM_SECONDS)
                victim = processors[number % len(processors)]
                lanes = await asyncio.to_thread(metrics.lanes_of, victim.metrics)
                gaps += await _kill(
                    city, victim.name, [probes[name] for name in sorted(lanes & probes.keys())]
                )
                say(f"takeover {number + 1} of {count}: {gaps[-1]:.2f} s")
            await _settled(city)
    errors = [error for probe in probes.values() for error in probe.errors]
    return figures(gaps) | {"errors": len(errors), "error_kinds": sorted(set(errors))}


async def _kill(city: City, name: str, probes: Sequence[Probe]) -> list[float]:
    began = time.monotonic()
    await asyncio.to_thread(city.stack.kill, name)
    # An answer that was on its way when it died does not show that the lane is back.
    dead = time.monotonic() + STRAYS_SECONDS
    async with asyncio.timeout(BACK_SECONDS_MAX):
        for probe in probes:
            await probe.answers_after(dead)
    return [probe.gap(began, probe.answered[-1]) for probe in probes]


async def _settled(city: City) -> None:
    """Wait until every processor has a lane that is used. Raises TimeoutError."""
    used = {home.shard for home in city.world.homes}
    async with asyncio.timeout(SETTLED_SECONDS_MAX):
        for processor in city.endpoints.processors:
            while True:
                if used & await asyncio.to_thread(metrics.lanes_of, processor.metrics):
                    break
                await asyncio.sleep(0.05)


def figures(gaps: Sequence[float]) -> dict[str, Any]:
    """Return the figures by the names that reports use."""
    in_ms = sorted(gap * 1e3 for gap in gaps)
    return {
        "p50_ms": _percentile(in_ms, 0.5),
        "p95_ms": _percentile(in_ms, 0.95),
        "max_ms": in_ms[-1],
        "gaps_ms": in_ms,
    }


def _percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed."""
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]

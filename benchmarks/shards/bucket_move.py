"""How long a bucket does not answer while it moves to another shard."""

import asyncio
import sys
import time
from typing import Any, Final

import tender
from benchmarks.rounds import Say
from benchmarks.shards.city import SPARE_BUCKET, City
from benchmarks.shards.probe import CALL_SECONDS_MAX, Probe, probing
from deploy.local import layout, servers

MOVE_SECONDS_MAX: Final = 120.0
CALM_SECONDS: Final = 0.5
"""Of calls before and after a move, so that the gaps around it are seen."""


async def measure(city: City, count: int, say: Say) -> dict[str, Any]:
    """Move a bucket there and back; return the longest time without an answer to its callers."""
    pauses: list[float] = []
    places = [home.shard for home in city.world.homes]
    async with tender.Client(
        city.endpoints.gateway, city.api_key, timeout=CALL_SECONDS_MAX
    ) as client:
        probe = _probe(client, city)
        async with probing([probe]):
            for number in range(count):
                to = places[(number + 1) % len(places)]
                await asyncio.sleep(CALM_SECONDS)
                began = time.monotonic()
                await _move(city, to)
                ended = time.monotonic()
                await asyncio.sleep(CALM_SECONDS)
                await asyncio.wait_for(probe.answers_after(ended), CALL_SECONDS_MAX)
                pauses.append(probe.gap(began, ended) * 1e3)
                say(f"bucket {SPARE_BUCKET} to {to}: silent for {pauses[-1]:.0f} ms")
            if count % len(places):
                await _move(city, places[0])
    return {
        "pause_ms": max(pauses),
        "pauses_ms": pauses,
        "errors": len(probe.errors),
        "error_kinds": sorted(set(probe.errors)),
    }


def _probe(client: tender.Client, city: City) -> Probe:
    """Return calls that only the bucket's owner answers; nobody lives there, and so it says no."""
    region = city.endpoints.shards[0].region
    payment_id = f"pay_{region}_{'0' * 20}{layout.bucket_name(SPARE_BUCKET)}"

    async def call() -> None:
        try:
            await client.capture_payment(payment_id=payment_id)
        except tender.NotFound:
            return
        raise AssertionError(f"{payment_id} does not exist, and was captured")

    return Probe(f"bucket {SPARE_BUCKET}", call)


async def _move(city: City, to: str) -> None:
    """Let `tender shards move` do it, as people would."""
    processors = [f"--processor={each.address}" for each in city.endpoints.processors]
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.local.cli", "shards", "move"),
        *("--region", city.endpoints.shards[0].region, "--bucket", str(SPARE_BUCKET)),
        *("--to", to, "--data-dir", str(city.folder), *processors),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=servers.environment(),
    )
    async with asyncio.timeout(MOVE_SECONDS_MAX):
        shown, _ = await child.communicate()
    if child.returncode:
        raise RuntimeError(f"the bucket did not move to {to}:\n{shown.decode()}")

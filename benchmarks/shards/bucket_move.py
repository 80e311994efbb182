"""How long a bucket does not answer while it moves to another shard with all who live in it."""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any, Final

import tender
from benchmarks.rounds import Say
from benchmarks.shards.city import City
from benchmarks.shards.probe import CALL_SECONDS_MAX, Payer, Probe, probing
from deploy.local import layout, servers

MOVE_SECONDS_MAX: Final = 120.0
CALM_SECONDS: Final = 0.5
"""Of calls before and after a move, so that the gaps around it are seen."""


async def measure(city: City, count: int, history: Path, say: Say) -> dict[str, Any]:
    """Move the first payer's bucket there and back; return the longest time he could not pay."""
    pauses: list[float] = []
    home, *others = [home.shard for home in city.world.homes]
    bucket = layout.bucket_number(city.world.payer(0)[-2:])
    async with tender.Client(
        city.endpoints.gateway, city.api_key, timeout=CALL_SECONDS_MAX
    ) as client:
        probe = Probe(f"bucket {bucket}", Payer(client, city.world, home, history).pay)
        async with probing([probe]):
            for number in range(count):
                to = home if number % 2 else others[0]
                await asyncio.sleep(CALM_SECONDS)
                began = time.monotonic()
                await _move(city, bucket, to)
                ended = time.monotonic()
                await asyncio.sleep(CALM_SECONDS)
                await asyncio.wait_for(probe.answers_after(ended), CALL_SECONDS_MAX)
                pauses.append(probe.gap(began, ended) * 1e3)
                say(f"bucket {bucket} to {to}: silent for {pauses[-1]:.0f} ms")
            if count % 2:
                await _move(city, bucket, home)
    return {
        "pause_ms": max(pauses),
        "pauses_ms": pauses,
        "errors": len(probe.errors),
        "error_kinds": sorted(set(probe.errors)),
    }


async def _move(city: City, bucket: int, to: str) -> None:
    """Let `tender shards move` do it, as people would."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.local.cli", "shards", "move"),
        *("--region", city.endpoints.shards[0].region, "--bucket", str(bucket)),
        *("--to", to, "--data-dir", str(city.folder)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=servers.environment(),
    )
    async with asyncio.timeout(MOVE_SECONDS_MAX):
        shown, _ = await child.communicate()
    if child.returncode:
        raise RuntimeError(f"the bucket did not move to {to}:\n{shown.decode()}")

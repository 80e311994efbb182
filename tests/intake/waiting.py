"""Waits for what comes soon, within a bound for busy machines."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

WAIT_SECONDS_MAX = 60.0
PAUSE_SECONDS = 0.05

Found = TypeVar("Found")


async def eventually(look: Callable[[], Awaitable[Found | None]], what: str) -> Found:
    """Look until something is found."""
    stop_by = time.monotonic() + WAIT_SECONDS_MAX
    while (found := await look()) is None:
        assert time.monotonic() < stop_by, f"no {what} in {WAIT_SECONDS_MAX:.0f} s"
        await asyncio.sleep(PAUSE_SECONDS)
    return found

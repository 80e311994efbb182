"""Calls whose message is still to come: none may hold its place for long without sending it."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

_SWEEP_SECONDS: Final = 0.25
ARRIVALS_MAX: Final = 8_192  # Twice what a gateway has in flight by default.


class Arrivals:
    """Knows the task of each call that waits for its message, and since when.

    One look at all of them a few times a second costs less than a timer for each.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._since: dict[asyncio.Task[Any] | None, float] = {}

    @property
    def are_too_many(self) -> bool:
        """Whether more calls wait for their message than may."""
        return len(self._since) >= ARRIVALS_MAX

    def expect(self) -> None:
        """Note that the current task is about to wait for its call's message."""
        self._since[asyncio.current_task(self._loop)] = self._loop.time()

    def arrived(self) -> None:
        """Note that the message of the current task's call is there."""
        self._since.pop(asyncio.current_task(self._loop), None)

    async def run(self, seconds_max: Callable[[], float]) -> None:
        """Cancel whoever waited longer than that, until cancelled."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self._sweep(self._loop.time() - seconds_max())

    def _sweep(self, since_min: float) -> None:
        for task, since in list(self._since.items()):
            assert task is not None
            if task.done():
                del self._since[task]
            elif since < since_min:
                del self._since[task]
                task.cancel()

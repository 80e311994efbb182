"""Consumers that die at fail-points, each time at another one, and are started again."""

import asyncio
import contextlib
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

STOP_SECONDS_MAX: Final = 30.0
PASSES: Final = (1, 12)
"""So often a fail-point is passed before a process dies there: soon, and not always at once."""


@dataclass
class Crashing:
    """Keeps one process going that dies again and again, as long as that is wanted."""

    name: str
    arguments: Sequence[str]
    """Of Python; a fail-point with its passes is put behind them."""
    points: Sequence[str]
    dice: random.Random
    log: Path
    rare: Collection[str]
    """Points that are passed so rarely that the first time has to do."""
    may_crash: Callable[[], bool]
    crashes: dict[str, int] = field(default_factory=dict)
    """By fail-point."""
    problems: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How often it died."""
        return sum(self.crashes.values())

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep it going within the block, and stop it in order at the end."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            point = self._next_point()
            armed = [f"{point}:{self.dice.randint(*PASSES)}"] if point else []
            process = await asyncio.create_subprocess_exec(sys.executable, *self.arguments, *armed)
            try:
                code = await self._end_of(process, until_crash=bool(point))
            except BaseException:
                await _stop(process)
                raise
            if code == -signal.SIGKILL and point:
                self.crashes[point] = self.crashes.get(point, 0) + 1
            elif code is not None:
                self.problems.append(f"{self.name} ended with {code}")
                await asyncio.sleep(0.5)

    def _next_point(self) -> str:
        if not self.may_crash():
            return ""
        # Those that were tried least come first, so that a short run has tried each.
        fewest = min(self.crashes.get(point, 0) for point in self.points)
        return self.dice.choice(
            [point for point in self.points if self.crashes.get(point, 0) == fewest]
        )

    async def _end_of(
        self, process: asyncio.subprocess.Process, *, until_crash: bool
    ) -> int | None:
        """Wait for its end; None if it was stopped because no crash is wanted any more."""
        while True:
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(process.wait(), 1.0)
            if until_crash and not self.may_crash():
                await _stop(process)
                return None


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS_MAX)
    except TimeoutError:
        process.kill()
        await process.wait()

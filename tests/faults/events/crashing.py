"""Consumers that die at fail-points, each time at another one, and are started again."""

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

STOP_SECONDS_MAX: Final = 60.0
PASSES: Final = (1, 12)
"""So often a fail-point is passed before a process dies there: soon, and not always at once."""


@dataclass
class Quota:
    """How often some processes are to die, all together."""

    wanted: int
    count: int = 0

    @property
    def is_met(self) -> bool:
        """Whether none of them needs to die any more."""
        return self.count >= self.wanted


@dataclass
class Crashing:
    """Keeps one process going that dies again and again, as long as that is wanted."""

    name: str
    arguments: Sequence[str]
    """Of Python; a fail-point with its passes is put behind them."""
    points: Sequence[str]
    """Where it dies: those where it did least often first, and of these the first."""
    dice: random.Random
    log: Path
    rare: Collection[str]
    """Points that are passed so rarely that the first time has to do."""
    quota: Quota
    environment: Mapping[str, str] | None = None
    """Ours if there is none."""
    niceness: int = 0
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
            process = await self._start(point)
            try:
                code = await self._end_of(process, until_crash=bool(point))
            except BaseException:
                await self._stop(process)
                raise
            if code == -signal.SIGKILL and point:
                self.crashes[point] = self.crashes.get(point, 0) + 1
                self.quota.count += 1
            elif code is not None:
                self.problems.append(f"{self.name} ended with {code}")
                await asyncio.sleep(0.5)

    async def _start(self, point: str) -> asyncio.subprocess.Process:
        passes = 1 if point in self.rare else self.dice.randint(*PASSES)
        armed = [f"{point}:{passes}"] if point else []
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, *self.arguments, *armed),
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        if self.niceness:
            os.setpriority(os.PRIO_PROCESS, process.pid, self.niceness)
        return process

    def _next_point(self) -> str:
        if self.quota.is_met:
            return ""
        return min(self.points, key=lambda point: self.crashes.get(point, 0))

    async def _end_of(
        self, process: asyncio.subprocess.Process, *, until_crash: bool
    ) -> int | None:
        """Wait for its end; None if it was stopped because no crash is wanted any more."""
        while True:
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(process.wait(), 1.0)
            if until_crash and self.quota.is_met:
                await self._stop(process)
                # It may have died before it heard of it.
                return process.returncode if process.returncode == -signal.SIGKILL else None

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        """End it in order. One that has to be killed would be a crash that nobody counts."""
        if process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS_MAX)
        except TimeoutError:
            self.problems.append(f"{self.name} did not stop in {STOP_SECONDS_MAX:g} s")
            process.kill()
            await process.wait()

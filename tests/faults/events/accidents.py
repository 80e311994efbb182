"""What happens to brokers and relays, and in which order."""

import asyncio
import random
import signal
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from deploy.local.stack import Stack
from tests.faults.events.second_relay import SecondRelay, owned

PAUSE_SECONDS: Final = 7.0
"""Longer than a relay may be silent before another one ends its session and takes its place."""
DOWN_SECONDS: Final = 1.0


class Kind(StrEnum):
    BROKER_KILL = "broker killed"
    RELAY_KILL = "relay killed"
    RELAY_PAUSE = "relay paused past its lock, and woken"


def plan(dice: random.Random, brokers: int, relays: int, pauses: int) -> list[Kind]:
    """Return so many accidents in an order of chance."""
    chosen = [Kind.BROKER_KILL] * brokers + [Kind.RELAY_KILL] * relays + [Kind.RELAY_PAUSE] * pauses
    dice.shuffle(chosen)
    return chosen


@dataclass
class Accidents:
    """Causes them, and counts."""

    stack: Stack
    second: SecondRelay
    done: dict[Kind, int] = field(default_factory=dict)

    async def cause(self, kind: Kind) -> None:
        """Let one happen; what was killed is started again."""
        match kind:
            case Kind.BROKER_KILL:
                await asyncio.to_thread(self.stack.kill, "kafka", stay_down=True)
                await asyncio.sleep(DOWN_SECONDS)
                await asyncio.to_thread(self.stack.start_one, "kafka")
            case Kind.RELAY_KILL:
                await self._kill_owner()
            case Kind.RELAY_PAUSE:
                await self._pause_owner()
        self.done[kind] = self.done.get(kind, 0) + 1

    async def _first_owns(self) -> bool:
        """Say whether the stack's own relay has more shards than the second one."""
        first, second = await asyncio.gather(
            asyncio.to_thread(owned, self.stack.endpoints.relay_metrics),
            asyncio.to_thread(owned, self.second.metrics),
        )
        return first >= second

    async def _kill_owner(self) -> None:
        if await self._first_owns():
            await asyncio.to_thread(self.stack.kill, "relay", stay_down=True)
            await asyncio.sleep(DOWN_SECONDS)
            await asyncio.to_thread(self.stack.start_one, "relay")
        else:
            await asyncio.to_thread(self.second.kill)
            await asyncio.sleep(DOWN_SECONDS)
            self.second.start()

    async def _pause_owner(self) -> None:
        if await self._first_owns():
            self.stack.kill("relay", signal.SIGSTOP)
            await asyncio.sleep(PAUSE_SECONDS)
            self.stack.kill("relay", signal.SIGCONT)
        else:
            self.second.signal(signal.SIGSTOP)
            await asyncio.sleep(PAUSE_SECONDS)
            self.second.signal(signal.SIGCONT)

"""How long a lane does not answer, as a client of it sees that."""

import asyncio
import itertools
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import tender

PAUSE_SECONDS = 0.02
"""Between two calls: the resolution of what is measured."""

CALL_SECONDS_MAX = 20.0


@dataclass
class Probe:
    """One payment after the other on one shard."""

    shard: str
    call: Callable[[], Awaitable[object]]
    answered: list[float] = field(default_factory=list)
    """When an OK came, on the monotonic clock."""
    failed: int = 0

    async def run(self) -> None:
        """Call until cancelled."""
        while True:
            try:
                async with asyncio.timeout(CALL_SECONDS_MAX):
                    await self.call()
            except (tender.OutcomeUnknown, tender.Overloaded, TimeoutError):
                self.failed += 1
            else:
                self.answered.append(time.monotonic())
            await asyncio.sleep(PAUSE_SECONDS)

    def gap(self, since: float, until: float) -> float:
        """Return the longest time without an OK that overlaps a period."""
        return longest_gap(self.answered, since, until)


def longest_gap(moments: Sequence[float], since: float, until: float) -> float:
    """Return the longest time between two moments in their order that overlaps a period.

    A period in which nothing ended counts as open: infinity, if no moment follows it.
    """
    before = max((moment for moment in moments if moment <= since), default=since)
    inside = [moment for moment in moments if since < moment < until]
    after = min((moment for moment in moments if moment >= until), default=math.inf)
    ends = [before, *inside, after]
    return max(later - earlier for earlier, later in itertools.pairwise(ends))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)] if ordered else 0.0

"""Who comes how often: few accounts pay often, many seldom, as Zipf's law has it."""

import bisect
import itertools
import math
import random


class Zipf:
    """Draws 0 to count - 1, where rank r comes with weight 1 / (r + 1) ** exponent.

    The same seed draws the same ranks. A draw is one random number and one binary search.
    """

    def __init__(self, count: int, exponent: float, seed: int) -> None:
        if count < 1:
            raise ValueError(f"count is at least 1, not {count}")
        if exponent < 0:
            raise ValueError(f"exponent is not negative, as {exponent} is")
        self._last = count - 1
        weights = (math.pow(rank + 1, -exponent) for rank in range(count))
        self._bounds = list(itertools.accumulate(weights))
        self._total = self._bounds[-1]
        self._random = random.Random(seed).random

    def draw(self) -> int:
        """Return a rank; 0 is the most frequent."""
        return bisect.bisect_right(self._bounds, self._random() * self._total, 0, self._last)

    def share(self, rank: int) -> float:
        """Return the probability of a rank."""
        below = self._bounds[rank - 1] if rank else 0.0
        return (self._bounds[rank] - below) / self._total

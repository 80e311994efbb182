"""What is known of a primary's journal: which commit was its last, and when. Pure."""

import bisect
from typing import Final

KNOWN_MAX: Final = 1_000
"""Moments that are remembered; older ones matter to no replica that is still used."""


class Heads:
    """For each of the primary's last commits the latest moment at which it was the newest.

    Moments are seconds of a monotonic clock, taken before the primary was asked: all that was
    committed before such a moment is in the commit that it goes with.
    """

    def __init__(self) -> None:
        self._seqs: list[int] = []
        self._moments: list[float] = []

    @property
    def seq(self) -> int:
        """The newest commit known, 0 before the first."""
        return self._seqs[-1] if self._seqs else 0

    def note(self, seq: int, asked_at: float) -> None:
        """Take note of the primary's newest commit."""
        if self._seqs and seq < self._seqs[-1]:
            # History was lost: what was known of it says nothing about this one.
            self._seqs.clear()
            self._moments.clear()
        if self._seqs and seq == self._seqs[-1]:
            self._moments[-1] = max(self._moments[-1], asked_at)
            return
        self._seqs.append(seq)
        self._moments.append(asked_at)
        if len(self._seqs) > KNOWN_MAX:
            del self._seqs[0], self._moments[0]

    def staleness(self, seq: int, now: float) -> float | None:
        """Return at most how long ago a copy up to `seq` was all there was; None if unknown."""
        place = bisect.bisect_right(self._seqs, seq)
        return max(now - self._moments[place - 1], 0.0) if place else None

"""Lane time (R18): the database's clock at takeover, carried on by the monotonic clock."""

import time
from typing import Final

SKEW_MAX_US: Final = 2_000_000
"""Above this difference between lane time and the database's clock nothing expires."""

_STEP_US: Final = 1_000
"""A lane starts at least this long after its predecessor's last row, so that ids never go back."""


class LaneClock:
    """Never goes back, and is never before the last journal row."""

    def __init__(self, database_clock: int, last_written_at: int) -> None:
        self._base = max(database_clock, last_written_at + _STEP_US)
        self._started = time.monotonic_ns()
        self.trusted = True

    def now(self) -> int:
        """Return lane time in µs since 1970."""
        return self._base + (time.monotonic_ns() - self._started) // 1_000

    def compare(self, database_clock: int) -> int:
        """Note how far the database's clock is away, in µs; too far stops expiry."""
        skew = abs(database_clock - self.now())
        self.trusted = skew <= SKEW_MAX_US
        return skew

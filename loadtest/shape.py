"""The shape of a flash sale: calm, everybody at once, and a long tail."""

import math

# Shares of the duration and of the users: a calm shop, the minute the sale opens, and after it.
CALM_UNTIL, CALM = 0.3, 0.1
SPIKE_UNTIL, SPIKE = 0.7, 1.0
TAIL = 0.25


def users_at(elapsed_seconds: float, duration_seconds: float, users_max: int) -> int | None:
    """Return how many users there are then; None when the sale is over."""
    passed = elapsed_seconds / duration_seconds
    if passed >= 1:
        return None
    share = CALM if passed < CALM_UNTIL else SPIKE if passed < SPIKE_UNTIL else TAIL
    return max(1, math.ceil(users_max * share))

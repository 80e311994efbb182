"""Which faults a run has, and in which order: the same for the same seed."""

import random
from collections.abc import Sequence
from enum import StrEnum

EACH_MIN = 6
"""Of a whole run, of every kind."""


class Kind(StrEnum):
    """What happens to a stack."""

    PROCESSOR_KILL = "processor killed"
    PROCESSOR_PAUSE = "processor paused past its lease"
    PRIMARY_KILL = "primary killed, a standby promoted"
    OLD_PRIMARY = "primary paused, a standby promoted, the old primary resumed"
    REPLICA = "replica killed or held back"
    REDIS_KILL = "Redis killed"
    REDIS_FLUSH = "Redis flushed"
    REDIS_HANG = "Redis hung"


LANE_KINDS = frozenset(
    {Kind.PROCESSOR_KILL, Kind.PROCESSOR_PAUSE, Kind.PRIMARY_KILL, Kind.OLD_PRIMARY}
)
"""After these a lane is taken over; the others may cost nobody a call."""

PROMOTIONS = frozenset({Kind.PRIMARY_KILL, Kind.OLD_PRIMARY})


def plan(seed: int, faults: int, kinds: Sequence[Kind] = tuple(Kind)) -> list[Kind]:
    """Return as many faults, every kind as often as every other one up to one, well shuffled."""
    dice = random.Random(seed)
    rounds, rest = divmod(faults, len(kinds))
    chosen = [kind for kind in kinds for _ in range(rounds)] + dice.sample(list(kinds), rest)
    dice.shuffle(chosen)
    return chosen

"""What is measured of several shards: pairs of loads that run in turn, and accidents."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from benchmarks.load.plan import ACROSS, ONE_SHARD, WITHIN
from benchmarks.scenarios import Scenario
from benchmarks.shards.city import WITH_REDIS, WITHOUT_REDIS


class Load(NamedTuple):
    """A load, through which gateway it comes, and whether the standby is there meanwhile."""

    scenario: Scenario
    gateway: str = WITHOUT_REDIS
    with_standby: bool = True

    @property
    def name(self) -> str:
        """By which results name it."""
        return self.scenario.name


class Pair(NamedTuple):
    """Two loads that run in turn; the rate of the second is told as a multiple of the first's."""

    first: Load
    second: Load


def _closed(name: str, what: str, workload: str, in_flight: int, pairing: str = "") -> Scenario:
    return Scenario(name, what, "closed", workload, in_flight, 8, pairing=pairing)


def _stream(name: str, what: str, pairing: str) -> Scenario:
    return Scenario(name, what, "stream", "", 2_000, 4, pairing=pairing)


PAIRS: Final = (
    Pair(
        Load(_stream("lanes_one", "stream, all of it on one lane", ONE_SHARD)),
        Load(_stream("lanes_two", "stream, on two lanes of two processors", WITHIN)),
    ),
    Pair(
        Load(_closed("same_shard", "unary, payer and merchant on one shard", "pay", 512, WITHIN)),
        Load(
            _closed(
                "cross_shard",
                "unary, the merchant on another shard, counted when it has the money",
                "credited",
                512,
                ACROSS,
            )
        ),
    ),
    Pair(
        Load(
            _closed("first_calls", "unary, none was made before", "pay", 64, WITHIN),
            gateway=WITH_REDIS,
        ),
        Load(
            _closed("replay_redis", "unary, all of it repeats", "repeat", 64, WITHIN),
            gateway=WITH_REDIS,
        ),
    ),
    Pair(
        Load(
            _closed("reads_primary", "payments and balances, no standby", "reads", 64, WITHIN),
            with_standby=False,
        ),
        Load(_closed("reads_replica", "payments and balances, a standby", "reads", 64, WITHIN)),
    ),
    Pair(
        Load(_closed("redis_off", "unary, the gateway without Redis", "pay", 512, WITHIN)),
        Load(
            _closed("redis_on", "unary, replay cache and rate limits in Redis", "pay", 512, WITHIN),
            gateway=WITH_REDIS,
        ),
    ),
)

KILLED: Final = Load(
    Scenario(
        "redis_killed",
        "unary on a schedule, Redis killed on the way",
        "open",
        "pay",
        0,
        8,
        pairing=WITHIN,
        windowed=True,
    ),
    gateway=WITH_REDIS,
)
KILLED_NEEDS: Final = "redis_on"
"""What shows how much is carried; half of it is offered while Redis is killed."""

TAKEOVER: Final = "takeover"
BUCKET_MOVE: Final = "bucket_move"

NAMES: Final = (
    *(load.name for pair in PAIRS for load in pair),
    KILLED.name,
    TAKEOVER,
    BUCKET_MOVE,
)


def pairs_of(wanted: Sequence[str]) -> list[Pair]:
    """Return the pairs of which one load is wanted; a load alone would have no ratio."""
    names = {*wanted, *([KILLED_NEEDS] if KILLED.name in wanted else ())}
    return [pair for pair in PAIRS if names & {pair.first.name, pair.second.name}]

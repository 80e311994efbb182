"""What a caller of the benchmark asks for, and how long things take by default."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.measure import pgbench
from deploy.local import seed


@dataclass(frozen=True)
class Lengths:
    """How long and how often; seconds."""

    warm: float
    measured: float
    cold_measured: float
    rounds: int
    pgbench: int
    pgbench_clients: tuple[int, ...]
    knee_step: float
    """Of each step of the search for the knee; 0 takes what the closed loop got for the knee."""
    knee_held: float
    """At each share of the knee, once it is found."""
    log_megabytes: int
    """Of Postgres's log, written before anything is measured, and kept to be written over."""
    killed: float = 15
    """At least, of a round in which Redis is killed and comes back."""
    takeovers: int = 12
    moves: int = 6


FULL: Final = Lengths(
    5, 20, 60, 3, 20, pgbench.CLIENTS, knee_step=6, knee_held=60, log_megabytes=2_048
)
QUICK: Final = Lengths(
    *(1, 3, 6, 1, 3, (16, 32)),
    knee_step=0,
    knee_held=5,
    log_megabytes=256,
    killed=9,
    takeovers=2,
    moves=2,
)

KNEE_STEP_QUICK: Final = 2.0

WARM: Final = seed.Seed()
COLD: Final = seed.Seed(payers=3_000_000, request_keys=10_000_000)
COLD_QUICK: Final = seed.Seed(payers=200_000, request_keys=400_000)

CITY: Final = seed.Seed(payers=100_000, merchants=200)
CITY_QUICK: Final = seed.Seed(payers=20_000, merchants=40)

COLD_CACHE_ITEMS: Final = 100_000


class Bar(NamedTuple):
    """What a figure of the results, by its path in them, must be at least or at most."""

    path: str
    least: float | None = None
    most: float | None = None

    def holds(self, value: float) -> bool:
        """Say whether a value is good enough."""
        return (self.least is None or value >= self.least) and (
            self.most is None or value <= self.most
        )

    def asked(self) -> str:
        """Say what is asked for."""
        if self.least is not None:
            return f"at least {self.least:g} asked"
        return f"at most {self.most:g} asked"


BARS: Final = (
    Bar("scenarios.cross_shard.ratio", least=0.45),
    Bar("scenarios.replay_redis.ratio", least=1.3),
    Bar("scenarios.replay_redis.statements", most=0),
    Bar("scenarios.replay_redis.lane_commands_answered", most=0),
    Bar("scenarios.reads_replica.replica_share", least=0.95),
    Bar("scenarios.redis_on.ratio", least=0.9),
    Bar("scenarios.redis_killed.normal_after_kill_ms", most=2_000),
    Bar("scenarios.redis_killed.normal_after_return_ms", most=2_000),
    Bar("takeover.p95_ms", most=3_000),
    Bar("takeover.max_ms", most=5_000),
    Bar("bucket_move.pause_ms", most=500),
    Bar("scenarios.relay_on.ratio", least=0.8),
    Bar("relay.drain_ratio", least=3),
    Bar("relay.cpu_us_per_event", most=15),
    Bar("relay.age_p50_ms", most=50),
    Bar("relay.age_p99_ms", most=500),
)
"""Of several shards, Redis, standbys and events; ratios are to the load that ran in turn."""


@dataclass(frozen=True)
class Target:
    """A deployment that runs already."""

    host: str
    port: int
    api_key: str
    ca_file: Path | None = None


@dataclass(frozen=True)
class Wanted:
    """What to measure, on what, and what must come of it."""

    scenarios: Sequence[str]
    data_dir: Path
    lengths: Lengths = FULL
    with_pgbench: bool = True
    target: Target | None = None
    stack: Mapping[str, Any] = field(default_factory=lambda: {"replicas": 0})
    """More options of the stack, by their names in StackOptions."""
    warm: seed.Seed = WARM
    cold: seed.Seed = COLD
    shards: Sequence[str] = ()
    """What of benchmarks.shards.table is measured, by its names."""
    city: seed.Seed = CITY
    events: bool = False
    """Whether a relay and Apache Kafka are measured."""
    in_flight: int | None = None
    knee: bool = False
    overload: bool = False
    soak_minutes: float = 0
    pages: Path = Path("benchmarks/results")
    p99_ms: float | None = None
    rate_min: float | None = None


def changed(
    lengths: Lengths, *, seconds: float | None, rounds: int | None, knee: bool = False
) -> Lengths:
    """Return lengths with what was asked for in place of what is usual."""
    if seconds is not None:
        lengths = dataclasses.replace(lengths, measured=seconds, cold_measured=seconds)
    if knee and not lengths.knee_step:
        lengths = dataclasses.replace(lengths, knee_step=KNEE_STEP_QUICK)
    return lengths if rounds is None else dataclasses.replace(lengths, rounds=rounds)

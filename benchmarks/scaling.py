"""The arithmetic of capacity: what a measured run says of other machines and more shards.

All of it is linear in what was measured, except where this module says otherwise. Times are µs of
CPU per payment, rates are per second.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

SAME_PAYMENTS: Final = ("unary", "stream", "batch")
"""Scenarios of the same payments in batches of different sizes."""
BUCKETS_PER_REGION: Final = 1_024
SHARDS_MAX: Final = 100_000
RATE_MAX: Final = 1e9
SECONDS_PER_DAY: Final = 86_400
STEPS: Final = 60
"""Of a search by halves: more than a float's digits."""


class Line(NamedTuple):
    """A scenario as it was and as the model has it."""

    name: str
    cpu_us: float
    measured: float
    bound: str
    predicted: float | None
    """By an efficiency that was fitted without this scenario; None if there is no other."""

    @property
    def error(self) -> float | None:
        """How far off the prediction is, as a share of what was measured."""
        return None if self.predicted is None else self.predicted / self.measured - 1


class Fit(NamedTuple):
    """How much of what its CPU would allow a run got."""

    efficiency: float
    lines: list[Line]


def bounds(one: Mapping[str, Any], cores: float, fsync_us: float) -> dict[str, float]:
    """Return the rates that the machine, the processor's one core and the apply in turn allow."""
    cpu = one["cpu_us"]
    free = cores - one["others_cpu_share"]
    return {
        "machine": free * 1e6 / sum(cpu.values()),
        "processor": 1e6 / cpu["processor"],
        "apply": 1e6 / (cpu["postgres"] + fsync_us / one["batch_mean"]),
    }


def fit(results: Mapping[str, Any], fsync_us: float) -> Fit:
    """Fit one efficiency for all closed loops, and predict each from the others."""
    cores = results["machine"]["cpus"]
    closed = {
        name: one
        for name, one in results["scenarios"].items()
        if not one.get("group")
        and one.get("offered") is None
        and one.get("batch_mean")
        and one["rate"]
    }
    limits = {name: bounds(one, cores, fsync_us) for name, one in closed.items()}
    reached = {name: one["rate"] / min(limits[name].values()) for name, one in closed.items()}
    lines = []
    for name, one in closed.items():
        bound = min(limits[name], key=lambda kind: limits[name][kind])
        others = [share for other, share in reached.items() if other != name]
        predicted = statistics.geometric_mean(others) * limits[name][bound] if others else None
        lines.append(Line(name, sum(one["cpu_us"].values()), one["rate"], bound, predicted))
    return Fit(statistics.geometric_mean(reached.values()), lines)


class Cost(NamedTuple):
    """What a server spends on each payment, and on each batch whatever is in it."""

    each_us: float
    batch_us: float

    def at(self, batch: float) -> float:
        """Return the cost per payment in batches of so many."""
        return self.each_us + self.batch_us / batch


def cost(points: Sequence[tuple[float, float]]) -> Cost:
    """Fit (mean batch, µs per payment) by least squares; neither part is below nothing."""
    inverse = [1 / batch for batch, _ in points]
    spent = [us for _, us in points]
    if len(points) < 2 or statistics.pvariance(inverse) == 0:
        return Cost(statistics.fmean(spent), 0.0)
    slope, intercept = statistics.linear_regression(inverse, spent)
    if slope < 0:
        return Cost(statistics.fmean(spent), 0.0)
    if intercept < 0:
        proportional = statistics.linear_regression(inverse, spent, proportional=True)
        return Cost(0.0, proportional.slope)
    return Cost(intercept, slope)


class Costs(NamedTuple):
    """What a payment costs where."""

    gateway_unary_us: float
    gateway_stream_us: float
    processor: Cost
    postgres: Cost
    redis_us: float


def costs(results: Mapping[str, Any]) -> Costs:
    """Read the costs of a payment out of a run, which must have `unary` and `stream`."""
    scenarios = results["scenarios"]
    same = [scenarios[name] for name in SAME_PAYMENTS if name in scenarios]

    def points(kind: str) -> list[tuple[float, float]]:
        return [(one["batch_mean"], one["cpu_us"][kind]) for one in same]

    return Costs(
        scenarios["unary"]["cpu_us"]["gateway"],
        scenarios["stream"]["cpu_us"]["gateway"],
        cost(points("processor")),
        cost(points("postgres")),
        statistics.fmean(one["cpu_us"]["redis"] for one in same),
    )


class Wanted(NamedTuple):
    """What a deployment is to be like. The defaults that were measured name where."""

    stream_share: float = 0.0
    utilization: float = 0.6
    """Of what a lane and a core could do; the rest is for peaks, takeovers and checkpoints."""
    cross_share: float | None = None
    """Payments with payer and merchant on two shards; None for as many as chance has it."""
    second_leg: float = 1.0
    """Work of the destination's lane, in payments. An assumption: no second leg exists yet."""
    regions: int = 1
    machine_cores: int = 8
    batch_max: int = 300
    """The setting TENDER_BATCH_COMMANDS_MAX."""
    fsync_us: float = 436.0
    """fdatasync of 1 MB, about a full batch's log, on the benchmark's machine."""
    message_us: float = 7.5
    """CPU of a message at each end, as docs/decisions/0028-pipes.md has it."""
    gather_ms: float = 1.0
    """A busy gateway sends a lane one message in this time (gateway/lane_stream.py)."""
    gateways_per_lane: int | None = None
    """At most so many speak to a lane; None for all. Less than all is not built yet."""
    wal_bytes: float = 2_629.0
    """Per payment with its fee, in batches of 200, on the benchmark's ledger; more for a while
    after a checkpoint if accounts are many and each is rarely used."""
    journal_bytes: float = 222.0
    """The same payment's part of the journal, which is in the log as well."""

    def share_across(self, shards: int) -> float:
        """Return how many payments need two shards."""
        return 1 - 1 / shards if self.cross_share is None else self.cross_share * (shards > 1)

    def entries(self, shards: int) -> float:
        """Return what a payment is to all lanes together, in payments of one shard."""
        return 1 + self.share_across(shards) * self.second_leg

    def unevenness(self, shards: int) -> float:
        """Return how much more than the mean the shard with most buckets has."""
        mean = BUCKETS_PER_REGION * self.regions / shards
        return max(1, math.ceil(mean)) / mean


def gateways(rate: float, of: Costs, wanted: Wanted) -> int:
    """Return how many gateway processes, one per core, a rate needs."""
    us = (
        of.gateway_unary_us * (1 - wanted.stream_share) + of.gateway_stream_us * wanted.stream_share
    )
    return max(1, math.ceil(rate * us / 1e6 / wanted.utilization))


def messages(lane_rate: float, batch: float, speakers: int, wanted: Wanted) -> float:
    """Return the messages per second that a lane takes in and gives out."""
    taken = min(lane_rate, speakers * 1_000 / wanted.gather_ms)
    given = min(lane_rate, speakers * lane_rate / batch)
    return taken + given


def processor_use(
    lane_rate: float, batch: float, speakers: int, of: Costs, wanted: Wanted
) -> float:
    """Return how much of its one core a lane's processor uses."""
    # One gateway's messages are in what was measured.
    more = messages(lane_rate, batch, speakers, wanted) - messages(lane_rate, batch, 1, wanted)
    return (lane_rate * of.processor.at(batch) + more * wanted.message_us) / 1e6


def apply_use(lane_rate: float, batch: float, of: Costs, wanted: Wanted) -> float:
    """Return how much of the time an apply is running; there is one at a time."""
    return lane_rate * (of.postgres.at(batch) + wanted.fsync_us / batch) / 1e6


def batch_at(lane_rate: float, speakers: int, of: Costs, wanted: Wanted) -> float:
    """Return how large batches are: as large as both writers need them to keep up, no larger."""
    low, high = 0.0, float(wanted.batch_max)
    for _ in range(STEPS):
        middle = (low + high) / 2
        if (
            processor_use(lane_rate, middle, speakers, of, wanted) > 1
            or apply_use(lane_rate, middle, of, wanted) > 1
        ):
            low = middle
        else:
            high = middle
    return max(1.0, high)


class Plan(NamedTuple):
    """What a rate takes."""

    rate: float
    shards: int
    share_across: float
    lane_rate: float
    """Entries per second of the busiest lane, second legs included."""
    batch: float
    limit: str
    """What a lane would run into first."""
    gateways: int
    postgres_busy: float
    """Cores at work in the busiest lane's Postgres."""
    redis_cores: float
    cores: float
    machines: int
    wal_mb_per_second: float
    wal_gb_per_day: float
    journal_gb_per_day: float
    streams: int
    """Between all gateways and all lanes."""
    messages_core: float
    """Of the busiest lane's core, what messages of more than one gateway take."""
    unevenness: float
    clearing_accounts: int
    """Per currency, in all."""
    legs_per_second: float


def _busiest(rate: float, shards: int, wanted: Wanted) -> float:
    return rate * wanted.entries(shards) / shards * wanted.unevenness(shards)


def _speakers(count: int, wanted: Wanted) -> int:
    return min(count, wanted.gateways_per_lane or count)


def _uses(rate: float, shards: int, of: Costs, wanted: Wanted) -> dict[str, float]:
    """Return how busy the busiest lane would be with full batches, at a peak."""
    peak = _busiest(rate, shards, wanted) / wanted.utilization
    speakers = _speakers(gateways(rate, of, wanted), wanted)
    return {
        "processor": processor_use(peak, wanted.batch_max, speakers, of, wanted),
        "apply": apply_use(peak, wanted.batch_max, of, wanted),
    }


def carried(shards: int, of: Costs, wanted: Wanted) -> float:
    """Return the rate that so many shards carry."""
    low, high = 0.0, RATE_MAX
    for _ in range(STEPS):
        middle = (low + high) / 2
        if max(_uses(middle, shards, of, wanted).values()) <= 1:
            low = middle
        else:
            high = middle
    return low


def shards_for(rate: float, of: Costs, wanted: Wanted) -> int:
    """Return how many shards a rate needs. Raises ValueError if no number is enough."""
    enough = 1
    while carried(enough, of, wanted) < rate:
        enough *= 2
        if enough > SHARDS_MAX:
            raise ValueError(f"no number of shards carries {rate:,.0f}/s")
    low = enough // 2
    while enough - low > 1:
        middle = (low + enough) // 2
        low, enough = (low, middle) if carried(middle, of, wanted) >= rate else (middle, enough)
    return enough


def plan(rate: float, shards: int, of: Costs, wanted: Wanted) -> Plan:
    """Say what a rate on so many shards takes."""
    at_gateways = gateways(rate, of, wanted)
    speakers = _speakers(at_gateways, wanted)
    lane_rate = _busiest(rate, shards, wanted)
    batch = batch_at(lane_rate, speakers, of, wanted)
    postgres_busy = lane_rate * of.postgres.at(batch) / 1e6
    # A processor is one thread, and so is the session that applies.
    lane_cores = 1 + max(1.0, postgres_busy)
    redis_cores = rate * of.redis_us / 1e6 / wanted.utilization
    uses = _uses(rate, shards, of, wanted)
    wal = rate * wanted.entries(shards) * wanted.wal_bytes
    journal = rate * wanted.entries(shards) * wanted.journal_bytes
    return Plan(
        rate=rate,
        shards=shards,
        share_across=wanted.share_across(shards),
        lane_rate=lane_rate,
        batch=batch,
        limit=max(uses, key=lambda kind: uses[kind]),
        gateways=at_gateways,
        postgres_busy=postgres_busy,
        redis_cores=redis_cores,
        cores=at_gateways + shards * lane_cores + redis_cores,
        machines=_machines(shards, lane_cores, at_gateways + redis_cores, wanted.machine_cores),
        wal_mb_per_second=wal / 1e6,
        wal_gb_per_day=wal * SECONDS_PER_DAY / 1e9,
        journal_gb_per_day=journal * SECONDS_PER_DAY / 1e9,
        streams=shards * speakers,
        messages_core=processor_use(lane_rate, batch, speakers, of, wanted)
        - processor_use(lane_rate, batch, 1, of, wanted),
        unevenness=wanted.unevenness(shards),
        clearing_accounts=shards * (shards - 1),
        legs_per_second=rate * wanted.share_across(shards),
    )


def _machines(shards: int, lane_cores: float, other_cores: float, size: int) -> int:
    """Return how many machines of a size hold whole lanes, and the rest of the cores."""
    together = math.floor(size / lane_cores)
    for_lanes = math.ceil(shards / together) if together else shards * math.ceil(lane_cores / size)
    return for_lanes + math.ceil(other_cores / size)

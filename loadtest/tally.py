"""What a load counted: per worker while it runs, summed up by the master."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DUPLICATE = "duplicate"
"""The error of one request_id that was answered with two payments."""

FINE_MS_MAX = 100.0
BUCKETS_PER_MS = 10


def bucket(seconds: float) -> int:
    """Return the upper bound of a latency in tenths of a millisecond; coarser from 100 ms on."""
    tenths = int(seconds * 1_000 * BUCKETS_PER_MS) + 1
    if tenths <= FINE_MS_MAX * BUCKETS_PER_MS:
        return tenths
    return -(-tenths // BUCKETS_PER_MS) * BUCKETS_PER_MS


def percentile_ms(latencies: Mapping[int, int], share: float) -> float:
    """Return the latency that this share of the calls did not exceed; 0 when there were none."""
    wanted = share * sum(latencies.values())
    seen = 0
    for each in sorted(latencies):
        seen += latencies[each]
        if seen >= wanted:
            return each / BUCKETS_PER_MS
    return 0.0


@dataclass
class Tally:
    """Counts of commands; a request of 100 commands is one call and 100 of the others."""

    calls: int = 0
    payments: int = 0
    """Answered with a result for the first time, declines left out."""
    repeats: int = 0
    """Answered again, as they had been before."""
    declined: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    latency: Counter[int] = field(default_factory=Counter)
    """Calls by bucket, from sending; after the warm-up."""
    scheduled: Counter[int] = field(default_factory=Counter)
    """The same from the intended time, which waits for nobody."""
    by_second: Counter[int] = field(default_factory=Counter)
    """Payments by the second, of the wall clock, in which they were answered."""
    cpu_seconds: float = 0.0
    """Of the worker processes."""

    def add(self, other: "Tally") -> None:
        self.calls += other.calls
        self.payments += other.payments
        self.repeats += other.repeats
        self.declined += other.declined
        self.cpu_seconds += other.cpu_seconds
        self.errors.update(other.errors)
        self.latency.update(other.latency)
        self.scheduled.update(other.scheduled)
        self.by_second.update(other.by_second)

    @property
    def commands(self) -> int:
        return self.payments + self.repeats + self.declined + self.errors.total()

    def measured(self, warm_up_seconds: float) -> list[tuple[int, int]]:
        """Return payments by full second after the warm-up; a second without any is a 0."""
        if not self.by_second:
            return []
        first, last = min(self.by_second), max(self.by_second)
        begin = first + 1 + int(warm_up_seconds)
        return [(second, self.by_second[second]) for second in range(begin, last)]


COUNTERS = ("latency", "scheduled", "by_second")


def to_message(tally: Tally) -> dict[str, Any]:
    """Return what a worker sends; keys of maps are text or pairs, which every codec keeps."""
    content: dict[str, Any] = dict(vars(tally)) | {"errors": dict(tally.errors)}
    return content | {name: list(content[name].items()) for name in COUNTERS}


def from_message(content: Mapping[str, Any]) -> Tally:
    """Return what `to_message` was given."""
    tally = Tally(**{name: value for name, value in content.items() if name not in COUNTERS})
    tally.errors = Counter(content["errors"])
    for name in COUNTERS:
        setattr(tally, name, Counter({int(key): int(count) for key, count in content[name]}))
    return tally

"""What a run came to, and which of its limits it broke."""

from dataclasses import asdict, dataclass
from typing import Any

from loadtest.catalogue import Limits
from loadtest.tally import DUPLICATE, Tally, percentile_ms


@dataclass(frozen=True)
class Summary:
    """The figures of a run; rates per second after the warm-up, latencies in milliseconds."""

    scenario: str
    payments_per_second: float
    lowest_second: int
    highest_second: int
    calls: int
    payments: int
    repeats: int
    declined: int
    errors: dict[str, int]
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    scheduled_p50_ms: float
    scheduled_p99_ms: float
    scheduled_max_ms: float
    generator_cpu_us_per_call: float
    generator_cpu_us_per_payment: float
    workers_lost: int
    limits: dict[str, float]
    breaches: list[str]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def summarize(
    scenario: str, tally: Tally, limits: Limits, warm_up_seconds: float, workers_lost: int = 0
) -> Summary:
    """Judge a run. `breaches` says, in sentences, what fails it; none means it passed."""
    seconds = [count for _, count in tally.measured(warm_up_seconds)]
    rate = sum(seconds) / len(seconds) if seconds else 0.0
    return Summary(
        scenario=scenario,
        payments_per_second=rate,
        lowest_second=min(seconds, default=0),
        highest_second=max(seconds, default=0),
        calls=tally.calls,
        payments=tally.payments,
        repeats=tally.repeats,
        declined=tally.declined,
        errors=dict(tally.errors),
        p50_ms=percentile_ms(tally.latency, 0.5),
        p99_ms=percentile_ms(tally.latency, 0.99),
        p999_ms=percentile_ms(tally.latency, 0.999),
        max_ms=percentile_ms(tally.latency, 1.0),
        scheduled_p50_ms=percentile_ms(tally.scheduled, 0.5),
        scheduled_p99_ms=percentile_ms(tally.scheduled, 0.99),
        scheduled_max_ms=percentile_ms(tally.scheduled, 1.0),
        generator_cpu_us_per_call=_each_us(tally.cpu_seconds, tally.calls),
        generator_cpu_us_per_payment=_each_us(tally.cpu_seconds, tally.commands),
        workers_lost=workers_lost,
        limits=asdict(limits),
        breaches=breaches(tally, limits, rate, len(seconds), workers_lost),
    )


def _each_us(seconds: float, count: int) -> float:
    return seconds / count * 1_000_000 if count else 0.0


def breaches(
    tally: Tally, limits: Limits, rate: float, seconds: int, workers_lost: int
) -> list[str]:
    """Return what is wrong with a run, a sentence each."""
    found = []
    if duplicates := tally.errors[DUPLICATE]:
        found.append(f"{duplicates} duplicate: one request_id, two payments")
    if not tally.latency or not seconds:
        found.append("nothing was measured after the warm-up")
    errors, commands = tally.errors.total(), max(1, tally.commands)
    if errors / commands > limits.error_share:
        named = ", ".join(f"{count} {name}" for name, count in tally.errors.most_common(3))
        found.append(f"errors {errors / commands:.2%}, at most {limits.error_share:.2%}: {named}")
    if tally.declined / commands > limits.declined_share:
        share = tally.declined / commands
        found.append(f"declined {share:.2%}, at most {limits.declined_share:.2%}")
    p99_ms = percentile_ms(tally.scheduled, 0.99)
    if p99_ms > limits.p99_ms:
        found.append(f"p99 {p99_ms:,.1f} ms from the intended time, at most {limits.p99_ms:g} ms")
    if rate < limits.rate_min:
        found.append(f"{rate:,.0f} payments/s, at least {limits.rate_min:,.0f}")
    if workers_lost:
        found.append(f"{workers_lost} worker processes were lost")
    return found

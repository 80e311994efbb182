"""A spike of commands by way of Kafka, and what callers notice of it: `python -m benchmarks.spike`.

Ten times what the lane carries is written to the topic of commands for ten seconds, while callers
pay at a share of the knee. Asked is that their p99 stays under twice its value of before, that
nothing is refused, and that every command is carried out once.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from confluent_kafka import Producer

from benchmarks import rounds, system
from benchmarks.load.world import CURRENCY
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.system import System
from deploy.local import seed
from deploy.local.options import DEVELOPMENT_TENANT, StackOptions
from tender.v1 import payment_pb2

TOPIC: Final = "commands"
TIMES: Final = 10.0
SPIKE_SECONDS: Final = 10.0
CALLS_SHARE: Final = 0.3
"""Of the knee, that callers pay with before and during the spike."""
RATIO_MAX: Final = 2.0
WARM_SECONDS: Final = 3.0
CALM_SECONDS: Final = 15.0
KNEE_SECONDS: Final = 10.0
TICK_SECONDS: Final = 0.005
DRAIN_SECONDS_MAX: Final = 1_800.0
LOOK_SECONDS: Final = 1.0
AMOUNT: Final = 100
PRODUCER_NICENESS: Final = 15
CALLS: Final = Scenario("calls", "unary on a schedule", "open", "pay", 0, 8)

_DECIDED: Final = "SELECT count(*) FROM requests WHERE request_id LIKE 'spike-%'"
_PAID: Final = """
SELECT count(*) FROM payments
 WHERE state = 'CAPTURED' AND id IN (
    SELECT resource_id FROM requests WHERE request_id LIKE 'spike-%')
"""


class Spiked(NamedTuple):
    """What was written."""

    records: int
    seconds: float
    failures: int


def main() -> int:
    """Measure, print the figures as JSON, and say by the exit code whether all is as asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spike", description=__doc__)
    parser.add_argument("--knee", type=float, default=0.0, help="calls/s; measured when 0")
    parser.add_argument("--times", type=float, default=TIMES, help="the knee, in the spike")
    parser.add_argument("--seconds", type=float, default=SPIKE_SECONDS, help="of the spike")
    parser.add_argument("--calls", type=float, default=CALLS_SHARE, help="share of the knee")
    parser.add_argument("--kafka", choices=("apache", "embedded"), default="apache")
    parser.add_argument("--payers", type=int, default=100_000)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tender-spike-") as place:
        options = StackOptions(
            data_dir=Path(place),
            replicas=0,
            kafka=wanted.kafka,
            services=("operations",),
            service_env={"operations": {"TENDER_DIRECT_TENANTS": DEVELOPMENT_TENANT}},
        )
        filled = seed.Seed(payers=wanted.payers, merchants=100)
        with system.running(options, filled, say) as running:
            found = measure(running, wanted)
    print(json.dumps(found, indent=2))
    missed = failures(found)
    for each in missed:
        say(each)
    return 1 if missed else 0


def measure(running: System, wanted: argparse.Namespace) -> dict[str, Any]:
    """Do all of it, and return the figures."""
    knee = wanted.knee or _round(running, SCENARIOS["unary"], KNEE_SECONDS, 0.0)["rate"]
    rate = knee * wanted.calls
    say(f"the knee is taken to be {knee:,.0f}/s; callers pay {rate:,.0f}/s")
    calm = _round(running, CALLS, CALM_SECONDS, rate)
    say(f"calm: p50 {calm['p50_ms']:.1f} ms, p99 {calm['p99_ms']:.1f} ms")
    spikes: list[Spiked] = []

    def produce() -> None:
        # The spike comes from elsewhere: writing it must not take the machine from callers.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), PRODUCER_NICENESS)
        time.sleep(WARM_SECONDS)
        spikes.append(spike(running, knee * wanted.times, wanted.seconds))

    producing = threading.Thread(target=produce)
    producing.start()
    began = time.monotonic()
    # The callers go on a while after it, beside a lane that drains.
    busy = _round(running, CALLS, wanted.seconds * 2, rate)
    producing.join()
    [written] = spikes
    say(f"spike: {written.records:,} written, p99 of callers {busy['p99_ms']:.1f} ms")
    beside = running.query(_DECIDED)
    beside_seconds = time.monotonic() - began - WARM_SECONDS
    drained = drain(running, written.records)
    return {
        "knee": knee,
        "calls_per_second": rate,
        "calm": _latency(calm),
        "beside": _latency(busy),
        "p99_ratio": busy["p99_ms"] / calm["p99_ms"],
        "written": written.records,
        "written_per_second": written.records / written.seconds,
        "not_written": written.failures,
        "drained_beside_callers_per_second": beside / beside_seconds,
        "drained_alone_per_second": (written.records - beside) / max(drained, 1e-9),
        "decided": running.query(_DECIDED),
        "paid": running.query(_PAID),
        "call_errors": calm["errors"] + busy["errors"],
        "verify": running.verify()["ok"],
    }


def spike(running: System, rate: float, seconds: float) -> Spiked:
    """Write commands at a rate for so long; return once the brokers have them."""
    failures = 0

    def told(error: object, _record: object) -> None:
        nonlocal failures
        failures += error is not None

    producer = Producer(
        {
            "bootstrap.servers": running.endpoints.kafka_bootstrap,
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": "lz4",
            "linger.ms": 5,
            "queue.buffering.max.messages": 1_000_000,
            "partitioner": "murmur2_random",
        }
    )
    headers: list[tuple[str, str | bytes | None]] = [("tenant", DEVELOPMENT_TENANT.encode())]
    world, run = running.world, f"{random.getrandbits(48):x}"
    began, count = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        while count < passed * rate:
            payer = world.payer(random.randrange(world.payers_count))
            merchant = world.merchants[count % len(world.merchants)].id
            command = payment_pb2.PaymentCommand()
            asked = command.authorize
            asked.request_id = f"spike-{run}-{count}"
            asked.payer_account_id, asked.merchant_id = payer, merchant
            asked.amount.currency_code, asked.amount.minor_units = CURRENCY, AMOUNT
            producer.produce(
                TOPIC, command.SerializeToString(), payer, on_delivery=told, headers=headers
            )
            count += 1
        producer.poll(0)
        time.sleep(TICK_SECONDS)
    written = time.monotonic() - began
    left = producer.flush(DRAIN_SECONDS_MAX)
    return Spiked(count, written, failures + left)


def drain(running: System, count: int) -> float:
    """Wait until all commands are decided; return how long that took. Raises TimeoutError."""
    began, decided = time.monotonic(), -1
    while decided < count:
        if time.monotonic() - began > DRAIN_SECONDS_MAX:
            raise TimeoutError(f"{decided:,} of {count:,} commands after {DRAIN_SECONDS_MAX:g} s")
        time.sleep(LOOK_SECONDS)
        decided = running.query(_DECIDED)
    return time.monotonic() - began


def failures(found: dict[str, Any]) -> list[str]:
    """Return what was missed."""
    missed: list[str] = []
    if found["p99_ratio"] >= RATIO_MAX:
        missed.append(f"p99 of callers was {found['p99_ratio']:.2f} times that of before")
    if found["call_errors"]:
        missed.append(f"{found['call_errors']} calls failed")
    if found["not_written"]:
        missed.append(f"{found['not_written']} commands were not written")
    if not found["written"] == found["decided"] == found["paid"]:
        missed.append(
            f"{found['written']} written, {found['decided']} decided, {found['paid']} paid"
        )
    if not found["verify"]:
        missed.append("verify found a breach")
    return missed


def _round(running: System, scenario: Scenario, seconds: float, rate: float) -> dict[str, Any]:
    history = running.folder / f"history-{scenario.name}-{time.monotonic_ns()}.tsv"
    history.touch()
    return rounds.run(
        running,
        scenario,
        history=history,
        warm_seconds=WARM_SECONDS,
        seconds=seconds,
        seed=random.SystemRandom().getrandbits(32),
        rate=rate,
        say=say,
    )


def _latency(figures: dict[str, Any]) -> dict[str, float]:
    return {name: figures[name] for name in ("rate", "p50_ms", "p99_ms", "p999_ms", "max_ms")}


def say(text: str) -> None:
    """Tell whoever watches."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

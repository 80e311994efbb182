"""A spike of commands by way of Kafka, and what callers notice of it: `python -m benchmarks.spike`.

Callers pay at a share of the knee, on a schedule and first alone. Then, while they go on, ten times
the knee is written to the topic of commands for ten seconds, and lanes begin to carry it out. Asked
is that callers' p99 from the first record on stays under twice what it was, that nothing is
refused, and that every command is carried out once. At last the callers end, and what is left of
the spike has the lanes to itself.
"""

import argparse
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from benchmarks import rounds, system
from benchmarks.load.commands import AMOUNT, REQUEST_ID_START, Spike, Written
from benchmarks.load.record import WINDOW_SECONDS
from benchmarks.measure import processes as measured
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.system import System
from deploy.local import database, processes, seed, servers, supervisor
from deploy.local.options import DEVELOPMENT_TENANT, StackOptions

TIMES: Final = 10.0
SPIKE_SECONDS: Final = 10.0
BESIDE_SECONDS: Final = 20.0
"""For so long callers go on after the spike, beside a lane that drains."""
CALLS_SHARE: Final = 0.3
"""Of the knee, that callers pay with before the spike, and beside it."""
RATIO_MAX: Final = 2.0
WRITTEN_SHARE_MIN: Final = 0.9
"""Of the rate that was to be written; a slower one is no such spike."""
WARM_SECONDS: Final = 3.0
CALM_SECONDS: Final = 20.0
KNEE_SECONDS: Final = 10.0
DRAIN_SECONDS_MAX: Final = 1_800.0
LOOK_SECONDS: Final = 2.0
PRODUCER_NICENESS: Final = supervisor.BEHIND_PAYMENTS
"""It stands for another machine: it is not to take from callers, and has to keep its rate."""
CALLS: Final = Scenario("calls", "unary on a schedule", "open", "pay", 0, 8, windowed=True)

_PAYERS: Final = 100_000
_LOG_MEGABYTES: Final = 1_024
_DECIDED: Final = f"SELECT count(*) FROM requests WHERE request_id LIKE '{REQUEST_ID_START}%'"
_PAID: Final = f"SELECT count(*) FROM payments WHERE state = 'CAPTURED' AND amount = {AMOUNT}"
_TOLD: Final = "SELECT count(*) FROM operations WHERE NOT refused"
_REFUSED: Final = "SELECT count(*) FROM operations WHERE refused"


class Phase(NamedTuple):
    """A round of callers, and the cores that each process kept busy meanwhile."""

    figures: dict[str, Any]
    cores: dict[str, float]

    def told(self) -> dict[str, Any]:
        """Return what a report says of it."""
        names = ("rate", "p50_ms", "p99_ms", "p999_ms", "max_ms", "late_share", "errors")
        cores = {kind: round(share, 3) for kind, share in self.cores.items()}
        return {name: self.figures[name] for name in names} | {"cores": cores}


class Cores:
    """Watches the CPU of a stack's processes between two events of a round, or two moments."""

    def __init__(self, running: System, producer: int | None = None) -> None:
        stack = running.stack
        names = ("operations", "kafka")
        self._pids = running.pids() | {name: stack.child(name).pid for name in names}
        if producer is not None:
            self._pids["producer"] = producer
        self.start()

    def start(self) -> None:
        """Begin to count."""
        self._at, self._before = time.monotonic(), measured.cpu_by_kind(self._pids)
        self._busy = measured.machine_busy_seconds()

    def shares(self) -> dict[str, float]:
        """Return the cores in use since then by process; the generator's are among the others'."""
        seconds = time.monotonic() - self._at
        after = measured.cpu_by_kind(self._pids)
        used = {kind: max(0.0, after[kind] - before) for kind, before in self._before.items()}
        used["others"] = measured.machine_busy_seconds() - self._busy - sum(used.values())
        return {kind: spent / seconds for kind, spent in used.items()}


class Producer:
    """The process that writes the spike; its records are made when it is there."""

    def __init__(self, spike: Spike, log: IO[bytes]) -> None:
        self.process = subprocess.Popen(
            [
                "nice",
                "-n",
                str(PRODUCER_NICENESS),
                sys.executable,
                "-m",
                "benchmarks.load.commands",
            ],
            env=servers.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            text=True,
        )
        processes.let_others_first(self.process.pid, PRODUCER_NICENESS)
        self._tell(json.dumps(spike._asdict()))
        self._hear()

    def start(self) -> None:
        """Let the spike begin."""
        self._tell("now")

    def written(self) -> Written:
        """Return what was written, once the brokers have it."""
        return Written(**json.loads(self._hear()))

    def _tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def _hear(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the producer ended with {self.process.wait()}; see its log")
        return line


@contextlib.contextmanager
def producing(running: System, spike: Spike) -> Iterator[Producer]:
    """Start the producer, and end it."""
    with (running.folder / "producer.log").open("ab") as log:
        producer = Producer(spike, log)
        try:
            yield producer
        finally:
            producer.process.kill()
            producer.process.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the figures as JSON, and say by the exit code whether all is as asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spike", description=__doc__)
    parser.add_argument("--knee", type=float, default=0.0, help="calls/s; measured when 0")
    parser.add_argument("--times", type=float, default=TIMES, help="the knee, in the spike")
    parser.add_argument("--seconds", type=float, default=SPIKE_SECONDS, help="of the spike")
    parser.add_argument("--beside", type=float, default=BESIDE_SECONDS, help="of calls after it")
    parser.add_argument("--calm", type=float, default=CALM_SECONDS, help="of calls before it")
    parser.add_argument("--calls", type=float, default=CALLS_SHARE, help="share of the knee")
    parser.add_argument("--ratio", type=float, default=RATIO_MAX, help="of p99, to stay below")
    parser.add_argument("--kafka", choices=("apache", "embedded"), default="apache")
    parser.add_argument("--payers", type=int, default=_PAYERS)
    parser.add_argument("--out", type=Path, help="a file for the figures too")
    wanted = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="tender-spike-") as place:
        options = StackOptions(
            data_dir=Path(place),
            replicas=0,
            kafka=wanted.kafka,
            services=("operations",),
            service_env={"operations": {"TENDER_DIRECT_TENANTS": DEVELOPMENT_TENANT}},
        )
        filled = seed.Seed(payers=wanted.payers, merchants=100)
        with system.running(options, filled, say, _LOG_MEGABYTES) as running:
            found = measure(running, wanted)
    text = json.dumps(found, indent=2)
    print(text)
    if wanted.out is not None:
        wanted.out.write_text(text + "\n")
    missed = failures(found, wanted.ratio)
    for each in missed:
        say(each)
    return 1 if missed else 0


def measure(running: System, wanted: argparse.Namespace) -> dict[str, Any]:
    """Do all of it, and return the figures."""
    knee = wanted.knee or _round(running, SCENARIOS["unary"], KNEE_SECONDS, 0.0).figures["rate"]
    rate = knee * wanted.calls
    say(f"the knee is taken to be {knee:,.0f}/s; callers pay {rate:,.0f}/s")
    spike = Spike(
        running.endpoints.kafka_bootstrap,
        str(running.world_folder),
        DEVELOPMENT_TENANT,
        knee * wanted.times,
        wanted.seconds,
    )
    with producing(running, spike) as producer:
        calm = _round(running, CALLS, wanted.calm, rate)
        say(f"calm: {_said(calm)}")
        beside = _round(running, CALLS, wanted.seconds + wanted.beside, rate, producer)
        say(f"beside the spike: {_said(beside)}")
        written = producer.written()
    say(f"{written.records:,} written in {written.seconds:.1f} s")
    done_beside = running.query(_DECIDED)
    seconds, cores = drain(running, written.records)
    after = _round(running, CALLS, wanted.calm, rate)
    say(f"after it: {_said(after)}")
    told, refused = (_outcomes(running, statement) for statement in (_TOLD, _REFUSED))
    return {
        "knee": knee,
        "calls_per_second": rate,
        "calm": calm.told(),
        "beside": beside.told() | {"p99_ms_of_windows": _windows(beside, wanted.seconds)},
        "after": after.told(),
        "p99_ratio": beside.figures["p99_ms"] / calm.figures["p99_ms"],
        "asked_per_second": spike.rate,
        "written": written.records,
        "written_per_second": written.records / written.seconds,
        "not_written": written.failures,
        "decided_beside_callers": done_beside,
        "decided_beside_callers_per_second": done_beside / (wanted.seconds + wanted.beside),
        "drained_alone_seconds": seconds,
        "drained_alone_per_second": (written.records - done_beside) / seconds,
        "drained_alone_cores": {kind: round(share, 3) for kind, share in cores.items()},
        "decided": running.query(_DECIDED),
        "paid": running.query(_PAID),
        "outcomes": told,
        "outcomes_refused": refused,
        "verify": running.verify()["ok"],
    }


def drain(running: System, count: int) -> tuple[float, dict[str, float]]:
    """Wait until all commands have their outcomes; return how long that took, and with what CPU.

    Raises TimeoutError.
    """
    began, done = time.monotonic(), -1
    cores = Cores(running)
    while done < count:
        if time.monotonic() - began > DRAIN_SECONDS_MAX:
            raise TimeoutError(f"{done:,} of {count:,} commands after {DRAIN_SECONDS_MAX:g} s")
        time.sleep(LOOK_SECONDS)
        done = _outcomes(running, "SELECT count(*) FROM operations")
    say(f"drained: the last outcome after {time.monotonic() - began:.0f} s without callers")
    return time.monotonic() - began, cores.shares()


def failures(found: dict[str, Any], ratio_max: float = RATIO_MAX) -> list[str]:
    """Return what was missed."""
    missed: list[str] = []
    if found["p99_ratio"] >= ratio_max:
        missed.append(f"p99 of callers was {found['p99_ratio']:.2f} times that of before")
    for phase in ("calm", "beside", "after"):
        if found[phase]["errors"]:
            missed.append(f"{found[phase]['errors']} calls failed ({phase})")
    if found["not_written"]:
        missed.append(f"{found['not_written']} commands were not written")
    if found["written_per_second"] < WRITTEN_SHARE_MIN * found["asked_per_second"]:
        missed.append(
            f"{found['written_per_second']:,.0f}/s written, not {found['asked_per_second']:,.0f}"
        )
    if found["outcomes_refused"]:
        missed.append(f"{found['outcomes_refused']} commands were refused")
    counts = {name: found[name] for name in ("written", "decided", "paid", "outcomes")}
    if len(set(counts.values())) > 1:
        missed.append(", ".join(f"{count} {name}" for name, count in counts.items()))
    if not found["verify"]:
        missed.append("verify found a breach")
    return missed


def _round(
    running: System,
    scenario: Scenario,
    seconds: float,
    rate: float,
    producer: Producer | None = None,
) -> Phase:
    """Run a scenario once; the producer begins when measuring does."""
    history = running.folder / f"history-{scenario.name}-{time.monotonic_ns()}.tsv"
    history.touch()
    cores = Cores(running, None if producer is None else producer.process.pid)
    shares: dict[str, float] = {}

    def heard(event: dict[str, Any]) -> None:
        if event["event"] == "begin":
            if producer is not None:
                producer.start()
            cores.start()
        elif event["event"] == "end":
            shares.update(cores.shares())

    figures = rounds.run(
        running,
        scenario,
        history=history,
        warm_seconds=WARM_SECONDS,
        seconds=seconds,
        seed=random.SystemRandom().getrandbits(32),
        rate=rate,
        say=say,
        on_event=heard,
    )
    return Phase(figures, shares)


def _windows(phase: Phase, spike_seconds: float) -> dict[str, list[float]]:
    """Return p99 of each half second, in ms, while the spike is written and after it."""
    first = round(spike_seconds / WINDOW_SECONDS)
    found = [round(window["p99_ms"], 1) for window in phase.figures["windows"]]
    return {"spike": found[:first], "drain": found[first:]}


def _outcomes(running: System, statement: str) -> int:
    """Return one number from the database of outcomes."""
    url = running.endpoints.services["operations"].owner_url
    return int(database.run_async(system.value(url, statement)))


def _said(phase: Phase) -> str:
    figures = phase.figures
    cores = ", ".join(f"{kind} {share:.2f}" for kind, share in phase.cores.items())
    return f"p50 {figures['p50_ms']:.1f} ms, p99 {figures['p99_ms']:.1f} ms; cores: {cores}"


def say(text: str) -> None:
    """Tell whoever watches."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

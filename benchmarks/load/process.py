"""The generator's process: takes a job as JSON from stdin, tells what it does in lines of JSON."""

import asyncio
import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import uvloop

from benchmarks.load import choice, drivers, workloads
from benchmarks.load.bulk import Batches, Bundler, Streams
from benchmarks.load.drivers import Driver
from benchmarks.load.open_streams import OpenStreams
from benchmarks.load.plan import Plan
from benchmarks.load.record import Recorder, clock, open_history
from benchmarks.load.session import Target
from benchmarks.load.world import World

DRAIN_SECONDS_MAX: Final = 20.0
TICK_SECONDS: Final = 1.0


class Job(NamedTuple):
    """What to do. `shape` is closed, open, stream, batch or open_stream; `rate` is for open ones.

    With `sheds` more is offered than can be carried: calls may be refused for want of room.
    """

    host: str
    port: int
    api_key: str
    world: str
    history: str
    shape: str
    workload: str
    in_flight: int
    connections: int
    warm_seconds: float
    seconds: float
    seed: int
    merchants: int | None = None
    scattered: bool = False
    rate: float = 0.0
    size: int = 100
    ca_file: str = ""
    sheds: bool = False
    pairing: str = ""
    """Which payers pay which merchants, where there are several shards; see plan.pairs."""
    windowed: bool = False
    """p99 of each half second too, of an open loop."""
    started_ms: int | None = None
    """Part of every request_id; the same one again repeats the same requests."""


def driver_of(job: Job, recorder: Recorder) -> Driver:
    """Return what makes the job's calls."""
    whole = job.warm_seconds + job.seconds + 1
    world = World.load(Path(job.world))
    made = Plan(
        world,
        seed=job.seed,
        merchants=job.merchants,
        scattered=job.scattered,
        started_ms=job.started_ms,
        pairing=job.pairing,
    )
    judge = workloads.Judge(world, recorder)
    target = Target(job.host, job.port, job.api_key, ca_file=job.ca_file)
    is_stream = job.shape in ("stream", "open_stream")
    if is_stream:  # It lasts as long as the job.
        target = target._replace(timeout_seconds=int(whole + DRAIN_SECONDS_MAX) + 60)
    if is_stream or job.shape == "batch":
        bundler = Bundler(made, judge, recorder, nested=is_stream)
        if job.shape == "open_stream":
            return OpenStreams(
                target,
                bundler,
                recorder,
                rate=job.rate,
                connections=job.connections,
                size=job.size,
            )
        kind = Streams if job.shape == "stream" else Batches
        return kind(
            target,
            bundler,
            recorder,
            in_flight=job.in_flight,
            connections=job.connections,
            size=job.size,
        )
    workload = choice.make(job.workload, made, judge, job.seed)
    if job.shape == "open":
        return drivers.Open(target, workload, recorder, rate=job.rate, seconds=whole, seed=job.seed)
    assert job.shape == "closed", job.shape
    return drivers.Closed(
        target, workload, recorder, in_flight=job.in_flight, connections=job.connections
    )


async def run(job: Job) -> dict[str, Any]:
    """Do a job and return what was seen."""
    with open_history(Path(job.history)) as history:
        recorder = Recorder(history, sheds=job.sheds, windowed=job.windowed)
        driver = driver_of(job, recorder)
        await driver.session.open(job.connections)
        # Nothing below makes cycles; a collection would be a pause of the generator's own.
        gc.collect()
        gc.freeze()
        gc.disable()
        driver.start()
        await asyncio.sleep(job.warm_seconds)
        tell("begin")
        recorder.measuring = True
        began, cpu = clock(), time.process_time()
        while (left := began + job.seconds - clock()) > 0:
            await asyncio.sleep(min(left, TICK_SECONDS))
            tell("tick", done=recorder.tick(), errors=recorder.errors, pid=os.getpid())
        recorder.measuring = False
        ended, cpu = clock(), time.process_time() - cpu
        tell("end")
        driver.stop()
        await _drain(driver, recorder)
        driver.session.close()
        driver.give_up()
        recorder.flush()
        if driver.session.problem:
            recorder.error(f"could not connect again: {driver.session.problem}")
        return recorder.result(began, ended, cpu) | driver.facts()


async def _drain(driver: Driver, recorder: Recorder) -> None:
    """Wait for the answers that are due."""
    deadline = clock() + DRAIN_SECONDS_MAX
    while driver.in_flight and clock() < deadline:  # noqa: ASYNC110 - nothing on the hot path.
        await asyncio.sleep(0.01)
    # Streams end with their last outcome, a moment after it.
    await asyncio.sleep(0.1)


def tell(event: str, **facts: Any) -> None:
    """Tell who started this process."""
    sys.stdout.write(json.dumps({"event": event} | facts) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Do the job of one line of stdin."""
    job = Job(**json.loads(sys.stdin.readline()))
    tell("result", **uvloop.run(run(job)))


if __name__ == "__main__":
    main()

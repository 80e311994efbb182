"""Runs one load of the city once; adds what only such a load can tell."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol

from benchmarks import rounds
from benchmarks.load.record import percentiles
from benchmarks.rounds import OnEvent
from benchmarks.shards import metrics, postgres
from benchmarks.shards.city import REPLICA, WITH_REDIS, City
from benchmarks.shards.statements import Statements
from benchmarks.shards.table import Load
from deploy.local import database

STANDBY_SECONDS_MAX: Final = 30.0
LATENCIES: Final = ("p50_ms", "p99_ms", "p999_ms", "max_ms")


class Extra(Protocol):
    """Looks beside a load, and tells what it saw."""

    def __call__(self, event: dict[str, Any], /) -> None: ...

    def figures(self, found: dict[str, Any], /) -> dict[str, Any]:
        """Return what is to stand beside the figures of the round, or in place of them."""


class Plain:
    """Nothing beside."""

    def __call__(self, _event: dict[str, Any]) -> None:
        """Look at nothing."""

    def figures(self, _found: dict[str, Any]) -> dict[str, Any]:
        return {}


class Crossing:
    """Counts what arrived on the payees' shards, which is what is carried out."""

    def __init__(self, city: City) -> None:
        self._city = city
        self._taken: list[tuple[float, int]] = []
        self._last: dict[tuple[str, str], int] = {}
        self._in_flight = 0

    def __call__(self, event: dict[str, Any]) -> None:
        if event["event"] in ("begin", "end"):
            sent, taken = database.run_async(postgres.legs(self._city.endpoints))
            self._taken.append((time.monotonic(), sum(taken.values())))
            self._in_flight, self._last = sum(sent.values()) - sum(taken.values()), taken

    def figures(self, found: dict[str, Any]) -> dict[str, Any]:
        (began, before), (ended, after) = self._taken
        answered = {name: found[name] for name in ("rate", "done", *LATENCIES)}
        credited = percentiles(found["credited"]) if "credited" in found else {}
        crossing = sorted(
            database.run_async(postgres.crossing_seconds(self._city.endpoints, self._last))
        )
        share = (after - before) / found["done"] if found["done"] else 0.0
        return {
            "answered": answered,
            "done": after - before,
            "rate": (after - before) / (ended - began),
            # What was spent is spent on those that arrived.
            "cpu_us": {kind: us / share if share else 0.0 for kind, us in found["cpu_us"].items()},
            # Batches are those of both legs.
            "batch_mean": None,
            "in_flight_at_end": self._in_flight,
            "crossing_p50_ms": crossing[len(crossing) // 2] * 1e3,
            "crossing_p99_ms": crossing[int(len(crossing) * 0.99)] * 1e3,
            **credited,
        }


class Replaying:
    """Counts what repeats ask of lanes and databases: nothing, if Redis has the answers."""

    def __init__(self, city: City, idle: Statements) -> None:
        self._city, self._idle = city, idle
        self._seen: list[Statements] = []
        self._commands: list[float] = []
        self._from_cache: list[float] = []
        self._timeouts: list[float] = []
        self._unanswered: list[float] = []

    def __call__(self, event: dict[str, Any]) -> None:
        if event["event"] in ("begin", "end"):
            addresses = self._city.addresses
            self._timeouts.append(metrics.redis_timeouts(addresses, WITH_REDIS))
            self._unanswered.append(metrics.replays_unanswered(addresses, WITH_REDIS))
            self._commands.append(metrics.lane_commands(self._city.endpoints))
            self._from_cache.append(metrics.replays(self._city.addresses, WITH_REDIS, "cache"))
            self._seen.append(Statements.of(self._city))

    def figures(self, found: dict[str, Any]) -> dict[str, Any]:
        before, after = self._seen
        more = after.since(before).beyond(self._idle)
        commands = self._commands[1] - self._commands[0]
        unanswered = self._unanswered[1] - self._unanswered[0]
        return {
            "statements": sum(more.values()),
            "statement_kinds": sorted(more),
            "lane_commands": commands,
            "redis_unanswered": unanswered,
            # What Redis answered, and a lane was asked for all the same.
            "lane_commands_answered": max(commands - unanswered, 0.0),
            "from_cache": self._from_cache[1] - self._from_cache[0],
            "redis_timeouts": self._timeouts[1] - self._timeouts[0],
        }


class Reading:
    """Counts who answers reads."""

    def __init__(self, city: City) -> None:
        self._city = city
        self._seen: list[dict[str, float]] = []

    def __call__(self, event: dict[str, Any]) -> None:
        if event["event"] in ("begin", "end"):
            self._seen.append(metrics.reads(self._city.endpoints))

    def figures(self, _found: dict[str, Any]) -> dict[str, Any]:
        before, after = self._seen
        read = {source: after[source] - before[source] for source in after}
        return {"replica_share": read["replica"] / max(1.0, sum(read.values()))}


def extra_of(load: Load, city: City, idle: Statements) -> Extra:
    """Return what looks beside a load."""
    makers: dict[str, Callable[[], Extra]] = {
        "credited": lambda: Crossing(city),
        "repeat": lambda: Replaying(city, idle),
        "reads": lambda: Reading(city),
    }
    plain: Callable[[], Extra] = Plain
    return makers.get(load.scenario.workload, plain)()


def once(
    city: City,
    load: Load,
    extra: Extra,
    *,
    history: Path,
    warm_seconds: float,
    seconds: float,
    seed: int,
    rate: float = 0.0,
    say: rounds.Say,
    on_event: OnEvent | None = None,
) -> dict[str, Any]:
    """Run a load; return its figures."""

    def both(event: dict[str, Any]) -> None:
        extra(event)
        if on_event is not None:
            on_event(event)

    with standby(city, wanted=load.with_standby):
        found = rounds.run(
            city.through(load.gateway),
            load.scenario,
            history=history,
            warm_seconds=warm_seconds,
            seconds=seconds,
            seed=seed,
            rate=rate,
            say=say,
            on_event=both,
        )
    # What crosses shards must not burden what is measured next.
    database.run_async(postgres.rest(city.endpoints, STANDBY_SECONDS_MAX))
    return found | extra.figures(found)


@contextlib.contextmanager
def standby(city: City, *, wanted: bool) -> Iterator[None]:
    """Have the standby down meanwhile unless it is wanted."""
    if wanted:
        yield
        return
    city.stack.stop_one(REPLICA)
    try:
        yield
    finally:
        city.stack.start_one(REPLICA)
        deadline = time.monotonic() + STANDBY_SECONDS_MAX
        while not metrics.standbys_follow(city.endpoints):
            if time.monotonic() > deadline:
                raise TimeoutError("the standby does not follow again")
            time.sleep(0.1)

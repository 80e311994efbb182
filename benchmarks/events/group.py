"""The whole group: payments with and without a relay, its backlog, and how old events are."""

import random
import statistics
from pathlib import Path
from typing import Any, Final

from benchmarks import rounds
from benchmarks.events.hall import KINDS, RELAY, Hall
from benchmarks.events.listener import Listener, percentile_ms
from benchmarks.measure import machine
from benchmarks.rounds import Say
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.shards.group import ratio
from benchmarks.wanted import Wanted
from deploy.local import database

GROUP: Final = "events"
OFF: Final = "relay_off"
ON: Final = "relay_on"
AGE: Final = "event_age"
WARM: Final = "warm_up"
WARM_SECONDS: Final = 20.0
AGE_SHARE: Final = 0.26
"""Of the rate that a closed loop carries with the relay, offered while ages are noted: half of the
knee, which lay at 0.52 of the closed loop's rate in the last whole run (docs/performance.md)."""

UNARY: Final = SCENARIOS["unary"]
LOADS: Final = {
    OFF: UNARY._replace(name=OFF, what="unary, nobody publishes the journal"),
    ON: UNARY._replace(name=ON, what="unary, relay and Kafka on the same cores"),
    WARM: UNARY._replace(name=WARM, what="not measured"),
    AGE: Scenario(AGE, "unary on a schedule, a consumer listens", "open", "pay", 0, 8),
}


class Group:
    """Measures a hall once."""

    def __init__(self, hall: Hall, wanted: Wanted, say: Say) -> None:
        self._hall, self._wanted, self._say = hall, wanted, say
        self._seed = random.SystemRandom().getrandbits(32)
        self._histories: list[Path] = []
        self._rounds: dict[str, list[dict[str, Any]]] = {}
        self._drains: list[dict[str, Any]] = []
        self._ages: list[dict[str, float]] = []

    def measure(self) -> dict[str, Any]:
        """Do all of it."""
        hall = self._hall
        version, settings = database.run_async(machine.require_durable(hall.endpoints.owner_url))
        head = hall.journal_head()
        assert head is not None
        self._warm_up()
        for number in range(self._wanted.lengths.rounds):
            hall.await_published()
            hall.stop_relay()
            without = self._round(OFF, number)
            self._drain(without, number)
            found = self._round(ON, number)
            # At the limit payments come first: what waits then is told, too.
            found["rows_behind"] = hall.rows_behind()
        hall.await_published()
        for number in range(self._wanted.lengths.rounds):
            self._listen(number)
        self._say("verify and history: comparing what was answered with what the shard has")
        return {
            "scenarios": self._together(),
            "relay": self._relay(),
            "verify": hall.verify(),
            "history": hall.check(self._histories, head),
            "settings": {"postgres": settings, "seed": self._seed},
            "versions": {"postgres": version},
        }

    def _warm_up(self) -> None:
        """Let a broker that has just started compile what it runs: it costs thrice till then."""
        self._say("warming the broker up")
        self._round(WARM, 0)
        self._hall.await_published()

    def _round(self, name: str, number: int, rate: float = 0.0) -> dict[str, Any]:
        lengths = self._wanted.lengths
        history = self._hall.folder / f"history-events-{len(self._histories)}.tsv"
        history.touch()
        self._histories.append(history)
        found = rounds.run(
            self._hall,
            LOADS[name],
            history=history,
            warm_seconds=lengths.warm,
            seconds=max(lengths.measured, WARM_SECONDS) if name == WARM else lengths.measured,
            seed=self._seed + len(self._histories),
            rate=rate,
            say=self._say,
        )
        if name != WARM:
            self._rounds.setdefault(name, []).append(found)
        self._say(
            f"{name}, round {number + 1}: {found['rate']:,.0f}/s,"
            f" p99 {found['p99_ms']:.1f} ms, {found['errors']} errors"
        )
        return found

    def _drain(self, without: dict[str, Any], number: int) -> None:
        """Let the relay publish what the last round has left behind."""
        payments = without["done"] + without["declined"]
        # Those of the time of warming up came at the same rate.
        payments *= 1 + self._wanted.lengths.warm / without["seconds"]
        drained = self._hall.drain()
        found = {
            "events_per_second": drained.events / drained.seconds,
            "payments_per_second": payments / drained.seconds,
            "ratio": payments / drained.seconds / without["rate"],
            "seconds": drained.seconds,
            "cpu_us_per_event": {
                kind: drained.cpu_seconds[kind] * 1e6 / max(drained.events, 1.0) for kind in KINDS
            },
        }
        self._drains.append(found)
        self._say(
            f"backlog, round {number + 1}: {found['events_per_second']:,.0f} events/s,"
            f" {found['ratio']:.1f} times the rate at which it came"
        )

    def _listen(self, number: int) -> None:
        carried = statistics.median(one["rate"] for one in self._rounds[ON])
        with Listener(self._hall.endpoints.kafka_bootstrap) as listener:
            self._round(AGE, number, carried * AGE_SHARE)
            self._hall.await_published()
        self._ages.append(
            {
                "heard": len(listener.ages),
                "p50_ms": percentile_ms(listener.ages, 0.50),
                "p99_ms": percentile_ms(listener.ages, 0.99),
                "max_ms": percentile_ms(listener.ages, 1.0),
            }
        )

    def _together(self) -> dict[str, Any]:
        found = {
            name: rounds.together(some, None) | {"group": GROUP}
            for name, some in self._rounds.items()
        }
        found[ON] |= ratio(OFF, self._rounds[OFF], self._rounds[ON])
        found[ON]["rows_behind"] = max(one["rows_behind"] for one in self._rounds[ON])
        return found

    def _relay(self) -> dict[str, Any]:
        """Return what the relay showed: the median of each figure, and every round."""
        drains, ages = self._drains, self._ages
        return {
            "drain_ratio": statistics.median(one["ratio"] for one in drains),
            "events_per_second": statistics.median(one["events_per_second"] for one in drains),
            "cpu_us_per_event": statistics.median(one["cpu_us_per_event"][RELAY] for one in drains),
            "broker_cpu_us_per_event": statistics.median(
                one["cpu_us_per_event"]["kafka"] for one in drains
            ),
            "age_p50_ms": statistics.median(one["p50_ms"] for one in ages),
            "age_p99_ms": statistics.median(one["p99_ms"] for one in ages),
            "drains": drains,
            "ages": ages,
        }

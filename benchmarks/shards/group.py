"""The whole group: pairs of loads in interleaved rounds, accidents, and then what must hold."""

import asyncio
import random
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import rounds
from benchmarks.measure import machine
from benchmarks.rounds import Say
from benchmarks.shards import bucket_move, killed, statements, table, takeover
from benchmarks.shards.city import City
from benchmarks.shards.loads import Plain, extra_of, once
from benchmarks.shards.table import Load, Pair
from benchmarks.wanted import Lengths, Wanted
from deploy.local import database

GROUP: Final = "shards"
IDLE_SECONDS_MIN: Final = 3.0
SUMMED: Final = (
    "statements",
    "lane_commands",
    "lane_commands_answered",
    "from_cache",
    "redis_timeouts",
    "redis_unanswered",
)
WORST: Final = ("normal_after_kill_ms", "normal_after_return_ms", "in_flight_at_end")
MEDIANS: Final = ("replica_share", "crossing_p50_ms", "crossing_p99_ms")


class Group:
    """Measures a city once."""

    def __init__(self, city: City, wanted: Wanted, say: Say) -> None:
        self._city, self._wanted, self._say = city, wanted, say
        self._seed = random.SystemRandom().getrandbits(32)
        self._histories: list[Path] = []
        self._rounds: dict[str, list[dict[str, Any]]] = {}
        self._idle = statements.Statements({}, 1.0)

    def measure(self) -> dict[str, Any]:
        """Do everything that is wanted of it."""
        city, names, lengths = self._city, self._wanted.shards, self._wanted.lengths
        version, settings = database.run_async(machine.require_durable(city.databases[0]))
        heads = city.heads()
        pairs = table.pairs_of(names)
        self._say("what runs while nobody calls")
        self._idle = statements.while_idle(city, max(IDLE_SECONDS_MIN, lengths.measured / 2))
        for number in range(lengths.rounds):
            for pair in pairs:
                # The one that comes second finds a fuller ledger: so they change places.
                for load in pair if number % 2 == 0 else reversed(pair):
                    self._round(load, number)
        if table.KILLED.name in names:
            for number in range(lengths.rounds):
                self._kill_redis(number)
        found: dict[str, Any] = {"scenarios": self._together(pairs)}
        if table.TAKEOVER in names:
            found[table.TAKEOVER] = self._takeover(lengths)
        if table.BUCKET_MOVE in names:
            found[table.BUCKET_MOVE] = asyncio.run(
                bucket_move.measure(city, lengths.moves, self._history(), self._say)
            )
        self._say("verify and history: comparing what was answered with what all shards have")
        return found | {
            "verify": city.verify(),
            "history": city.check(self._histories, heads),
            "settings": {"postgres": settings, "seed": self._seed},
            "versions": {"postgres": version},
        }

    def _history(self) -> Path:
        path = self._city.folder / f"history-{len(self._histories)}.tsv"
        path.touch()
        self._histories.append(path)
        return path

    def _round(self, load: Load, number: int) -> None:
        extra = extra_of(load, self._city, self._idle)
        self._note(load, number, self._once(load, extra))

    def _once(
        self,
        load: Load,
        extra: Any,
        rate: float = 0.0,
        on_event: Callable[[dict[str, Any]], None] | None = None,
    ) -> dict[str, Any]:
        lengths = self._wanted.lengths
        return once(
            self._city,
            load,
            extra,
            history=self._history(),
            warm_seconds=lengths.warm,
            seconds=max(lengths.measured, lengths.killed) if rate else lengths.measured,
            seed=self._seed + len(self._histories),
            rate=rate,
            say=self._say,
            on_event=on_event,
        )

    def _note(self, load: Load, number: int, found: dict[str, Any]) -> None:
        self._rounds.setdefault(load.name, []).append(found)
        self._say(
            f"{load.name}, round {number + 1}: {found['rate']:,.0f}/s,"
            f" p99 {found['p99_ms']:.1f} ms, {found['errors']} errors"
        )

    def _kill_redis(self, number: int) -> None:
        carried = statistics.median(one["rate"] for one in self._rounds[table.KILLED_NEEDS])
        seconds = max(self._wanted.lengths.measured, self._wanted.lengths.killed)
        accident = killed.Accident(self._city, seconds)
        found = self._once(table.KILLED, Plain(), carried * killed.SHARE, accident)
        accident.join()
        self._note(table.KILLED, number, found | accident.figures(found))

    def _takeover(self, lengths: Lengths) -> dict[str, Any]:
        return asyncio.run(
            takeover.measure(self._city, lengths.takeovers, self._history(), self._say)
        )

    # What the rounds showed.

    def _together(self, pairs: Sequence[Pair]) -> dict[str, Any]:
        found = {name: together(some) for name, some in self._rounds.items()}
        for pair in pairs:
            first, second = self._rounds[pair.first.name], self._rounds[pair.second.name]
            found[pair.second.name] |= ratio(pair.first.name, first, second)
        return found


def together(some: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the median of each figure, sums and worst cases of those that are such."""
    found = rounds.together(some, None) | {"group": GROUP}
    for names, put in ((SUMMED, sum), (WORST, max), (MEDIANS, statistics.median)):
        found |= {name: put([one[name] for one in some]) for name in names if name in some[0]}
    return found


def ratio(
    of: str, first: Sequence[dict[str, Any]], second: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Return the rate as a multiple of another load's: the median of that of each round."""
    found = [
        after["rate"] / before["rate"] if before["rate"] else 0.0
        for before, after in zip(first, second, strict=True)
    ]
    return {"of": of, "ratio": statistics.median(found), "ratios": found}

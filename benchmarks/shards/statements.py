"""What the servers ask their databases, and how much of that is there without any call."""

import math
import re
import time
from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple, Self

from benchmarks.shards import postgres
from benchmarks.shards.city import City
from deploy.local import database

OF_THE_CALLER: Final = re.compile(r"\bapi_keys\b", re.IGNORECASE)
"""Who calls is looked up every few seconds, however many calls there are."""

MARGIN: Final = 1.5
SPARE: Final = 2
"""Clocks tick when they do: an idle stack's statements are not the same number in every second."""


class Statements(NamedTuple):
    """How often each statement has run, on all shards together, and until when."""

    calls: Mapping[str, int]
    at: float

    @classmethod
    def of(cls, city: City) -> Self:
        """Ask all databases."""
        calls: Counter[str] = Counter()
        for dsn in city.databases:
            calls.update(database.run_async(postgres.statements(dsn)))
        return cls(dict(calls), time.monotonic())

    def since(self, before: "Statements") -> "Statements":
        """Return what ran in between; `at` is how long that was, in seconds."""
        more = {
            query: calls - before.calls.get(query, 0)
            for query, calls in self.calls.items()
            if calls > before.calls.get(query, 0)
        }
        return Statements(more, self.at - before.at)

    def beyond(self, idle: "Statements") -> dict[str, int]:
        """Return what ran more often than in an idle stack, where `at` was how long it was idle."""
        found = {}
        for query, calls in self.calls.items():
            if OF_THE_CALLER.search(query):
                continue
            usual = math.ceil(idle.calls.get(query, 0) * MARGIN * self.at / idle.at)
            if calls > usual + (SPARE if usual else 0):
                found[query] = calls - usual
        return found


def while_idle(city: City, seconds: float) -> Statements:
    """Return what runs while nobody calls: heartbeats, probes, sweeps, the shard map."""
    before = Statements.of(city)
    time.sleep(seconds)
    return Statements.of(city).since(before)

"""The system under test: a stack with Apache Kafka whose relay can be switched off and on."""

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.measure import processes
from benchmarks.shards import metrics
from benchmarks.system import System
from deploy.local.options import StackOptions

RELAY: Final = "relay"
KAFKA: Final = "kafka"
KINDS: Final = (RELAY, KAFKA)
"""Of processes that stand beside those of payments."""

DRAIN_SECONDS_MAX: Final = 300.0
LOOK_SECONDS: Final = 0.02
_POSITION: Final = "SELECT coalesce(max(position), 0) FROM relays WHERE name = 'events'"


def options(place: Path, settings: Mapping[str, str]) -> StackOptions:
    """Return what the stack is made of."""
    return StackOptions(
        data_dir=place, replicas=0, relay=True, kafka="apache", postgres_settings=settings
    )


class Drained(NamedTuple):
    """What a backlog took."""

    seconds: float
    events: float
    cpu_seconds: Mapping[str, float]
    """Of relay and broker."""


@dataclass(frozen=True)
class Hall(System):
    """A system whose journal is published, or not."""

    @classmethod
    def of(cls, system: System) -> "Hall":
        """Return the same system with what is here."""
        return cls(**{each.name: getattr(system, each.name) for each in dataclasses.fields(system)})

    def cpu_seconds(self) -> dict[str, float]:
        """Return the CPU of each kind so far; a relay that is down has none."""
        return super().cpu_seconds() | self.events_cpu()

    def events_cpu(self) -> dict[str, float]:
        """Return the CPU of relay and broker so far."""
        alive = self.stack.alive()
        return {
            kind: processes.cpu_seconds(self.stack.child(kind).pid) if alive[kind] else 0.0
            for kind in KINDS
        }

    def position(self) -> int:
        """Return the journal's row up to which all is published."""
        return int(self.query(_POSITION))

    def rows_behind(self) -> int:
        """Return how many rows of the journal wait to be published."""
        head = self.journal_head()
        assert head is not None
        return head - self.position()

    def published(self) -> float:
        """Return how many events this relay has handed on since it was started."""
        found = metrics.samples(self.endpoints.relay_metrics, "tender_relay_events_total")
        return sum(one.value for one in found)

    def stop_relay(self) -> None:
        """Let what is committed from now on wait in the journal."""
        self.stack.stop_one(RELAY)

    def drain(self) -> Drained:
        """Start the relay; return what it took from its first published row to the last.

        Raises TimeoutError.
        """
        before, head = self.position(), self.journal_head()
        assert head is not None
        self.stack.start_one(RELAY)
        stop_by = time.monotonic() + DRAIN_SECONDS_MAX
        first: tuple[float, float, dict[str, float]] | None = None
        while True:
            position = self.position()
            if first is None and position > before:
                first = time.monotonic(), self.published(), self.events_cpu()
            if position >= head and first is not None:
                break
            if time.monotonic() > stop_by:
                raise TimeoutError(f"row {position} of {head} after {DRAIN_SECONDS_MAX:g} s")
            time.sleep(LOOK_SECONDS)
        began, events, cpu = first
        after = self.events_cpu()
        return Drained(
            seconds=time.monotonic() - began,
            events=self.published() - events,
            cpu_seconds={kind: after[kind] - cpu[kind] for kind in KINDS},
        )

    def await_published(self) -> None:
        """Wait until nothing waits in the journal. Raises TimeoutError."""
        head = self.journal_head()
        assert head is not None
        stop_by = time.monotonic() + DRAIN_SECONDS_MAX
        while self.position() < head:
            if time.monotonic() > stop_by:
                raise TimeoutError("the relay does not get to the journal's end")
            time.sleep(LOOK_SECONDS)

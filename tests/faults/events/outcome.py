"""How much of everything a run is to have, and what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.faults.events.accidents import Kind
from tests.faults.events.audit import Findings
from tests.faults.events.sends import Sends

RATE_SHARE_MIN: Final = 0.8
"""Of the wanted rate: 2,500/s are asked for so that 2,000/s are reached."""


@dataclass(frozen=True)
class Wanted:
    """How much of everything."""

    payments: int = 200_000
    rate: float = 2_500.0
    broker_kills: int = 5
    relay_kills: int = 10
    relay_pauses: int = 2
    crashes: int = 20
    """Of bookkeepers."""
    sender_crashes: int = 8
    """Of each service that sends: one at each of its fail-points."""
    sends: int = 500
    """Webhooks, and e-mails."""


@dataclass
class Outcome:
    """What came of a run."""

    seed: int
    paid: int = 0
    rate: float = 0.0
    done: Mapping[Kind, int] = field(default_factory=dict)
    crashes: int = 0
    """Of bookkeepers."""
    junk: int = 0
    findings: Findings = field(default_factory=Findings)
    effects_missing: int = 0
    effects_doubled: int = 0
    effects_reordered: int = 0
    unpublished: int = 0
    """Acknowledged payments of which no event tells."""
    sends: Sequence[Sends] = ()
    """Of each service that sends."""
    problems: list[str] = field(default_factory=list)
    drain_seconds: float = 0.0

    @property
    def all_crashes(self) -> int:
        """Of whatever consumes."""
        return self.crashes + sum(one.crashes for one in self.sends)

    def line(self) -> str:
        """Return the last line of a run."""
        missing = len(self.findings.missing) + self.effects_missing + self.unpublished
        missing += sum(len(one.missing) for one in self.sends)
        reordered = len(self.findings.reordered) + self.effects_reordered
        reordered += sum(len(one.reordered) for one in self.sends)
        return (
            f"events={self.findings.events} missing={missing}"
            f" reordered={reordered}"
            f" effects_doubled={self.effects_doubled}"
            f" broker_kills={self.done.get(Kind.BROKER_KILL, 0)}"
            f" relay_kills={self.done.get(Kind.RELAY_KILL, 0)}"
            f" consumer_crashes={self.all_crashes}"
            f" send_duplicates={sum(one.duplicates for one in self.sends)}"
        )

    def details(self) -> list[str]:
        """Return what the last line leaves out."""
        return [
            f"{self.paid} payments at {self.rate:.0f}/s, heard {self.drain_seconds:.0f} s later",
            f"{self.findings.repeats} records are there twice, {self.junk} were junk",
            f"{self.crashes} crashes of bookkeepers",
            *(
                f"{one.wanted} {one.what}, {one.duplicates} repeated after {one.crashes} crashes,"
                f" {one.crashes_after} of these between sending and recording"
                for one in self.sends
            ),
        ]

    def shortcomings(self, wanted: Wanted) -> list[str]:
        """Return in words what is not as promised, or not as much as was asked for."""
        found = [*self.problems]
        checks = (
            (bool(self.findings.missing), f"missing: {self.findings.missing[:5]}"),
            (bool(self.findings.invented), f"never committed: {self.findings.invented[:5]}"),
            (bool(self.findings.reordered), f"reordered: {self.findings.reordered[:5]}"),
            (self.unpublished > 0, f"{self.unpublished} payments have no event"),
            (self.effects_missing > 0, f"{self.effects_missing} events had no effect"),
            (self.effects_doubled > 0, f"{self.effects_doubled} events had two effects"),
            (self.effects_reordered > 0, f"{self.effects_reordered} effects out of order"),
            (self.paid < wanted.payments, f"only {self.paid} payments"),
            (self.rate < RATE_SHARE_MIN * wanted.rate, f"only {self.rate:.0f} payments/s"),
            (self.crashes < wanted.crashes, f"only {self.crashes} crashes of bookkeepers"),
            (self.done.get(Kind.BROKER_KILL, 0) < wanted.broker_kills, "too few broker kills"),
            (self.done.get(Kind.RELAY_KILL, 0) < wanted.relay_kills, "too few relay kills"),
        )
        found += [text for is_so, text in checks if is_so]
        for one in self.sends:
            found += one.shortcomings(wanted.sends)
            if one.crashes < wanted.sender_crashes:
                found.append(f"{one.what}: only {one.crashes} crashes")
        return found

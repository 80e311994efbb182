"""The scenarios: how many users, how fast each, and what they must get."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Limits:
    """What fails a run; a duplicate always does.

    Shares are of all commands, 0 to 1. `rate_min` is payments per second after the warm-up.
    """

    p99_ms: float = 1_000.0
    error_share: float = 0.001
    declined_share: float = 0.01
    rate_min: float = 0.0

    def override(
        self, p99_ms: float | None, error_share: float | None, rate_min: float | None
    ) -> "Limits":
        """Return these limits with those replaced that are given."""
        given = {"p99_ms": p99_ms, "error_share": error_share, "rate_min": rate_min}
        chosen = {name: value for name, value in given.items() if value is not None}
        return replace(self, **chosen)


@dataclass(frozen=True)
class Scenario:
    """A load: `users` at once, each sending `pace` commands per second (0: as answers come)."""

    name: str
    about: str
    users: int
    pace: float
    deadline_seconds: float
    limits: Limits

    @property
    def offered(self) -> float:
        """Commands per second with all users there."""
        return self.users * self.pace


POS_RUSH = Scenario(
    name="pos_rush",
    about="terminals that pay one by one and wait a second at most",
    users=700,
    pace=3.0,
    deadline_seconds=1.0,
    limits=Limits(p99_ms=100.0, rate_min=2_000.0),
)
INTERNAL_SERVICES = Scenario(
    name="internal_services",
    about="services that send commands in batches and over streams",
    users=16,
    pace=1_000.0,
    deadline_seconds=10.0,
    limits=Limits(p99_ms=500.0, rate_min=15_000.0),
)
FLASH_SALE = Scenario(
    name="flash_sale",
    about="one merchant whom everybody pays at once",
    users=400,
    pace=4.0,
    deadline_seconds=2.0,
    limits=Limits(p99_ms=250.0, rate_min=600.0),
)
DUPLICATE_STORM = Scenario(
    name="duplicate_storm",
    about="clients of whose calls 30 % repeat an earlier request_id",
    users=200,
    pace=5.0,
    deadline_seconds=5.0,
    limits=Limits(p99_ms=200.0, rate_min=600.0),
)
SCENARIOS = {each.name: each for each in (POS_RUSH, INTERNAL_SERVICES, FLASH_SALE, DUPLICATE_STORM)}

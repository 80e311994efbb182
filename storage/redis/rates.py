"""Counts calls together with other gateways; nobody waits for that."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from storage.redis.tick import Packed, Tick

MICROS: Final = 1_000_000

_LINGER_SECONDS: Final = 0.05
"""Between two reports of a gateway: each costs it about as much as fifty calls that it counts."""


class Bucket(Protocol):
    """What is counted. Times are in seconds."""

    @property
    def key(self) -> bytes: ...
    @property
    def is_wanted(self) -> bool: ...
    @property
    def worth(self) -> float:
        """What one call is worth."""

    @property
    def behind_max(self) -> float:
        """The most that it may be behind, whatever was counted."""

    def report(self) -> int:
        """Return the calls since the last report."""

    def learn(self, behind: float | None) -> None:
        """Hear how far it is behind by all gateways' reports; None when nobody can say."""


def key_of(*names: str) -> bytes:
    """Return the key of a bucket; each has its own place in a Cluster."""
    return b"tender:rate:" + ":".join(names).encode()


class RateStore:
    """Buckets in Redis."""

    name = "rates"
    script = (Path(__file__).parent / "lua" / "rates.lua").read_text()

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        """Raises BadAddress."""
        self._tick: Tick[Bucket] = Tick(url, self, timeout_seconds, linger_seconds=_LINGER_SECONDS)
        self.run = self._tick.run

    def sync(self, bucket: Bucket) -> bool:
        """Report soon what a bucket counted, and learn what all did; False when that cannot be."""
        return self._tick.ask(bucket)

    # What the tick asks for.

    def pack(self, items: Sequence[Bucket]) -> Packed:
        arguments: list[int] = []
        for bucket in items:
            worth, most = bucket.worth * MICROS, bucket.behind_max * MICROS
            arguments += (bucket.report(), round(worth), round(most))
        return Packed([bucket.key for bucket in items], arguments)

    def heard(self, items: Sequence[Bucket], reply: Any) -> None:
        for number, bucket in enumerate(items):
            bucket.learn(None if reply is None else reply[number] / MICROS)

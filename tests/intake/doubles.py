"""Records as a source would deliver them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.intake.ports import Headers


@dataclass(frozen=True)
class Given:
    """A record with its place."""

    key: bytes | None
    value: bytes | None
    of_headers: Mapping[str, bytes] = field(default_factory=dict)
    offset: int = 1
    partition: str = "p"
    timestamp: float = 0.0

    @property
    def headers(self) -> Headers:
        return list(self.of_headers.items())

    def header(self, name: str) -> bytes:
        return self.of_headers[name]

"""Which child is the primary of each of a stack's Postgres servers; remembered over restarts."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local import folder
from deploy.local.layout import BadLayout
from deploy.local.options import StackOptions

FILE_NAME = "roles.json"


@dataclass
class Roles:
    """The roles in one data folder."""

    root: Path
    options: StackOptions
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def members(self, server: int) -> Sequence[str]:
        """All children of a server, in the order of their names."""
        return [self.options.primary_names()[server], *self.options.replica_names(server)]

    def primary(self, server: int) -> str:
        """Return the child that takes writes: the first one, until another is promoted.

        Raises BadLayout if the promoted one is not among the replicas that were asked for: the
        others may lack what it has.
        """
        members = self.members(server)
        promoted = self._promoted().get(str(server), members[0])
        if promoted not in members:
            raise BadLayout(f"{promoted} was promoted: start with as many --replicas as then")
        return promoted

    def standbys(self, server: int) -> Sequence[str]:
        """The other children, which follow it."""
        primary = self.primary(server)
        return [name for name in self.members(server) if name != primary]

    def primaries(self) -> Sequence[str]:
        """The primary of every server."""
        return [self.primary(server) for server in range(len(self.options.primary_names()))]

    def promote(self, server: int, name: str) -> None:
        """Make a child the primary, on disk before this returns."""
        with self._lock:
            promoted = self._promoted() | {str(server): name}
            folder.write_private(self.root / FILE_NAME, json.dumps(promoted))

    def _promoted(self) -> dict[str, str]:
        path = self.root / FILE_NAME
        content: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        return content

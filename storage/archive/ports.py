"""Where archived rows are kept: a folder, or anything else that keeps whole files by name."""

from typing import Protocol


class ArchiveAway(Exception):
    """The place cannot be used now; the text is for people."""


class Damaged(Exception):
    """A file is missing, or is not what was written; the text names it."""


class Files(Protocol):
    """Keeps files that never change. Calls wait: they are made in a thread."""

    def put(self, name: str, content: bytes) -> None:
        """Keep a file, durably once this returns; the same name may be put again.

        Raises ArchiveAway.
        """

    def get(self, name: str) -> bytes:
        """Return a file. Raises ArchiveAway, or Damaged if there is none."""

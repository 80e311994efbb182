"""Archived rows in a folder of this machine, or one that several machines mount."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from storage.archive.ports import ArchiveAway, Damaged


class Folder:
    """Implements `ports.Files`. Names may have slashes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def put(self, name: str, content: bytes) -> None:
        """Keep a file: under its name there is either all of it, or what was there before."""
        target = self._path / name
        beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        with _away(name):
            target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            try:
                with beside.open("xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                beside.replace(target)
            finally:
                beside.unlink(missing_ok=True)
            # The name too, and those of folders that are new.
            for folder in (target.parent, *target.parent.parents):
                _sync(folder)
                if folder == self._path:
                    break

    def get(self, name: str) -> bytes:
        """Return a file."""
        with _away(name):
            try:
                return (self._path / name).read_bytes()
            except FileNotFoundError:
                raise Damaged(f"{name} is missing") from None


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _away(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArchiveAway(f"{name}: {error.strerror or type(error).__name__}") from None

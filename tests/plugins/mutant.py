"""Runs the tests against Tender with one protection taken away: `-p tests.plugins.mutant`.

TENDER_MUTANT names an entry of tests/mutants/table.py. Its patch is applied to the text of a file:
to a module as it is imported, to a migration in a copy of the folder. The tree stays as it is.
No module runs compiled: compiled ones call each other past what was altered.
"""

import importlib.abc
import importlib.machinery
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

import pytest

from tests.mutants import table
from tests.plugins import plain

VARIABLE: Final = "TENDER_MUTANT"


class _AlteredSource(importlib.machinery.SourceFileLoader):
    """Compiles a module from its altered text, and keeps nothing of it on disk."""

    def __init__(self, module: str, mutant: table.Mutant) -> None:
        super().__init__(module, str(mutant.path))
        self._mutant = mutant

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._mutant.altered(), self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the altered module before anybody finds the original."""

    def __init__(self, mutant: table.Mutant) -> None:
        self._module = mutant.file.removesuffix(".py").replace("/", ".")
        self._mutant = mutant
        if self._module in sys.modules:
            raise RuntimeError(f"{self._module} is imported already; the mutant comes too late")

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._module:
            return None
        loader = _AlteredSource(fullname, self._mutant)
        return spec_from_file_location(fullname, self._mutant.path, loader=loader)


def _use_altered_migrations(mutant: table.Mutant) -> Path:
    """Let every stack of this run be migrated from an altered copy; return the copy."""
    from storage import migrate

    if "deploy.local.options" in sys.modules:
        raise RuntimeError("the stack knows its migrations already; the mutant comes too late")
    folder = Path(tempfile.mkdtemp(prefix="tender-mutant-"))
    shutil.copytree(migrate.MIGRATIONS, folder, dirs_exist_ok=True)
    (folder / mutant.path.name).write_text(mutant.altered())
    migrate.MIGRATIONS = folder
    return folder


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Come before conftest.py, which imports what is to be altered."""
    mutant = table.MUTANTS[os.environ[VARIABLE]]
    plain.use_sources()
    if mutant.file.endswith(".py"):
        sys.meta_path.insert(0, _Finder(mutant))
        return
    folder = _use_altered_migrations(mutant)
    early_config.add_cleanup(lambda: shutil.rmtree(folder))

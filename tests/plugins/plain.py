"""Lets a process take Tender's modules from their sources, even where they are compiled."""

import importlib.abc
import importlib.machinery
import sys
from pathlib import Path

from kit import compiled


def use_sources() -> None:
    """Find no shared object of ours from now on; refuses if one was taken already."""
    taken = [
        name
        for name, module in sys.modules.items()
        if name.partition(".")[0] in compiled.PACKAGES
        and str(getattr(module, "__file__", "")).endswith(compiled.SUFFIX)
    ]
    if taken:
        raise RuntimeError(f"{', '.join(sorted(taken))} runs compiled already: too late")
    find = importlib.machinery.FileFinder.path_hook(
        (importlib.machinery.SourceFileLoader, importlib.machinery.SOURCE_SUFFIXES)
    )

    def only_ours(path: str) -> importlib.abc.PathEntryFinder:
        place = Path(path)
        if not any(place.is_relative_to(compiled.ROOT / name) for name in compiled.PACKAGES):
            raise ImportError(f"{path} is none of ours")
        return find(path)

    sys.path_hooks.insert(0, only_ours)
    sys.path_importer_cache.clear()

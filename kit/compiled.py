"""Which modules run compiled, and whether what was compiled is what is written.

Python takes a module's shared object before its source. `make compile` therefore leaves beside them
a manifest of what it compiled; whoever starts compares it with the sources that are there.
"""

import hashlib
import importlib.machinery
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGES: Final = ("kit", "processor")
"""The packages in which modules may be compiled."""

LIBRARY: Final = "tender_compiled__mypyc"
"""The shared object that holds them all; the one beside each module only points into it."""

SUFFIX: Final = importlib.machinery.EXTENSION_SUFFIXES[0]
"""End of the names of shared objects that this Python loads; it carries Python's version."""

MANIFEST: Final = Path("kit/compiled.json")


class Stale(Exception):
    """compiled modules are older than their source: run `make compile`"""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{self.__doc__} ({path})")


def require_current(root: Path = ROOT) -> bool:
    """Return whether modules run compiled; raise Stale if any is not what its source says."""
    manifest = read_manifest(root)
    sources = manifest.get("sources", {}) if manifest.get("suffix") == SUFFIX else {}
    expected = {shared_object(Path(source)) for source in sources}
    if sources:
        expected.add(Path(LIBRARY + SUFFIX))
    for path in expected.symmetric_difference(found(root)):
        raise Stale(path)
    for source, digest in sources.items():
        if digest_of(root / source) != digest:
            raise Stale(Path(source))
    return bool(sources)


def read_manifest(root: Path) -> Mapping[str, Any]:
    """Return what was written down when modules were compiled; empty if none are."""
    try:
        manifest: dict[str, Any] = json.loads((root / MANIFEST).read_text())
    except FileNotFoundError:
        return {}
    return manifest


def found(root: Path, suffix: str = SUFFIX) -> Iterator[Path]:
    """Return the shared objects of ours that are there, relative to the root."""
    places = [root.glob(f"{LIBRARY}*{suffix}")]
    places += [(root / package).rglob(f"*{suffix}") for package in PACKAGES]
    return (path.relative_to(root) for place in places for path in place)


def shared_object(source: Path) -> Path:
    """Return the file that Python takes instead of a source."""
    return source.with_suffix(SUFFIX)


def digests(root: Path, sources: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of each source, by its path relative to the root."""
    return {str(source): digest_of(root / source) for source in sources}


def digest_of(source: Path) -> str:
    """Return a file's SHA-256 in hex; empty if there is no such file."""
    try:
        return hashlib.sha256(source.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""

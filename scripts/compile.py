"""Compiles the modules that `[tool.tender.compile]` of pyproject.toml names, beside their sources.

  python -m scripts.compile           compile if any source changed since
  python -m scripts.compile clean     remove what was compiled; everything runs as plain Python

One mypyc group: calls within it need no Python. The source is compiled as it stands there.
"""

import contextlib
import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
import tomllib
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from kit import compiled

BUILD: Final = Path("build/compiled")
SECONDS_MAX: Final = 600
_NO_COMPILER: Final = "No C compiler with Python's headers: Tender runs uncompiled, and slower."


class NotCompiled(Exception):
    """What is written cannot be compiled; the text is what the tools said."""


def compile_all(root: Path) -> bool:
    """Compile what the table names, unless it is compiled already; return whether it was done."""
    table = read_table(root)
    sources = modules(root, table)
    with _alone(root):
        wanted = {
            "suffix": compiled.SUFFIX,
            "mypy": metadata.version("mypy"),
            "optimization": table["optimization"],
            "sources": compiled.digests(root, sources),
        }
        if compiled.read_manifest(root) == wanted and _is_current(root):
            return False
        clean(root)
        _put(root, _build(root, sources, table["optimization"]))
        # Read again: what was saved meanwhile may not be what was compiled.
        if compiled.digests(root, sources) != wanted["sources"]:
            clean(root)
            raise NotCompiled("a source changed while it was compiled: run `make compile` again")
        (root / compiled.MANIFEST).write_text(json.dumps(wanted, indent=1) + "\n")
    return True


def clean(root: Path) -> None:
    """Remove every shared object of ours, whichever Python it is for."""
    # The manifest goes first: a build that ends half-way leaves nothing that could be believed.
    (root / compiled.MANIFEST).unlink(missing_ok=True)
    for path in list(compiled.found(root, ".so")):
        (root / path).unlink()


def read_table(root: Path) -> Mapping[str, Any]:
    """Return `[tool.tender.compile]`."""
    project = tomllib.loads((root / "pyproject.toml").read_text())
    table: dict[str, Any] = project["tool"]["tender"]["compile"]
    return table


def modules(root: Path, table: Mapping[str, Any]) -> list[Path]:
    """Return the sources that the table names, relative to the root; each pattern names some."""
    named: set[Path] = set()
    for pattern in table["modules"]:
        matched = {path.relative_to(root) for path in root.glob(pattern)}
        assert matched, f"{pattern} of [tool.tender.compile] names no file"
        named |= matched
    return sorted(path for path in named if str(path) not in table["except"])


def has_compiler() -> bool:
    """Return whether the compiler that this Python was built with is here, and its headers."""
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "")
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    return bool(command) and shutil.which(command[0]) is not None and headers.exists()


def _is_current(root: Path) -> bool:
    try:
        return compiled.require_current(root)
    except compiled.Stale:
        return False


def _build(root: Path, sources: list[Path], optimization: str) -> Path:
    """Return a folder with the shared objects, in a process of its own: mypy is large."""
    folder = root / BUILD
    shutil.rmtree(folder / "lib", ignore_errors=True)
    done = subprocess.run(
        [
            sys.executable,
            "-P",
            "-m",
            "scripts.mypyc_build",
            str(folder),
            optimization,
            *map(str, sources),
        ],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    if done.returncode != 0:
        raise NotCompiled(done.stdout.strip())
    return folder / "lib"


def _put(root: Path, built: Path) -> None:
    """Move what was built beside its source; processes that run keep the files they opened."""
    for path in sorted(built.rglob(f"*{compiled.SUFFIX}")):
        os.replace(path, root / path.relative_to(built))


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Wait until nobody else compiles in this folder."""
    (root / BUILD).mkdir(parents=True, exist_ok=True)
    with (root / BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(arguments: list[str]) -> int:
    """Compile, or clean; return the exit code."""
    if arguments == ["clean"]:
        clean(compiled.ROOT)
        return 0
    if not has_compiler():
        clean(compiled.ROOT)
        print(_NO_COMPILER, file=sys.stderr)
        return 1 if os.environ.get("CI") == "true" else 0
    started = time.monotonic()
    try:
        if compile_all(compiled.ROOT):
            print(f"Compiled in {time.monotonic() - started:.0f} s.")
    except NotCompiled as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

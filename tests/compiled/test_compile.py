"""Compiling: what changed is compiled anew, and what is older than its source does not run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from kit import compiled
from scripts import compile as compiling

SECONDS_MAX: Final = 120
TABLE: Final = """
[tool.tender.compile]
modules = ["kit/*.py", "processor/sums.py"]
except = ["kit/plain.py"]
optimization = "0"
"""
CALL: Final = "from processor import sums; print(sums.answer(), sums.__file__.endswith('.so'))"
MESSAGE: Final = "compiled modules are older than their source: run `make compile`"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A project of two modules to compile and one not to."""
    files = {
        "pyproject.toml": TABLE,
        "kit/__init__.py": "",
        "kit/plain.py": "WHOLE = 40\n",
        "kit/parts.py": "def part(whole: int) -> int:\n    return whole + 2\n",
        "processor/__init__.py": "",
        "processor/sums.py": (
            "from kit import parts, plain\n\n\n"
            "def answer() -> int:\n    return parts.part(plain.WHOLE)\n"
        ),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def _python(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)} | environment,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


def _says(folder: Path) -> str:
    return _python(folder, "-c", CALL).stdout.strip()


def test_a_changed_source_is_refused_and_then_compiled_anew(small: Path) -> None:
    assert compiling.compile_all(small)
    assert compiled.require_current(small)
    assert _says(small) == "42 True"
    assert not compiling.compile_all(small)

    parts = small / "kit/parts.py"
    before = parts.stat()
    parts.write_text(parts.read_text().replace("+ 2", "+ 3"))
    os.utime(parts, ns=(before.st_atime_ns, before.st_mtime_ns))

    with pytest.raises(compiled.Stale, match=r"run `make compile` \(kit/parts.py\)"):
        compiled.require_current(small)
    assert _says(small) == "42 True"
    assert compiling.compile_all(small)
    assert _says(small) == "43 True"

    (small / "kit/parts").with_suffix(compiled.SUFFIX).unlink()
    with pytest.raises(compiled.Stale):
        compiled.require_current(small)

    compiling.clean(small)
    assert not compiled.require_current(small)
    assert _says(small) == "43 False"
    assert not list(small.glob("*.so"))


def test_a_source_that_cannot_be_compiled_leaves_nothing_compiled(small: Path) -> None:
    (small / "kit/parts.py").write_text("def part(whole: int) -> int:\n    return str(whole)\n")

    with pytest.raises(compiling.NotCompiled, match="Incompatible return value"):
        compiling.compile_all(small)

    assert not compiled.require_current(small)


def test_a_shared_object_that_nobody_wrote_down_is_refused(small: Path) -> None:
    (small / "kit/parts").with_suffix(compiled.SUFFIX).touch()

    with pytest.raises(compiled.Stale, match="kit/parts"):
        compiled.require_current(small)


def test_a_pattern_that_names_nothing_is_a_mistake(small: Path) -> None:
    with pytest.raises(AssertionError, match="names no file"):
        compiling.modules(small, {"modules": ["kit/gone.py"], "except": []})


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tender as it is in a fresh clone: nothing compiled."""
    folder = tmp_path_factory.mktemp("copied")
    ignored = shutil.ignore_patterns("*.so", "__pycache__", "compiled.json")
    for name in ("deploy", "gateway", "kit", "processor", "scripts", "storage", "tender", "tests"):
        shutil.copytree(compiled.ROOT / name, folder / name, ignore=ignored)
    shutil.copy(compiled.ROOT / "pyproject.toml", folder)
    return folder


@pytest.mark.parametrize("needed", ["", "true"])
def test_without_a_compiler_everything_runs_uncompiled_but_not_in_ci(
    copied: Path, needed: str
) -> None:
    done = _python(copied, "-m", "scripts.compile", CC="no-such-compiler", CI=needed)

    assert done.returncode == (1 if needed else 0)
    assert done.stderr.splitlines() == [
        "No C compiler with Python's headers: Tender runs uncompiled, and slower."
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("-m", "deploy.servers.processor", "--check"),
        ("-m", "deploy.servers.gateway", "--check"),
        ("-m", "deploy.local.cli", "--help"),
        ("-m", "pytest", "-q", "tests/kit/test_currencies.py"),
    ],
    ids=["processor", "gateway", "command", "tests"],
)
def test_nothing_starts_on_what_is_older_than_its_source(
    copied: Path, arguments: tuple[str, ...]
) -> None:
    fresh = _python(copied, *arguments)
    source = Path("kit/fingerprint.py")
    files = [copied / compiled.shared_object(source), copied / (compiled.LIBRARY + compiled.SUFFIX)]
    for path in files:
        path.touch()
    manifest = copied / compiled.MANIFEST
    manifest.write_text(json.dumps({"suffix": compiled.SUFFIX, "sources": {str(source): "old"}}))

    done = _python(copied, *arguments)

    for path in (*files, manifest):
        path.unlink()
    assert fresh.returncode == 0, fresh.stderr
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1] == f"{MESSAGE} ({source})"
    assert "Traceback" not in done.stderr

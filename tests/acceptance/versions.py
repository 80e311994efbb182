"""An older version of Tender beside the present one: its tree, out of Git, and its commands."""

import io
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local import servers

ROOT: Final = Path(__file__).parents[2]

UPGRADE_FROM: Final = "235ddf8b5f956af6ad6d002b7e1e55c94bc5fc19"
"""The commit beside which this version must run. With a release it becomes the released commit;
till the first it moves only with a migration that is edited: docs/decisions/0021-upgrades.md."""

PACKAGES: Final = ("tender", "gateway", "processor", "storage", "kit", "deploy")
"""What the wheel has."""

GIT_SECONDS_MAX: Final = 60
COMMAND_SECONDS_MAX: Final = 120


class NotInHistory(Exception):
    """The commit to upgrade from cannot be had here; the message says how to get it."""


@dataclass(frozen=True)
class Version:
    """A tree of Tender that can be run; packages that it needs are those of this environment."""

    name: str
    tree: Path

    @property
    def migrations(self) -> Path:
        return self.tree / "storage/migrations"

    def environment(self) -> dict[str, str]:
        """Ours, in which this tree's packages are found before all others."""
        # Safe: else Python puts the folder that it is started in, which has ours, before all.
        return servers.environment() | {"PYTHONPATH": str(self.tree), "PYTHONSAFEPATH": "1"}

    def command(self, *arguments: str) -> str:
        """Run `tender` as this version has it; return what it says."""
        main = "import sys; from deploy.local.cli import main; sys.exit(main())"
        done = self._run("-c", main, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def where_it_runs_from(self) -> Path:
        """Return the tree that Python takes its servers from."""
        finder = "from deploy.servers import gateway; print(gateway.__file__)"
        return Path(self._run("-c", finder).stdout.strip()).parents[2]

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )


PRESENT: Final = Version("present", ROOT)


def older(into: Path, clone: Path = ROOT) -> Version:
    """Put the tree of UPGRADE_FROM there. Raises NotInHistory."""
    if _git(clone, "cat-file", "-e", f"{UPGRADE_FROM}^{{commit}}").returncode:
        # A shallow clone has not everything; most servers give a commit that is asked for.
        _git(clone, "fetch", "--quiet", "--depth=1", "origin", UPGRADE_FROM)
    done = _git(clone, "archive", UPGRADE_FROM, *PACKAGES)
    if done.returncode:
        raise NotInHistory(
            f"the version to upgrade from, {UPGRADE_FROM[:12]}, is not in this clone: "
            f"`git fetch --unshallow` brings the history ({done.stderr.decode().strip()})"
        )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(into, filter="data")
    return Version("older", into)


def _git(clone: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["git", "-C", str(clone), "-c", f"safe.directory={clone}", *arguments],
        capture_output=True,
        timeout=GIT_SECONDS_MAX,
        check=False,
    )

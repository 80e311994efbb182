"""An older version of Tender beside the present one: its tree and its commands.

`python -m tests.acceptance.versions COMMIT` takes a commit's tree for it.
"""

import lzma
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local import servers

ROOT: Final = Path(__file__).parents[2]

UPGRADE_FROM: Final = "8c768512fc7d7c1a0598b5407b7e85683f499153"
"""The commit beside which this version must run. With a release it becomes the released commit;
till the first it moves only with a migration that is edited: docs/decisions/0021-upgrades.md."""

ARCHIVE: Final = Path(__file__).with_name("older.tar.xz")
"""The tree of that commit: a shallow clone, or one without Git, has it too."""

PACKAGES: Final = ("tender", "gateway", "processor", "storage", "kit", "deploy")
"""What the wheel has."""

GIT_SECONDS_MAX: Final = 60
TAR_SECONDS_MAX: Final = 60
COMMAND_SECONDS_MAX: Final = 120


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


def older(into: Path) -> Version:
    """Put the tree of UPGRADE_FROM there."""
    subprocess.run(
        ["tar", "-x", "-f", "-", "-C", str(into)],
        input=lzma.decompress(ARCHIVE.read_bytes()),
        timeout=TAR_SECONDS_MAX,
        check=True,
    )
    return Version("older", into)


def write(commit: str) -> None:
    """Make a commit's tree the older version; UPGRADE_FROM is to be changed along with it."""
    command = ["git", "-C", str(ROOT), "archive", commit, *PACKAGES]
    done = subprocess.run(command, capture_output=True, timeout=GIT_SECONDS_MAX, check=True)
    ARCHIVE.write_bytes(lzma.compress(done.stdout, preset=9))


if __name__ == "__main__":
    write(sys.argv[1])

"""An older version of Tender beside the present one: its tree, its servers and its commands."""

import io
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local import folder, servers, supervisor

ROOT: Final = Path(__file__).parents[2]

UPGRADE_FROM: Final = "8cab07bbd4b9d0ce7a3fe8fefca01b1b6e09add0"
"""The commit beside which this version must run. With a release it becomes the released commit;
till the first it moves only with a migration that is edited: docs/decisions/0018-upgrades.md."""

PACKAGES: Final = ("tender", "gateway", "processor", "storage", "kit", "deploy")
"""What the wheel has."""

GIT_SECONDS_MAX: Final = 60
COMMAND_SECONDS_MAX: Final = 60


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


def older(into: Path) -> Version:
    """Put the tree of UPGRADE_FROM there. Raises NotInHistory."""
    if _git("cat-file", "-e", f"{UPGRADE_FROM}^{{commit}}").returncode:
        # A shallow clone has not everything; most servers give a commit that is asked for.
        _git("fetch", "--quiet", "--depth=1", "origin", UPGRADE_FROM)
    done = _git("archive", UPGRADE_FROM, *PACKAGES)
    if done.returncode:
        raise NotInHistory(
            f"the version to upgrade from, {UPGRADE_FROM[:12]}, is not in this clone: "
            f"`git fetch --unshallow` brings the history ({done.stderr.decode().strip()})"
        )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(into, filter="data")
    return Version("older", into)


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["git", "-C", str(ROOT), "-c", f"safe.directory={ROOT}", *arguments],
        capture_output=True,
        timeout=GIT_SECONDS_MAX,
        check=False,
    )


@dataclass(frozen=True)
class Server:
    """A place where either version of a server may run."""

    name: str
    module: str
    target: str
    settings: dict[str, str]


class Fleet:
    """Two processors and two gateways, each replaced by another version on its own."""

    def __init__(
        self, endpoints: folder.Endpoints, ports: Mapping[str, str], logs: Path, region: str
    ) -> None:
        """`ports` are addresses by name: those in `names`, and of each its metrics'."""
        self._logs = logs
        self._children = supervisor.Supervisor(lambda _event: None, lambda _who: None)
        processors = ",".join(ports[name] for name in PROCESSORS)
        common = {
            "TENDER_INTERNAL_TOKEN_FILE": str(endpoints.internal_token_file),
            "TENDER_REDIS_URL": endpoints.redis_url,
            "TENDER_REGION": region,
        }
        processor = common | {
            "TENDER_DATABASE_URL": endpoints.processor_url,
            "TENDER_QUERY_DATABASE_URL": endpoints.query_url,
            "TENDER_PEER_TARGETS": processors,
            "TENDER_SHARD": "s1",
        }
        gateway = common | {
            "TENDER_API_KEY_PEPPER_FILE": str(endpoints.api_key_pepper_file),
            "TENDER_PROCESSOR_TARGETS": processors,
        }
        own = {name: {"TENDER_METRICS_LISTEN": ports[f"{name}_metrics"]} for name in names()}
        self._servers = {
            name: Server(
                name,
                "deploy.servers.processor",
                ports[name],
                processor | own[name] | {"TENDER_PROCESSOR_LISTEN": ports[name]},
            )
            for name in PROCESSORS
        } | {
            name: Server(
                name,
                "deploy.servers.gateway",
                ports[name],
                gateway | own[name] | {"TENDER_GATEWAY_LISTEN": ports[name]},
            )
            for name in GATEWAYS
        }

    def target(self, name: str) -> str:
        """Return the address of a server."""
        return self._servers[name].target

    def start(self, name: str, version: Version) -> None:
        """Start a server of this version and wait until it serves."""
        server = self._servers[name]
        environment = version.environment() | server.settings
        log = self._logs / f"{name}-{version.name}.log"
        self._children.add(servers.service(name, server.module, server.target, environment, log))
        self._children.await_ready(name)

    def replace(self, name: str, version: Version) -> None:
        """Stop a server in order, and start this version in its place."""
        self._children.stop(name)
        self.start(name, version)

    def stop(self) -> None:
        self._children.stop_all()


PROCESSORS: Final = ("processor1", "processor2")
GATEWAYS: Final = ("gateway1", "gateway2")


def names() -> tuple[str, ...]:
    """Return every server of a fleet."""
    return PROCESSORS + GATEWAYS

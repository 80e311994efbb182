"""The data folder of a stack: who holds it, where things are, its secrets and its state file."""

import contextlib
import fcntl
import json
import os
import secrets
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.local import processes

STATE_FORMAT = 1
SECRET_BYTES = 32


class FolderBusy(Exception):
    """Another stack holds the data folder."""


@dataclass(frozen=True)
class ShardEndpoints:
    """Where one shard's database is reached."""

    name: str
    region: str
    owner_url: str = field(repr=False)
    processor_url: str = field(repr=False)
    query_url: str = field(repr=False)
    relay_url: str = field(repr=False)
    replica_urls: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class ProcessorEndpoints:
    """Where one of several processors is reached; its name is that of the child."""

    name: str
    address: str
    metrics: str


@dataclass(frozen=True)
class ServiceEndpoints:
    """Where a service behind Kafka is reached, and its own database; empty where it has none."""

    name: str
    address: str
    metrics: str
    owner_url: str = field(repr=False)
    database_url: str = field(repr=False)


@dataclass(frozen=True)
class Endpoints:
    """Where a running stack is reached; addresses are `host:port`, URLs carry their passwords.

    The URLs of Postgres that are not in `shards` are those of its first one, and so it is with
    `processors`.
    """

    gateway: str
    processor: str
    gateway_metrics: str
    processor_metrics: str
    owner_url: str = field(repr=False)
    processor_url: str = field(repr=False)
    query_url: str = field(repr=False)
    replica_urls: tuple[str, ...] = field(repr=False)
    redis_url: str = field(repr=False)
    kafka_bootstrap: str
    internal_token_file: Path
    api_key_pepper_file: Path
    api_key_file: Path
    # Only with the embedded Postgres: where its Unix socket is and its programs (pgbench, psql).
    postgres_socket_folder: Path | None = None
    postgres_programs: Path | None = None
    shards: tuple[ShardEndpoints, ...] = ()
    processors: tuple[ProcessorEndpoints, ...] = ()
    # Only where there is a relay.
    relay_metrics: str = ""
    services: Mapping[str, ServiceEndpoints] = field(default_factory=dict)

    @property
    def processor_targets(self) -> list[str]:
        """Where each processor is reached."""
        return [each.address for each in self.processors] or [self.processor]


@dataclass(frozen=True)
class State:
    """What a running stack tells other commands; it holds no secret."""

    supervisor: processes.Identity
    children: dict[str, processes.Identity]
    ports: dict[str, int]
    region: str
    shard: str
    started_at: datetime
    endpoints_file: Path
    api_key_file: Path

    def port(self, name: str) -> int | None:
        """Where a child is reached: that of its metrics, if nobody calls it."""
        return self.ports.get(name, self.ports.get(f"{name}_metrics"))


@dataclass(frozen=True)
class Folder:
    """The paths inside a data folder."""

    root: Path

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def state(self) -> Path:
        return self.root / "state.json"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def endpoints(self) -> Path:
        return self.secrets / "endpoints.json"

    @property
    def shards(self) -> Path:
        """What TENDER_SHARDS_FILE names."""
        return self.secrets / "shards.json"

    @property
    def archive(self) -> Path:
        """Journal rows that are archived."""
        return self.root / "archive"

    @property
    def relay_shards(self) -> Path:
        """What TENDER_SHARDS_FILE of the relay names: the same shards by another role."""
        return self.secrets / "relay-shards.json"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def create(self) -> None:
        for path in (self.root, self.secrets, self.logs):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def secret(self, name: str) -> str:
        return self.secret_file(name).read_text().strip()

    def secret_file(self, name: str) -> Path:
        """The file of the secret of that name, made at its first use."""
        path = self.secrets / name
        if not path.exists():
            write_private(path, secrets.token_hex(SECRET_BYTES))
        return path

    def write_endpoints(self, endpoints: Endpoints) -> None:
        write_private(self.endpoints, json.dumps(asdict(endpoints), default=str, indent=2))

    def write_state(self, state: State) -> None:
        content = asdict(state) | {"format": STATE_FORMAT}
        write_private(self.state, json.dumps(content, default=str, indent=2))


class Lock:
    """Holds a data folder for one stack; the kernel lets go when the process ends, however."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._descriptor: int | None = None

    def acquire(self) -> None:
        descriptor = os.open(self._folder.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode() or "unknown"
            os.close(descriptor)
            raise FolderBusy(
                f"{self._folder.root} is in use by the stack of process {holder}"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def write_private(path: Path, content: str) -> None:
    """Replace a file in one step; only its owner can read it."""
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    unfinished.replace(path)


def read_state(data_dir: Path) -> State | None:
    """The state file as written, also when its stack was killed; None if there is none."""
    try:
        content: dict[str, Any] = json.loads(Folder(data_dir).state.read_text())
    except FileNotFoundError:
        return None
    if content["format"] != STATE_FORMAT:
        raise FolderBusy(f"{data_dir} was written by another version of Tender")
    return State(
        supervisor=processes.Identity(**content["supervisor"]),
        children={name: processes.Identity(**child) for name, child in content["children"].items()},
        ports=content["ports"],
        region=content["region"],
        shard=content["shard"],
        started_at=datetime.fromisoformat(content["started_at"]),
        endpoints_file=Path(content["endpoints_file"]),
        api_key_file=Path(content["api_key_file"]),
    )


def running_stack(data_dir: Path) -> State | None:
    """The state of the stack whose supervisor is alive in this folder; None if none is."""
    state = read_state(data_dir)
    return state if state is not None and state.supervisor.is_alive() else None


def read_endpoints(data_dir: Path) -> Endpoints:
    """The addresses and URLs of the stack in this folder; FileNotFoundError if it never started."""
    content: dict[str, Any] = json.loads(Folder(data_dir).endpoints.read_text())
    paths = ("internal_token_file", "api_key_pepper_file", "api_key_file")
    optional_paths = ("postgres_socket_folder", "postgres_programs")
    return Endpoints(
        **content
        | {"replica_urls": tuple(content["replica_urls"])}
        | {"shards": tuple(_shard(each) for each in content.get("shards", ()))}
        | {
            "processors": tuple(
                ProcessorEndpoints(**each) for each in content.get("processors", ())
            )
        }
        | {
            "services": {
                name: ServiceEndpoints(**each) for name, each in content.get("services", {}).items()
            }
        }
        | {name: Path(content[name]) for name in paths}
        | {name: Path(content[name]) for name in optional_paths if content[name] is not None}
    )


def _shard(content: dict[str, Any]) -> ShardEndpoints:
    return ShardEndpoints(**content | {"replica_urls": tuple(content["replica_urls"])})


def stop_running(data_dir: Path, timeout_seconds: float) -> bool:
    """Ask the stack in this folder to stop and wait; false if none ran.

    Raises TimeoutError if it still runs then.
    """
    state = running_stack(data_dir)
    if state is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(state.supervisor.pid, signal.SIGTERM)
    if not processes.await_end([state.supervisor], timeout_seconds):
        raise TimeoutError(
            f"process {state.supervisor.pid} still runs after {timeout_seconds:g} seconds"
        )
    return True


def now() -> datetime:
    return datetime.now(UTC)

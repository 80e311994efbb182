"""The system under test: a stack that the benchmark starts, filled and watched."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg

import tender
from benchmarks import check
from benchmarks.load.world import Merchant, World
from benchmarks.measure import processes
from deploy.local import database, seed, servers
from deploy.local.folder import Endpoints
from deploy.local.options import DEVELOPMENT_TENANT, StackOptions
from deploy.local.stack import Stack

VERIFY_SECONDS_MAX: Final = 3_600.0
CONNECT_SECONDS_MAX: Final = 10.0
STATEMENT_SECONDS_MAX: Final = 600.0
LANE_SECONDS_MAX: Final = 60.0
CONNECTIONS_PER_GATEWAY: Final = 8
NO_PAYMENT: Final = "pay_eu_0000000000000000000000"

Say = Callable[[str], None]


@dataclass(frozen=True)
class System:
    """A running stack of our own with a filled ledger."""

    stack: Stack
    world: World
    folder: Path

    @property
    def endpoints(self) -> Endpoints:
        return self.stack.endpoints

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.endpoints.gateway.rpartition(":")
        return host, int(port)

    @property
    def world_folder(self) -> Path:
        return self.folder / "world"

    @property
    def api_key(self) -> str:
        return self.endpoints.api_key_file.read_text().strip()

    def pids(self) -> dict[str, int]:
        """Return the processes by the kind that reports name them by."""
        return {kind: self.stack.child(name).pid for kind, name in processes.KINDS.items()}

    def cpu_seconds(self) -> dict[str, float]:
        """Return the CPU of each kind so far."""
        return processes.cpu_by_kind(self.pids())

    def query(self, statement: str) -> Any:
        """Return one value from the database."""
        return database.run_async(value(self.endpoints.owner_url, statement))

    def journal_head(self) -> int | None:
        """Return how many batches were committed so far."""
        return int(self.query("SELECT coalesce(max(seq), 0) FROM journal"))

    @property
    def ca_file(self) -> Path | None:
        return None

    def checkpoint(self) -> None:
        """Write one now, as a busy server does every few minutes."""
        self.query("CHECKPOINT")

    def check(self, histories: list[Path], head_before: int) -> dict[str, Any]:
        """Compare what was answered with the database."""
        found = database.run_async(
            check.check(
                self.endpoints.owner_url,
                histories,
                self.world,
                tenant_id=self.stack.options.tenant or DEVELOPMENT_TENANT,
                head_before=head_before,
            )
        )
        return {**found._asdict(), "ok": found.ok}

    def verify(self) -> dict[str, Any]:
        """Let `tender verify` recompute the ledger; return its report."""
        return verify([self.endpoints.query_url])


def verify(databases: Sequence[str]) -> dict[str, Any]:
    """Let `tender verify` recompute the ledgers of all shards together; return its report."""
    queries = [f"--dsn={dsn}" for dsn in databases]
    done = subprocess.run(
        [sys.executable, "-m", "deploy.local.cli", "verify", *queries, "--json"],
        env=servers.environment(),
        capture_output=True,
        text=True,
        timeout=VERIFY_SECONDS_MAX,
        check=False,
    )
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError:
        report = {"problem": done.stderr.strip()}
    return report | {"ok": done.returncode == 0}


@contextlib.contextmanager
def running(
    options: StackOptions, wanted: seed.Seed, say: Say, log_megabytes: int = 0
) -> Iterator[System]:
    """Start a stack and fill it, unless its folder was filled before."""
    with Stack(options) as stack:
        place = options.data_dir
        if not (place / "world" / "world.json").exists():
            _fill(stack, wanted, say).save(place / "world")
        age(stack.endpoints.owner_url, log_megabytes)
        await_lane(stack.endpoints, options.gateway_workers)
        stack.supervise_in_background()
        yield System(stack, World.load(place / "world"), place)


def await_lane(endpoints: Endpoints, gateways: int = 1) -> None:
    """Wait until a processor that has just started owns its lane: until it says no by itself.

    Every connection may meet another of the gateways' processes; enough are made to meet them all.
    """
    deadline = time.monotonic() + LANE_SECONDS_MAX
    api_key = endpoints.api_key_file.read_text().strip()
    for _ in range(CONNECTIONS_PER_GATEWAY * gateways if gateways > 1 else 1):
        with tender.SyncClient(endpoints.gateway, api_key) as client:
            while not answers(client, NO_PAYMENT, deadline):
                time.sleep(0.1)


def answers(client: tender.SyncClient, payment_id: str, deadline: float) -> bool:
    """Say whether the lane of a payment that does not exist says so; raises after the deadline."""
    try:
        client.capture_payment(payment_id=payment_id)
    except tender.NotFound:
        return True
    except tender.TenderError:
        if time.monotonic() > deadline:
            raise
    return False


def _fill(stack: Stack, wanted: seed.Seed, say: Say) -> World:
    """Fill the ledger while no processor owns the lane."""
    stack.stop_one("processor")
    seeded = database.run_async(
        seed.fill(
            lane_url(stack.endpoints),
            wanted,
            region=stack.options.region,
            shard=stack.options.shard,
            tenant_id=stack.options.tenant or DEVELOPMENT_TENANT,
            progress=Steps(say),
        )
    )
    database.run_async(_analyze(stack.endpoints.owner_url))
    stack.start_one("processor")
    return World(
        payers="".join(seeded.payers).encode(),
        payer_id_bytes=len(seeded.payers[0]),
        merchants=[Merchant(shop.merchant_id, shop.account_id) for shop in seeded.shops],
        funds=wanted.funds,
        fee_basis_points=wanted.fee_basis_points,
        fee_fixed=wanted.fee_fixed,
    )


class Steps:
    """Says how far something is, a few times on the way."""

    def __init__(self, say: Say, step: float = 0.2) -> None:
        self._say, self._step = say, step
        self._said: dict[str, float] = {}

    def __call__(self, what: str, done: int, whole: int) -> None:
        share = done / whole
        if share >= self._said.get(what, 0.0) + self._step or done == whole:
            self._said[what] = share
            self._say(f"{what}: {done:,} of {whole:,}")


def lane_url(endpoints: Endpoints) -> str:
    """Return how the processor reaches its database: by the Unix socket where there is one."""
    socket_folder = endpoints.postgres_socket_folder
    url = endpoints.processor_url
    return url if socket_folder is None else database.socket_url(url, str(socket_folder))


def settings_of(options: StackOptions) -> Mapping[str, Any]:
    """Return what the stack was told, without secrets."""
    return {
        "replicas": options.replicas,
        "gateway_workers": options.gateway_workers,
        "processor": dict(options.processor_env),
        "gateway": dict(options.gateway_env),
    }


async def value(dsn: str, statement: str) -> Any:
    """Return one value from a database."""
    connection = await asyncpg.connect(
        dsn, timeout=CONNECT_SECONDS_MAX, command_timeout=STATEMENT_SECONDS_MAX
    )
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def age(owner_url: str, log_megabytes: int) -> None:
    """Let the server write its log over old files, as one does that has run for a while.

    A fresh one fills each new file with zeros first, up to 15 % of what a commit costs.
    """
    emit = (
        f"SELECT count(pg_logical_emit_message(false, 'bench', repeat('0', {1 << 20})))"
        f" FROM generate_series(1, {log_megabytes})"
    )
    for statement in (emit, "CHECKPOINT"):
        database.run_async(value(owner_url, statement))


async def _analyze(dsn: str) -> None:
    await value(dsn, "VACUUM (ANALYZE)")

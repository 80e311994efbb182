"""The system under test: two processors with shards, a standby, gateways with and without Redis."""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import check, system
from benchmarks.load.world import World
from benchmarks.measure import processes
from benchmarks.shards import filling, metrics, postgres
from benchmarks.system import Say, age
from deploy.local import database, ports, seed, servers, supervisor
from deploy.local.folder import Endpoints
from deploy.local.options import DEVELOPMENT_TENANT, StackOptions
from deploy.local.stack import Stack

SHARDS: Final = 3
PROCESSORS: Final = 2
INHABITED: Final = ("s1", "s3")
"""Whose lanes two processors have, one each; that of s2 would be with s1's. Nobody lives in s2."""

REPLICA: Final = "replica1"
REDIS: Final = "valkey"
WITHOUT_REDIS: Final = "gateway"
WITH_REDIS: Final = "gateway-redis"

HANDOVER_AFTER_SECONDS: Final = 1.0
"""How soon a processor that came back gets its lanes again, so that the next one may die."""

LIMIT: Final = [{"name": "bench", "per_second": 1_000_000, "burst": 1_000_000}]
"""Of rates: never reached, but every call is counted."""

REST_SECONDS_MAX: Final = 60.0
"""From the last call until all money between shards has arrived."""


def options(place: Path, settings: Mapping[str, str]) -> StackOptions:
    """Return what the stack is made of; its own gateway is the one without Redis."""
    return StackOptions(
        data_dir=place,
        shards=SHARDS,
        processors=PROCESSORS,
        replicas=1,
        postgres_settings=settings,
        processor_env={"TENDER_HANDOVER_AFTER_SECONDS": str(HANDOVER_AFTER_SECONDS)},
        gateway_env={"TENDER_REDIS_URL": "", "TENDER_REPLAY_CACHE": "false"},
    )


@dataclass(frozen=True)
class City:
    """A running stack of several shards with filled ledgers."""

    stack: Stack
    gateways: supervisor.Supervisor
    """Those that are not the stack's own."""
    addresses: Mapping[str, str]
    """Where each gateway is, and where its metrics are, by its name and with _metrics behind it."""
    world: World
    folder: Path

    @property
    def endpoints(self) -> Endpoints:
        return self.stack.endpoints

    @property
    def api_key(self) -> str:
        return self.endpoints.api_key_file.read_text().strip()

    @property
    def databases(self) -> list[str]:
        """Of each shard, as its owner."""
        return [shard.owner_url for shard in self.endpoints.shards]

    def cpu_seconds(self) -> dict[str, float]:
        """Return the CPU of each kind so far, all of its processes together."""
        kinds = {
            "gateway": [self.stack.child(WITHOUT_REDIS), self.gateways.child(WITH_REDIS)],
            "processor": [self.stack.child(name) for name in self.stack.options.processor_names()],
            "postgres": [
                self.stack.child(name)
                for name in self.stack.names()
                if name.startswith(("postgres", "replica")) and self.stack.alive()[name]
            ],
            "redis": [self.stack.child(REDIS)] if self.stack.alive()[REDIS] else [],
        }
        return {
            kind: sum(processes.cpu_seconds(child.pid) for child in children)
            for kind, children in kinds.items()
        }

    def heads(self) -> list[int]:
        """Return how many batches each shard has committed so far."""
        return [database.run_async(postgres.head(dsn)) for dsn in self.databases]

    def verify(self) -> dict[str, Any]:
        """Let `tender verify` recompute all ledgers together; return its report."""
        database.run_async(postgres.rest(self.endpoints, REST_SECONDS_MAX))
        return system.verify([shard.query_url for shard in self.endpoints.shards])

    def check(self, histories: list[Path], heads_before: list[int]) -> dict[str, Any]:
        """Compare what was answered with what all shards have."""
        first, *others = self.databases
        found = database.run_async(
            check.check(
                first,
                histories,
                self.world,
                tenant_id=self.stack.options.tenant or DEVELOPMENT_TENANT,
                head_before=heads_before[0],
                others=dict(zip(others, heads_before[1:], strict=True)),
            )
        )
        return {**found._asdict(), "ok": found.ok}

    def through(self, gateway: str) -> "Through":
        """Return the city as callers of one of its gateways see it."""
        return Through(self, gateway)


@dataclass(frozen=True)
class Through:
    """The city by one of its gateways. Implements benchmarks.rounds.Measured."""

    city: City
    gateway: str

    @property
    def world_folder(self) -> Path:
        return self.city.folder / "world"

    @property
    def api_key(self) -> str:
        return self.city.api_key

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.city.addresses[self.gateway].rpartition(":")
        return host, int(port)

    @property
    def ca_file(self) -> Path | None:
        return None

    def cpu_seconds(self) -> dict[str, float]:
        return self.city.cpu_seconds()

    def journal_head(self) -> int | None:
        return sum(self.city.heads())

    def checkpoint(self) -> None:
        """Not done here."""


@contextlib.contextmanager
def running(
    place: Path, wanted: seed.Seed, settings: Mapping[str, str], log_megabytes: int, say: Say
) -> Iterator[City]:
    """Start a city and fill it."""
    with Stack(options(place, settings)) as stack, contextlib.ExitStack() as closing:
        world = filling.fill(stack, INHABITED, wanted, say)
        world.save(place / "world")
        age(stack.endpoints.owner_url, log_megabytes)
        stack.supervise_in_background()
        gateways = supervisor.Supervisor(_silent, _nobody_asks)
        closing.callback(gateways.stop_all)
        addresses = {
            WITHOUT_REDIS: stack.endpoints.gateway,
            f"{WITHOUT_REDIS}_metrics": stack.endpoints.gateway_metrics,
            **_start_gateway(stack, gateways, place, closing),
        }
        city = City(stack, gateways, addresses, world, place)
        filling.await_lanes(stack, addresses[WITH_REDIS], time.monotonic())
        metrics.await_redis(addresses, WITH_REDIS)
        yield city


def _start_gateway(
    stack: Stack, gateways: supervisor.Supervisor, place: Path, closing: contextlib.ExitStack
) -> dict[str, str]:
    """Start the gateway that uses Redis for all that a gateway may; return where it is."""
    limits = place / "rate-limits.json"
    limits.write_text(json.dumps(LIMIT))
    names = (WITH_REDIS, f"{WITH_REDIS}_metrics")
    chosen = ports.choose(names, {}, closing)
    addresses = {name: f"{ports.LOOPBACK}:{chosen[name]}" for name in names}
    own = {
        "TENDER_GATEWAY_LISTEN": addresses[WITH_REDIS],
        "TENDER_METRICS_LISTEN": addresses[f"{WITH_REDIS}_metrics"],
        "TENDER_REPLAY_CACHE": "true",
        "TENDER_RATE_LIMITS_FILE": str(limits),
    }
    shared = servers.gateway_environment(
        stack.endpoints, stack.options.region, reflection=stack.options.reflection
    )
    module, address = stack.options.gateway_module, addresses[WITH_REDIS]
    environment = servers.environment() | shared | own
    gateways.add(servers.service(WITH_REDIS, module, address, environment, stack.log(WITH_REDIS)))
    gateways.start(WITH_REDIS)
    return addresses


def _silent(_event: str) -> None:
    """Nobody is told of gateways that come and go."""


def _nobody_asks(_children: Mapping[str, Any]) -> None:
    """The state file is the stack's."""

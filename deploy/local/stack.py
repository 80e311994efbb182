"""The whole of Tender on one machine: puts folder, ports, engines and servers together."""

import contextlib
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any, Self

from deploy.local import (
    database,
    engines,
    failover,
    folder,
    layout,
    ports,
    postgres,
    processes,
    roles,
    servers,
    services,
    supervisor,
    topics,
)
from deploy.local.options import StackOptions
from storage import migrate
from storage.shards.store import DirectoryAway, MapExists, ShardMapStore

__all__ = ["Stack", "StackOptions"]

ORPHAN_SECONDS_MAX = 10.0


def silent(_event: str) -> None:
    """Tell nobody."""


class Stack:
    """A running stack. `start` and `stop` it, or use it as a context manager."""

    def __init__(self, options: StackOptions, on_event: Callable[[str], None] = silent) -> None:
        self.options = options
        self._on_event = on_event
        self._folder = folder.Folder(options.data_dir.resolve())
        self._lock = folder.Lock(self._folder)
        self._supervisor = self._new_supervisor()
        self._ports: dict[str, int] = {}
        self._held_ports = ExitStack()
        self._started_at: datetime | None = None
        self._endpoints: folder.Endpoints | None = None
        self._failovers: list[failover.Failover] = []

    @property
    def endpoints(self) -> folder.Endpoints:
        assert self._endpoints is not None, "the stack was not started"
        return self._endpoints

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # Life

    def start(self) -> None:
        """Bring everything up; what came up is taken down again when something does not.

        Raises FolderBusy, BadLayout, PortTaken or StartFailed with a message for people.
        """
        self._folder.create()
        self._lock.acquire()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _new_supervisor(self) -> supervisor.Supervisor:
        return supervisor.Supervisor(self._on_event, self._write_state)

    def _start(self) -> None:
        self._supervisor = self._new_supervisor()
        layout.require_same(self._folder, self.options.layout())
        self._end_orphans()
        self._started_at = folder.now()
        self._ports = ports.choose(self.options.port_names(), self.options.ports, self._held_ports)
        roles_now = roles.Roles(self._folder.root, self.options)
        below = engines.Engines(
            self.options, self._folder, self._ports, self._supervisor, roles_now, self._on_event
        )
        self._endpoints = below.start()
        self._folder.write_endpoints(self.endpoints)
        if self.options.migrations is not None:
            self._prepare_databases(self.options.migrations)
            self._prepare_topics()
            self._prepare_services()
        below.await_replicas(self._endpoints)
        if self.options.with_servers:
            self._start_servers(below)
        for name in self._supervisor.names():
            self._supervisor.await_ready(name)
        if self.options.promotes:
            self._watch_primaries(below)

    def _watch_primaries(self, below: engines.Engines) -> None:
        """Let standbys take over from now on."""
        self._supervisor.hold(below.roles.primaries())

        def promoted() -> None:
            before = self.endpoints
            self._endpoints = below.endpoints(before.redis_url, before.kafka_bootstrap)
            self._folder.write_endpoints(self.endpoints)

        for number in range(self.options.servers):
            watch = failover.Failover(below, self._supervisor, number, self._on_event, promoted)
            self._failovers.append(watch)
            watch.start()

    def stop(self) -> None:
        """Stop everything in reverse order; safe to call twice."""
        while self._failovers:
            self._failovers.pop().stop()
        self._supervisor.stop_all()
        self._held_ports.close()
        postgres.drop_socket_folder(self._folder.root)
        self._folder.state.unlink(missing_ok=True)
        self._lock.release()

    def _end_orphans(self) -> None:
        """End what a killed stack left behind here; Postgres does so itself in `prepare`."""
        state = folder.read_state(self._folder.root)
        if state is not None:
            others = [
                child
                for name, child in state.children.items()
                if not name.startswith(("postgres", "replica"))
            ]
            processes.end(others, signal.SIGTERM, ORPHAN_SECONDS_MAX)

    # Schema and servers

    def _prepare_databases(self, migrations: Path) -> None:
        """Schema first, since it brings the group roles; then logins; then a key to call with."""
        logins = [
            (
                engines.PROCESSOR_LOGIN,
                self._folder.secret("processor_password"),
                engines.PROCESSOR_GROUP,
            ),
            (engines.QUERY_LOGIN, self._folder.secret("query_password"), engines.QUERY_GROUP),
            (engines.RELAY_LOGIN, self._folder.secret("relay_password"), engines.RELAY_GROUP),
        ]
        for shard in self.endpoints.shards:
            applied = database.run_async(migrate.migrate(shard.owner_url, migrations))
            self._on_event(f"schema of {shard.name} up to date ({len(applied)} migrations applied)")
            database.run_async(database.prepare_logins(shard.owner_url, logins))
        if self.options.tenant is not None:
            from deploy.local import devkey

            devkey.ensure(self.endpoints.owner_url, self._folder.secrets, self.options.tenant)
        if self.options.with_servers:
            database.run_async(self._write_first_map())

    def _prepare_topics(self) -> None:
        """The embedded broker makes them itself, and a given one is somebody else's."""
        if self.options.has_apache_kafka:
            self._supervisor.await_ready("kafka")
            changed = topics.prepare(self.endpoints.kafka_bootstrap)
            self._on_event(f"topics up to date ({changed} made)")

    def _prepare_services(self) -> None:
        """Give each its database, its schema and its login."""
        for name, service in self.endpoints.services.items():
            migrations = services.SERVICES[name].migrations
            if migrations is None:
                continue
            group = services.database_name(name)
            database.run_async(database.ensure_database(self.endpoints.owner_url, group))
            applied = database.run_async(migrate.migrate(service.owner_url, migrations))
            self._on_event(f"schema of {name} up to date ({len(applied)} migrations applied)")
            login = (services.login(name), self._folder.secret(f"{name}_password"), group)
            database.run_async(database.prepare_logins(service.owner_url, [login]))
            database.run_async(database.let_in(service.owner_url, group))

    async def _write_first_map(self) -> None:
        """Give the directory its first map; one that was changed since has the same shards."""
        first = self.options.layout().first_map()
        store = ShardMapStore(self.endpoints.owner_url)
        try:
            existing = await store.read()
            if existing is None:
                await store.write_first(first)
            elif existing.shards() != first.shards():
                raise supervisor.StartFailed(
                    f"the directory's shard map is of {', '.join(sorted(existing.shards()))}"
                )
        except (DirectoryAway, MapExists) as error:
            raise supervisor.StartFailed(f"the shard map was not written: {error}") from error
        finally:
            await store.close()

    def _start_servers(self, below: engines.Engines) -> None:
        endpoints, options = self.endpoints, self.options
        shards = self._write_shards(below)
        gateway_env = servers.gateway_environment(
            endpoints,
            options.region,
            workers=options.gateway_workers,
            reflection=options.reflection,
        )
        gateway_env["TENDER_SERVICES"] = services.gateway_setting(endpoints.services)
        for processor in endpoints.processors:
            own = self._processor_environment(processor, shards[0]) | dict(options.processor_env)
            self._add_server(processor.name, options.processor_module, processor.address, own)
        self._add_server(
            "gateway",
            options.gateway_module,
            endpoints.gateway,
            gateway_env | dict(options.gateway_env),
        )
        if options.relay:
            self._add_relay(below)
        for name in options.services:
            self._add_service(name)

    def _add_service(self, name: str) -> None:
        service, spec = self.endpoints.services[name], services.SERVICES[name]
        environment = self.service_environment(name)
        start = servers.service if service.address else servers.metrics_service
        where = service.address or service.metrics
        log = self._folder.log(name)
        niceness = supervisor.BEHIND_PAYMENTS
        self._supervisor.add(start(name, spec.module, where, environment, log, niceness=niceness))

    def service_environment(self, name: str) -> dict[str, str]:
        """What the process of a service is told."""
        service, spec = self.endpoints.services[name], services.SERVICES[name]
        return (
            servers.environment()
            | services.environment(service, self.endpoints.kafka_bootstrap)
            | {"TENDER_INTERNAL_TOKEN_FILE": str(self.endpoints.internal_token_file)}
            | dict(spec.environment)
            | {key: str(self._folder.secret_file(file)) for key, file in spec.secrets.items()}
            | self._of_lanes(spec)
            | dict(self.options.service_env.get(name, {}))
        )

    def _of_lanes(self, spec: services.Spec) -> dict[str, str]:
        """What a service is told that carries commands, and what it may do on a laptop."""
        if not spec.has_lanes:
            return {}
        targets = self.endpoints.processor_targets
        told = {
            "TENDER_PROCESSOR_TARGETS": ",".join(targets),
            "TENDER_REGION": self.options.region,
        }
        if not self.options.has_apache_kafka and self.options.kafka_bootstrap is None:
            # The embedded broker keeps nothing, and nobody expects it to.
            told["TENDER_ACCEPT_LOSS"] = "1"
        return told

    def _add_relay(self, below: engines.Engines) -> None:
        places = self.options.layout().places()
        shards = [
            {
                "shard": shard.name,
                "region": shard.region,
                "database_url": self._near(shard.relay_url, below, place.server),
            }
            for place, shard in zip(places, self.endpoints.shards, strict=True)
        ]
        folder.write_private(self._folder.relay_shards, json.dumps(shards, indent=2))
        environment = servers.relay_environment(
            self.endpoints, self.options.region, self._folder.relay_shards, self._folder.archive
        )
        self._supervisor.add(
            servers.metrics_service(
                "relay",
                "deploy.servers.relay",
                self.endpoints.relay_metrics,
                servers.environment() | environment | dict(self.options.relay_env),
                self._folder.log("relay"),
                niceness=supervisor.BEHIND_PAYMENTS,
            )
        )

    def _processor_environment(
        self, own: folder.ProcessorEndpoints, first: Mapping[str, Any]
    ) -> dict[str, str]:
        options = self.options
        return servers.processor_environment(
            self.endpoints,
            first["database_url"],
            first["query_database_url"],
            options.region,
            options.shard,
            self._folder.shards if options.shards > 1 else None,
            own,
            first["replica_database_urls"],
        )

    def _write_shards(self, below: engines.Engines) -> list[dict[str, Any]]:
        """Tell the processor where the shards are, whether or not it needs the file."""
        places = self.options.layout().places()
        shards = [
            {
                "shard": shard.name,
                "region": shard.region,
                "database_url": self._near(shard.processor_url, below, place.server),
                "query_database_url": self._near(shard.query_url, below, place.server),
                "replica_database_urls": below.standby_urls(place, shard),
            }
            for place, shard in zip(places, self.endpoints.shards, strict=True)
        ]
        folder.write_private(self._folder.shards, json.dumps(shards, indent=2))
        return shards

    def _add_server(self, name: str, module: str, target: str, env: dict[str, str]) -> None:
        environment = servers.environment() | env
        log = self._folder.log(name)
        self._supervisor.add(servers.service(name, module, target, environment, log))

    def _near(self, tcp_url: str, below: engines.Engines, server: int) -> str:
        """The embedded primary is reached through its Unix socket, which costs less than TCP.

        Where another may be promoted, all of them are named.
        """
        socket_folder = self.endpoints.postgres_socket_folder
        if socket_folder is None:
            return tcp_url
        if self.options.promotes:
            ports = below.member_ports(server)
            return database.sockets_url(tcp_url, str(socket_folder), ports)
        return database.socket_url(tcp_url, str(socket_folder))

    # Children

    def names(self) -> list[str]:
        """The children in the order in which they started."""
        return self._supervisor.names()

    def child(self, name: str) -> processes.Child:
        return self._supervisor.child(name)

    def alive(self) -> dict[str, bool]:
        """Which children run now."""
        return {name: self._supervisor.is_alive(name) for name in self._supervisor.names()}

    def log(self, name: str) -> Path:
        return self._folder.log(name)

    def start_one(self, name: str) -> None:
        """Start a child unless it runs, and wait until it answers."""
        self._supervisor.start(name)

    def stop_one(self, name: str) -> None:
        """Stop a child in order; it stays down until `start_one`."""
        self._supervisor.stop(name)

    def restart(self, name: str) -> None:
        self._supervisor.restart(name)

    def kill(
        self, name: str, number: signal.Signals = signal.SIGKILL, *, stay_down: bool = False
    ) -> None:
        """Signal a child as an accident would; SIGKILL and SIGSTOP reach every process of it."""
        self._supervisor.kill(name, number, stay_down=stay_down)

    # Watching

    def supervise(self) -> None:
        """One look at every child: call it a few times a second, or let `wait` do so."""
        self._supervisor.supervise()

    def supervise_in_background(self) -> None:
        self._supervisor.supervise_in_background()

    def wait(self, announce: Callable[[], None] | None = None) -> signal.Signals:
        """Supervise until SIGINT or SIGTERM arrives and return it; for the main thread.

        `announce` says that the stack is up; whoever hears it may stop the stack at once.
        """
        with _signals(signal.SIGINT, signal.SIGTERM) as (arrived, received):
            if announce is not None:
                announce()
            while not arrived.wait(supervisor.SUPERVISE_PAUSE_SECONDS):
                self.supervise()
            return received[0]

    def _write_state(self, children: Mapping[str, processes.Identity]) -> None:
        assert self._started_at is not None
        [myself] = processes.identify([os.getpid()])
        self._folder.write_state(
            folder.State(
                supervisor=myself,
                children=dict(children),
                ports=self._ports,
                region=self.options.region,
                shard=self.options.shard,
                started_at=self._started_at,
                endpoints_file=self._folder.endpoints,
                api_key_file=self._folder.secrets / "dev_api_key",
            )
        )


@contextlib.contextmanager
def _signals(
    *numbers: signal.Signals,
) -> Iterator[tuple[threading.Event, list[signal.Signals]]]:
    """Catch the signals meanwhile: an event that one arrived, and which."""
    arrived = threading.Event()
    received: list[signal.Signals] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        arrived.set()

    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield arrived, received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

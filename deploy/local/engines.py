"""Starts what Tender stands on, embedded or given, and knows where each of it is reached."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from deploy.local import (
    database,
    folder,
    kafka,
    layout,
    ports,
    postgres,
    roles,
    servers,
    services,
    supervisor,
    valkey,
)
from deploy.local.kafka import apache, embedded, jars
from deploy.local.options import StackOptions

EXTERNAL_SECONDS_MAX = 10.0
CATCH_UP_SECONDS_MAX = 30.0

# Login roles of the servers and the group role that the migrations grant rights to.
PROCESSOR_LOGIN, PROCESSOR_GROUP = "tender_processor", "tender_lane"
QUERY_LOGIN, QUERY_GROUP = "tender_query", "tender_reader"
RELAY_LOGIN, RELAY_GROUP = "tender_relay", "tender_publisher"


@dataclass(frozen=True)
class Engines:
    """Postgres with its replicas, Valkey and Kafka of one stack."""

    options: StackOptions
    data: folder.Folder
    port: Mapping[str, int]
    children: supervisor.Supervisor
    roles: roles.Roles
    say: Callable[[str], None]

    def start(self) -> folder.Endpoints:
        """Start them; Postgres answers on return, the others come up meanwhile."""
        primaries = self._add_primaries()
        redis_url = self._add_valkey() if self.options.redis_url is None else self.options.redis_url
        bootstrap = self.options.kafka_bootstrap or self._add_kafka()
        self._await_given()
        for number, primary in enumerate(primaries):
            self._prepare_primary(number, primary)
            self._add_replicas(number)
        return self.endpoints(redis_url, bootstrap)

    def _await_given(self) -> None:
        """Wait for those that are not ours, so that a wrong address is noticed here."""
        given = (
            ("postgres", database.probe, self.options.postgres_url),
            ("valkey", valkey.probe, self.options.redis_url),
            ("kafka", kafka.probe, self.options.kafka_bootstrap),
        )
        for name, probe, address in given:
            if address is not None:
                _await(f"the given {name}", functools.partial(probe, address), EXTERNAL_SECONDS_MAX)

    def _add_valkey(self) -> str:
        port, password = self.port["valkey"], self.data.secret("valkey_password")
        self.children.add(
            valkey.service(
                self.data.root / "valkey",
                port,
                password,
                self.data.log("valkey"),
                valkey.embedded_program(),
            )
        )
        return valkey.url(port, password)

    def _add_kafka(self) -> str:
        port, log = self.port["kafka"], self.data.log("kafka")
        if self.options.has_apache_kafka:
            service = apache.service(
                self.data.root / "kafka",
                port,
                self.port["kafka_controller"],
                log,
                jars.fetch(self.say),
            )
        else:
            service = embedded.service(port, servers.environment(), log)
        self.children.add(service)
        return f"{ports.LOOPBACK}:{port}"

    def _add_primaries(self) -> list[postgres.Server]:
        """Start the primaries, none if a Postgres is given."""
        names = self.options.primary_names()
        if names:
            postgres.make_socket_folder(postgres.socket_folder(self.data.root))
        primaries = [self.primary(number) for number in range(len(names))]
        for number, primary in enumerate(primaries):
            self._add(number, primary.name)
        return primaries

    def _add(self, number: int, name: str) -> None:
        """Start a server in the role that it has at this and at every later start."""
        service = self.member(number, name).service()

        def prepare() -> None:
            postgres.prepare(self.member(number, name))

        self.children.add(dataclasses.replace(service, prepare=prepare))

    def primary(self, number: int) -> postgres.Server:
        """The server that takes the writes."""
        return self.member(number, self.roles.primary(number))

    def member(self, number: int, name: str) -> postgres.Server:
        """A server in its present role."""
        primary = self.roles.primary(number)
        follows = None if name == primary else self._postgres_server(number, primary, None)
        return self._postgres_server(number, name, follows)

    def _prepare_primary(self, number: int, primary: postgres.Server) -> None:
        self.children.await_ready(primary.name)
        # A failover that was interrupted had chosen it already.
        database.promote(primary.maintenance_url)
        replicas = [self.member(number, name) for name in self.roles.standbys(number)]
        database.run_async(
            database.prepare_server(
                primary.maintenance_url,
                self.options.layout().databases_of(number),
                (postgres.REPLICATION, primary.replication_password),
                [replica.slot for replica in replicas],
            )
        )

    def _add_replicas(self, number: int) -> None:
        for name in self.roles.standbys(number):
            self._add(number, name)

    def await_replicas(self, endpoints: folder.Endpoints) -> None:
        """Wait until the replicas show what the primary holds now: its logins and its schema."""
        for place, shard in zip(self.options.layout().places(), endpoints.shards, strict=True):
            names = self._standbys(place.server)
            reached = database.position(shard.owner_url) if names else ""
            for name, dsn in zip(names, shard.replica_urls, strict=True):
                self.children.await_ready(name)
                owner_url = database.at(shard.owner_url, database.where(dsn))
                caught_up = functools.partial(database.probe_replayed, owner_url, reached)
                _await(name, caught_up, CATCH_UP_SECONDS_MAX)

    def _standbys(self, number: int) -> Sequence[str]:
        """Of one embedded Postgres; a given one brings its own or none."""
        return self.roles.standbys(number) if self.options.primary_names() else []

    def _postgres_server(
        self, number: int, name: str, follows: postgres.Server | None
    ) -> postgres.Server:
        others = [other for other in self.roles.members(number) if other != name]
        return postgres.Server(
            name=name,
            data=self.data.root / name,
            port=self.port[name],
            log=self.data.log(name),
            programs=self.options.postgres_programs or postgres.embedded_programs(),
            socket_folder=postgres.socket_folder(self.data.root),
            owner_password=self.data.secret("owner_password"),
            replication_password=self.data.secret("replication_password"),
            settings=self.options.postgres_settings,
            follows=follows,
            confirmed_by=others if self.options.synchronous else (),
        )

    def endpoints(self, redis_url: str, bootstrap: str) -> folder.Endpoints:
        """Where everything is reached, as the roles are now."""
        primaries = [self.primary(number) for number in range(len(self.options.primary_names()))]
        address = {name: f"{ports.LOOPBACK}:{port}" for name, port in self.port.items()}
        shards = [self._shard(place, primaries) for place in self.options.layout().places()]
        first = shards[0]
        return folder.Endpoints(
            gateway=address["gateway"],
            processor=address["processor"],
            gateway_metrics=address["gateway_metrics"],
            processor_metrics=address["processor_metrics"],
            relay_metrics=address.get("relay_metrics", ""),
            services={
                name: services.endpoints(
                    name,
                    first.owner_url,
                    self.data.secret(f"{name}_password"),
                    address[name],
                    address[f"{name}_metrics"],
                )
                for name in self.options.services
            },
            owner_url=first.owner_url,
            processor_url=first.processor_url,
            query_url=first.query_url,
            replica_urls=first.replica_urls,
            redis_url=redis_url,
            kafka_bootstrap=bootstrap,
            internal_token_file=self.data.secret_file("internal_token"),
            api_key_pepper_file=self.data.secret_file("api_key_pepper"),
            api_key_file=self.data.secrets / "dev_api_key",
            postgres_socket_folder=primaries[0].socket_folder if primaries else None,
            postgres_programs=primaries[0].programs if primaries else None,
            shards=tuple(shards),
            processors=tuple(
                folder.ProcessorEndpoints(name, address[name], address[f"{name}_metrics"])
                for name in self.options.processor_names()
            ),
        )

    def _shard(
        self, place: layout.Place, primaries: Sequence[postgres.Server]
    ) -> folder.ShardEndpoints:
        given = self.options.postgres_url
        owner_url = given or primaries[place.server].owner_url(place.database)
        query_url = self._login_url(owner_url, QUERY_LOGIN, "query_password")
        replicas = self._standbys(place.server)
        return folder.ShardEndpoints(
            name=place.name,
            region=place.region,
            owner_url=owner_url,
            processor_url=self._login_url(owner_url, PROCESSOR_LOGIN, "processor_password"),
            query_url=query_url,
            relay_url=self._login_url(owner_url, RELAY_LOGIN, "relay_password"),
            replica_urls=tuple(
                database.at(query_url, f"{ports.LOOPBACK}:{self.port[name]}") for name in replicas
            ),
        )

    def member_ports(self, number: int) -> Sequence[int]:
        """The ports of all servers among which the primary is, whichever it is."""
        return [self.port[name] for name in self.roles.members(number)]

    def standby_urls(self, place: layout.Place, shard: folder.ShardEndpoints) -> Sequence[str]:
        """Where a shard is read: its standbys, or all that may be one after a promotion."""
        if not self.options.promotes:
            return shard.replica_urls
        names = self.roles.members(place.server)
        return [
            database.at(shard.query_url, f"{ports.LOOPBACK}:{self.port[name]}") for name in names
        ]

    def _login_url(self, owner_url: str, login: str, secret: str) -> str:
        return database.with_login(owner_url, login, self.data.secret(secret))


def _await(name: str, probe: Callable[[], None], seconds_max: float) -> None:
    try:
        supervisor.await_probe(probe, seconds_max)
    except supervisor.NotReady as reason:
        raise supervisor.StartFailed(f"{name} does not answer: {reason}") from reason

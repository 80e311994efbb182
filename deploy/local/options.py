"""What a stack is to be made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from deploy.local.layout import BadLayout, Layout, primary_name, replica_name
from storage import migrate

DEVELOPMENT_TENANT = "dev"
REPLICAS_SYNCHRONOUS_MIN = 2  # With one, its end would be that of every payment.

# Librdkafka's mock cluster in memory, or Apache Kafka itself, which needs Java and Maven.
Kafka = Literal["embedded", "apache"]


@dataclass(frozen=True)
class StackOptions:
    """What a stack is to be made of; the defaults give everything embedded and on free ports.

    A URL or bootstrap list takes the place of the embedded server of that kind. Ports are by name:
    postgres, replica1, ..., valkey, kafka, processor, gateway, processor_metrics, gateway_metrics,
    relay_metrics, and of a service its name and NAME_metrics; with Apache Kafka also
    kafka_controller; of further Postgres servers postgres2, postgres2-replica1, ..., and of further
    processors processor2, processor2_metrics, ...

    Shards are s1, s2, ...; regions and Postgres servers get them in turn. Raises BadLayout.
    """

    data_dir: Path
    shards: int = 1
    regions: tuple[str, ...] = ("eu",)
    servers: int = 1  # Of Postgres, each with its replicas.
    replicas: int = 1
    processors: int = 1  # They share the lanes.
    failover: bool = False  # Promote a standby when its primary dies, instead of restarting that.
    synchronous: bool = False  # Acknowledge only what a standby has too; implies failover.
    ports: Mapping[str, int] = field(default_factory=dict)
    postgres_url: str | None = field(default=None, repr=False)
    redis_url: str | None = field(default=None, repr=False)
    kafka_bootstrap: str | None = None
    kafka: Kafka = "embedded"
    postgres_settings: Mapping[str, str] = field(default_factory=dict)
    postgres_programs: Path | None = None  # Another build than the wheel's.
    gateway_workers: int = 1
    reflection: bool = True
    processor_env: Mapping[str, str] = field(default_factory=dict, repr=False)
    gateway_env: Mapping[str, str] = field(default_factory=dict, repr=False)
    relay: bool = False  # Publish what is committed to Kafka.
    relay_env: Mapping[str, str] = field(default_factory=dict, repr=False)
    services: Sequence[str] = ()  # Those behind Kafka, by name; see services.SERVICES.
    service_env: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    with_servers: bool = True
    # None leaves the database empty: no schema, no logins of the servers, no key.
    migrations: Path | None = migrate.MIGRATIONS
    # None makes no development key.
    tenant: str | None = DEVELOPMENT_TENANT
    processor_module: str = "deploy.servers.processor"
    gateway_module: str = "deploy.servers.gateway"

    def __post_init__(self) -> None:
        if self.postgres_url is not None and self.shards > 1:
            raise BadLayout("several shards need the embedded Postgres")
        if self.processors < 1:
            raise BadLayout("a stack needs a processor")
        if self.promotes and (self.postgres_url is not None or self.replicas < 1):
            raise BadLayout("failover needs an embedded Postgres with replicas")
        if self.synchronous and self.replicas < REPLICAS_SYNCHRONOUS_MIN:
            raise BadLayout("acknowledging only what a standby has needs two replicas")
        self.layout()

    @property
    def promotes(self) -> bool:
        """Whether a standby takes over from a dead primary."""
        return self.failover or self.synchronous

    @property
    def has_apache_kafka(self) -> bool:
        """Whether a broker of its own keeps what it is given; a given one takes its place."""
        return self.kafka == "apache" and self.kafka_bootstrap is None

    @property
    def region(self) -> str:
        """Of the first shard."""
        return self.regions[0]

    @property
    def shard(self) -> str:
        """The first one."""
        return self.layout().places()[0].name

    def layout(self) -> Layout:
        """Which shards there are, and where."""
        return Layout(self.shards, self.regions, self.servers)

    def primary_names(self) -> list[str]:
        """The embedded Postgres servers; a given one takes their place."""
        if self.postgres_url is not None:
            return []
        return [primary_name(server) for server in range(self.servers)]

    def replica_names(self, server: int = 0) -> list[str]:
        """Of one embedded Postgres; a given one brings its own or none."""
        if self.postgres_url is not None:
            return []
        return [replica_name(server, number + 1) for number in range(self.replicas)]

    def processor_names(self) -> list[str]:
        """The processors: processor, processor2, ..."""
        return [f"processor{number or ''}" for number in (0, *range(2, self.processors + 1))]

    def port_names(self) -> list[str]:
        """What needs a port: the embedded engines, and our own servers."""
        embedded = {
            "valkey": self.redis_url is None,
            "kafka": self.kafka_bootstrap is None,
            "kafka_controller": self.has_apache_kafka,
        }
        postgres = self.primary_names()
        for server in range(self.servers):
            postgres += self.replica_names(server)
        servers = [*self.processor_names(), "gateway"]
        metrics = [f"{name}_metrics" for name in servers]
        if self.relay:
            metrics.append("relay_metrics")
        behind = [name for service in self.services for name in (service, f"{service}_metrics")]
        return [
            *postgres,
            *(name for name in embedded if embedded[name]),
            *servers,
            *metrics,
            *behind,
        ]

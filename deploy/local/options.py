"""What a stack is to be made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from storage import migrate

DEVELOPMENT_TENANT = "dev"


@dataclass(frozen=True)
class StackOptions:
    """What a stack is to be made of; the defaults give everything embedded and on free ports.

    A URL or bootstrap list takes the place of the embedded server of that kind. Ports are by name:
    postgres, replica1, ..., valkey, kafka, processor, gateway, processor_metrics, gateway_metrics.
    """

    data_dir: Path
    region: str = "eu"
    shard: str = "s1"
    replicas: int = 1
    ports: Mapping[str, int] = field(default_factory=dict)
    postgres_url: str | None = field(default=None, repr=False)
    redis_url: str | None = field(default=None, repr=False)
    kafka_bootstrap: str | None = None
    postgres_settings: Mapping[str, str] = field(default_factory=dict)
    postgres_programs: Path | None = None  # Another build than the wheel's.
    gateway_workers: int = 1
    reflection: bool = True
    processor_env: Mapping[str, str] = field(default_factory=dict, repr=False)
    gateway_env: Mapping[str, str] = field(default_factory=dict, repr=False)
    with_servers: bool = True
    # None leaves the database empty: no schema, no logins of the servers, no key.
    migrations: Path | None = migrate.MIGRATIONS
    # None makes no development key.
    tenant: str | None = DEVELOPMENT_TENANT
    processor_module: str = "deploy.servers.processor"
    gateway_module: str = "deploy.servers.gateway"

    def replica_names(self) -> list[str]:
        """Of the embedded Postgres; a given one brings its own or none."""
        if self.postgres_url is not None:
            return []
        return [f"replica{number}" for number in range(1, self.replicas + 1)]

    def port_names(self) -> list[str]:
        """What needs a port: the embedded engines, and our own two servers."""
        embedded = {
            "postgres": self.postgres_url is None,
            "valkey": self.redis_url is None,
            "kafka": self.kafka_bootstrap is None,
        }
        servers = ["processor", "gateway", "processor_metrics", "gateway_metrics"]
        return [name for name in embedded if embedded[name]] + self.replica_names() + servers

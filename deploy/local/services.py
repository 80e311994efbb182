"""The services behind Kafka, as a stack runs them: each with a database, a role and a port."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import services
from deploy.local import database, folder
from storage import migrate

_PACKAGES: Final = Path(services.__file__).parent


@dataclass(frozen=True)
class Spec:
    """What a service needs to run."""

    module: str
    """Of its process."""
    migrations: Path | None
    """Of its database; None for one that has none."""
    answers: bool = True
    """Whether gateways hand calls on to it."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What it is told besides."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """By setting, the name of the secret whose file it is told."""
    has_lanes: bool = False
    """Whether it carries commands to the processors' lanes."""


SERVICES: Final[dict[str, Spec]] = {
    "reporting": Spec("deploy.servers.reporting", _PACKAGES / "reporting" / "migrations"),
    "notifications": Spec(
        "deploy.servers.notifications", _PACKAGES / "notifications" / "migrations"
    ),
    "webhooks": Spec(
        "deploy.servers.webhooks",
        _PACKAGES / "webhooks" / "migrations",
        environment={
            "TENDER_ENVIRONMENT": "development",
            # So that `tender webhooks listen` hears of something.
            "TENDER_WEBHOOKS_ALLOW_LOOPBACK": "true",
        },
        secrets={"TENDER_WEBHOOKS_KEYS_FILE": "webhooks_keys"},
    ),
    "operations": Spec("deploy.servers.operations", migrate.OPERATION_MIGRATIONS, has_lanes=True),
}
"""By name. A service's database is tender_NAME, its group of rights too, its login
tender_NAME_server, and its section of the settings NAME."""


def names() -> tuple[str, ...]:
    """All that there are."""
    return tuple(SERVICES)


def database_name(name: str) -> str:
    """The name of a service's database, which is that of its group of rights too."""
    return f"tender_{name}"


def login(name: str) -> str:
    """The name of the role that a service logs in with."""
    return f"tender_{name}_server"


def endpoints(
    name: str, owner_url: str, password: str, address: str, metrics: str
) -> folder.ServiceEndpoints:
    """Where a service is reached, and its database; `owner_url` is of any of the same server."""
    spec = SERVICES[name]
    own = database.named(owner_url, database_name(name)) if spec.migrations else ""
    return folder.ServiceEndpoints(
        name=name,
        address=address if spec.answers else "",
        metrics=metrics,
        owner_url=own,
        database_url=database.with_login(own, login(name), password) if own else "",
    )


def environment(service: folder.ServiceEndpoints, kafka_bootstrap: str) -> dict[str, str]:
    """What a service's process is told."""
    told = {
        "TENDER_KAFKA_BOOTSTRAP": kafka_bootstrap,
        "TENDER_METRICS_LISTEN": service.metrics,
        "TENDER_DATABASE_URL": service.database_url,
        "TENDER_LISTEN": service.address,
    }
    return {name: value for name, value in told.items() if value}


def gateway_setting(found: Mapping[str, folder.ServiceEndpoints]) -> str:
    """What TENDER_SERVICES tells the gateway."""
    return ",".join(
        f"{name}={service.address}" for name, service in sorted(found.items()) if service.address
    )

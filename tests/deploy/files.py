"""What deploy/ has for container engines, read once, and how its parts refer to each other."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from kit import settings
from scripts import kustomization
from scripts.kustomization import Manifest

ROOT: Final = Path(__file__).parent.parent.parent
DEPLOY: Final = ROOT / "deploy"
OVERLAYS: Final = ("base", "overlays/example")
SERVERS: Final[Mapping[str, type[settings.Settings]]] = {
    "deploy.servers.gateway": settings.GatewaySettings,
    "deploy.servers.processor": settings.ProcessorSettings,
    "deploy.servers.relay": settings.RelaySettings,
    "deploy.servers.notifications": settings.NotificationSettings,
    "deploy.servers.webhooks": settings.WebhookSettings,
    "deploy.servers.reporting": settings.ReportingSettings,
    "deploy.servers.operations": settings.OperationSettings,
}
SECRET_MOUNTS: Final = "/run/secrets"


@cache
def compose() -> Manifest:
    content: Manifest = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return content


def services() -> dict[str, Manifest]:
    found: dict[str, Manifest] = compose()["services"]
    return found


@cache
def overlay(name: str) -> tuple[Manifest, ...]:
    return tuple(kustomization.build(DEPLOY / "k8s" / name))


def of_kind(kind: str, name: str = "base") -> dict[str, Manifest]:
    """Return the objects of a kind by their names."""
    return {each["metadata"]["name"]: each for each in overlay(name) if each["kind"] == kind}


def workloads(name: str = "base") -> dict[str, Manifest]:
    """Return the objects that make pods."""
    return {
        each["metadata"]["name"]: each for each in overlay(name) if kustomization.containers(each)
    }


def pod(workload: Manifest) -> Manifest:
    template: Manifest = workload["spec"]["template"]
    return template


def container(workload: Manifest) -> Manifest:
    (only,) = kustomization.containers(workload)
    return only


def environment(of: Manifest) -> dict[str, str]:
    """Return the variables of a container that have a value written down."""
    return {each["name"]: each["value"] for each in of.get("env", []) if "value" in each}


def servers() -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield each place that runs a server of ours: its name, the module, its variables."""
    for name, service in services().items():
        if (module := (service.get("command") or [""])[0]) in SERVERS:
            yield f"compose {name}", module, service["environment"]
    for folder in OVERLAYS:
        for name, workload in workloads(folder).items():
            one = container(workload)
            if (module := one.get("args", [""])[0]) in SERVERS:
                yield f"{folder} {name}", module, environment(one)


@contextlib.contextmanager
def loaded(module: str, variables: Mapping[str, str], folder: Path) -> Iterator[settings.Settings]:
    """Load a server's settings from these variables alone, with files in place of its secrets."""
    given = {name: value for name, value in variables.items() if name.startswith(settings.PREFIX)}
    for name, path in given.items():
        if name.endswith("_FILE"):
            secret = folder / Path(path).name
            secret.write_text(SECRETS[secret.name])
            given[name] = str(secret)
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update({"PATH": before["PATH"], **given})
    try:
        yield SERVERS[module].load()
    finally:
        os.environ.clear()
        os.environ.update(before)


SECRETS: Final = {
    "internal_token": "5" * 64,
    "api_key_pepper": "7" * 64,
    "database_url": "postgresql://lane:x@primary:5432/tender",
    "relay_database_url": "postgresql://relay:x@primary:5432/tender",
    "notifications_database_url": "postgresql://notifications:x@primary:5432/tender_notifications",
    "webhooks_database_url": "postgresql://webhooks:x@primary:5432/tender_webhooks",
    "webhooks_keys": "6" * 64,
    "reporting_database_url": "postgresql://reporting:x@primary:5432/tender_reporting",
    "operations_database_url": "postgresql://operations:x@primary:5432/tender_operations",
    "query_database_url": "postgresql://reader:x@primary:5432/tender",
    "replica_database_urls": "postgresql://reader:x@standby:5432/tender",
}


def host_and_port(url: str) -> tuple[str, int]:
    """Return where a URL or an address without a scheme leads."""
    where = url.partition("://")[2] or url
    host, _, port = where.partition("/")[0].rpartition("@")[2].rpartition(":")
    return host, int(port)


def published(service: Manifest) -> dict[int, int]:
    """Return the ports of a service that the host shows, with those inside."""
    shown: dict[int, int] = {}
    for port in service.get("ports", []):
        *_, outside, inside = port.split(":")
        shown[int(outside)] = int(inside)
    return shown


def strings(of: Any) -> Iterator[str]:
    """Yield every text in a document."""
    match of:
        case str():
            yield of
        case dict():
            for key, value in of.items():
                yield from strings(key)
                yield from strings(value)
        case list():
            for value in of:
                yield from strings(value)

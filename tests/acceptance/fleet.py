"""Two processors and two gateways whose versions are replaced one by one, as in an upgrade."""

import dataclasses
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from deploy.local import folder, ports, servers, supervisor
from tests.acceptance.versions import Version

PROCESSORS: Final = ("processor1", "processor2")
GATEWAYS: Final = ("gateway1", "gateway2")
SERVERS: Final = PROCESSORS + GATEWAYS

PATIENCE_SECONDS: Final = 90.0
"""Until a server has come or gone, while three others and their clients share a busy machine."""


class Fleet:
    """Servers at fixed addresses. They have only settings that both versions know."""

    def __init__(self, endpoints: folder.Endpoints, region: str, logs: Path) -> None:
        self._held_ports = ExitStack()
        names = [*SERVERS, *(f"{name}_metrics" for name in SERVERS)]
        chosen = ports.choose(names, {}, self._held_ports)
        self.targets = {name: f"{ports.LOOPBACK}:{port}" for name, port in chosen.items()}
        self._logs = logs
        self._common = _common(endpoints, region, [self.targets[name] for name in PROCESSORS])
        self._children = supervisor.Supervisor(lambda _event: None, lambda _who: None)

    def start(self, name: str, version: Version) -> None:
        """Start a server of this version and wait until it serves."""
        kind = "gateway" if name in GATEWAYS else "processor"
        target = self.targets[name]
        own = {
            f"TENDER_{kind.upper()}_LISTEN": target,
            "TENDER_METRICS_LISTEN": self.targets[f"{name}_metrics"],
        }
        environment = version.environment() | self._common[kind] | own
        log = self._logs / f"{name}-{version.name}.log"
        service = servers.service(name, f"deploy.servers.{kind}", target, environment, log)
        patient = dataclasses.replace(
            service, start_seconds_max=PATIENCE_SECONDS, stop_seconds_max=PATIENCE_SECONDS
        )
        self._children.add(patient)
        self._children.await_ready(name)

    def replace(self, name: str, version: Version) -> None:
        """Stop a server in order, and start this version in its place."""
        self._children.stop(name)
        self.start(name, version)

    def stop(self) -> None:
        self._children.stop_all()
        self._held_ports.close()


def _common(
    endpoints: folder.Endpoints, region: str, processors: list[str]
) -> Mapping[str, dict[str, str]]:
    """Return what all servers of a kind are told."""
    both = {
        "TENDER_INTERNAL_TOKEN_FILE": str(endpoints.internal_token_file),
        "TENDER_REDIS_URL": endpoints.redis_url,
        "TENDER_REGION": region,
    }
    return {
        "processor": both
        | {
            "TENDER_DATABASE_URL": endpoints.processor_url,
            "TENDER_QUERY_DATABASE_URL": endpoints.query_url,
            "TENDER_PEER_TARGETS": ",".join(processors),
            "TENDER_SHARD": "s1",
        },
        "gateway": both
        | {
            "TENDER_API_KEY_PEPPER_FILE": str(endpoints.api_key_pepper_file),
            "TENDER_PROCESSOR_TARGETS": ",".join(processors),
        },
    }

"""Whoever stops a server waits longer than the server takes to end what is under way."""

import re
from pathlib import Path

import pytest

from gateway import identity
from kit import settings
from services.notifications import worker
from services.webhooks import sending
from tests.deploy import files

ATTEMPT_SECONDS = sending.SECONDS_MAX + sending.ANSWER_SECONDS_MAX
SPARE_SECONDS = 5.0
"""For what follows the drain: connections closed, the lane handed over, logs written."""


def stop_seconds(loaded: settings.Settings) -> float:
    """How long a server may take by its settings."""
    if isinstance(loaded, settings.GatewaySettings):
        return loaded.quiet_seconds + loaded.drain_seconds + identity.LOOKUP_TIMEOUT_SECONDS
    if isinstance(loaded, settings.ServiceSettings):
        # Consumers, what they leave to be ended, and calls: one after the other.
        under_way = ATTEMPT_SECONDS
        if isinstance(loaded, settings.NotificationSettings):
            under_way = worker.STOP_SECONDS_MAX
        return 2 * loaded.drain_seconds + under_way
    assert isinstance(loaded, settings.ProcessorSettings | settings.RelaySettings)
    return loaded.drain_seconds


@pytest.mark.parametrize("name", files.OVERLAYS)
@pytest.mark.parametrize(
    "server",
    ["gateway", "processor", "relay", "notifications", "webhooks", "reporting", "operations"],
)
def test_a_pod_has_more_time_than_its_server_takes(server: str, name: str, tmp_path: Path) -> None:
    workload = files.workloads(name)[server]
    container = files.container(workload)
    hook = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)

    with files.loaded(container["args"][0], files.environment(container), tmp_path) as loaded:
        needed = hook + stop_seconds(loaded) + SPARE_SECONDS
        grace = files.pod(workload)["spec"]["terminationGracePeriodSeconds"]
        liveness = container["livenessProbe"]

    assert grace > needed
    # A pod that drains says NOT_SERVING: the liveness probe must not find it dead meanwhile.
    assert liveness["periodSeconds"] * liveness["failureThreshold"] > needed


def test_compose_has_more_time_than_each_server_takes(tmp_path: Path) -> None:
    for service in files.services().values():
        if (module := (service.get("command") or [""])[0]) not in files.SERVERS:
            continue
        with files.loaded(module, service["environment"], tmp_path) as loaded:
            needed = stop_seconds(loaded) + SPARE_SECONDS
        found = re.fullmatch(r"(\d+)s", service["stop_grace_period"])
        assert found is not None
        assert int(found[1]) > needed


def test_a_gateway_drains_longer_than_its_longest_call(tmp_path: Path) -> None:
    container = files.container(files.workloads()["gateway"])

    with files.loaded(container["args"][0], files.environment(container), tmp_path) as loaded:
        assert isinstance(loaded, settings.GatewaySettings)
        assert loaded.drain_seconds * 1_000 > loaded.write_timeout_ms

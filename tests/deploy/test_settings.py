"""Every setting that a file gives exists, and the server takes the value."""

from pathlib import Path
from typing import Any

import pytest

from kit import settings
from tests.deploy import files

SERVERS = list(files.servers())
every_server = pytest.mark.parametrize(
    ("module", "variables"),
    [(module, variables) for _, module, variables in SERVERS],
    ids=[name for name, _, _ in SERVERS],
)


def as_written(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case list():
            return ",".join(value)
        case _:
            return str(value)


def test_both_servers_are_in_compose_and_in_each_overlay() -> None:
    places = {name.split()[0] for name, _, _ in SERVERS}

    assert places == {"compose", *files.OVERLAYS}
    for place in places:
        assert {m for name, m, _ in SERVERS if name.startswith(place)} == set(files.SERVERS)


@every_server
def test_every_setting_given_exists(module: str, variables: dict[str, str]) -> None:
    fields = files.SERVERS[module].model_fields
    known = {f"{settings.PREFIX}{name.upper()}" for name in fields}
    known |= {
        f"{settings.PREFIX}{name.upper()}_FILE"
        for name, field in fields.items()
        if "secret" in field.metadata
    }

    given = {name for name in variables if name.startswith(settings.PREFIX)}

    assert given - known == set()


@every_server
def test_the_server_takes_what_is_given(
    module: str, variables: dict[str, str], tmp_path: Path
) -> None:
    with files.loaded(module, variables, tmp_path) as loaded:
        if not isinstance(loaded, settings.RelaySettings):  # It calls nobody of ours.
            assert len(loaded.internal_token()) == 64
        shown = loaded.effective()

    for name, value in variables.items():
        field = name.removeprefix(settings.PREFIX).lower()
        if field in shown and not field.endswith("_file"):
            assert as_written(shown[field]) == value
    if isinstance(loaded, settings.ProcessorSettings):
        assert loaded.database_url == files.SECRETS["database_url"]
        assert loaded.query_database_url == files.SECRETS["query_database_url"]
        assert loaded.replica_database_urls == (files.SECRETS["replica_database_urls"],)


@every_server
def test_servers_of_a_place_agree_on_region_and_redis(
    module: str, variables: dict[str, str]
) -> None:
    assert {other["TENDER_REGION"] for _, _, other in SERVERS} == {variables["TENDER_REGION"]}
    if module in ("deploy.servers.gateway", "deploy.servers.processor"):  # Who have a use for it.
        assert variables["TENDER_REDIS_URL"].startswith("redis://redis:")


def test_a_gateway_knows_every_processor_that_is_started() -> None:
    module = "deploy.servers.processor"
    started = {
        service
        for service, each in files.services().items()
        if (each.get("command") or [""])[0] == module
    }
    replicas = files.of_kind("HorizontalPodAutoscaler")["processor"]["spec"]["maxReplicas"]
    pods = {f"processor-{number}.processor" for number in range(replicas)}

    for place, server, variables in SERVERS:
        if server == "deploy.servers.gateway":
            targets = variables["TENDER_PROCESSOR_TARGETS"].split(",")
            hosts = {files.host_and_port(target)[0] for target in targets}
            assert hosts == (started if place.startswith("compose") else pods), place


def test_processors_know_each_other_as_gateways_know_them() -> None:
    targets: dict[str, set[str]] = {}
    for place, server, variables in SERVERS:
        if server not in ("deploy.servers.gateway", "deploy.servers.processor"):
            continue  # It asks none of them.
        is_gateway = server == "deploy.servers.gateway"
        name = "TENDER_PROCESSOR_TARGETS" if is_gateway else "TENDER_PEER_TARGETS"
        targets.setdefault(place.split()[0], set()).add(variables[name])

    assert {place: len(found) for place, found in targets.items()} == dict.fromkeys(targets, 1)

"""Ports are the same wherever they are written: servers, probes, services, policies, Prometheus."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kit import addresses
from scripts import kustomization
from tests.deploy import files

PROMETHEUS = files.DEPLOY / "prometheus"
LISTEN = {
    "gateway": "TENDER_GATEWAY_LISTEN",
    "processor": "TENDER_PROCESSOR_LISTEN",
    "notifications": "TENDER_LISTEN",
    "webhooks": "TENDER_LISTEN",
    "reporting": "TENDER_LISTEN",
    "operations": "TENDER_LISTEN",
}
PIPE_LISTEN = "TENDER_PROCESSOR_PIPE_LISTEN"
ALONE = {f"deploy.servers.{name}" for name in ("relay", "notifications", "webhooks", "reporting")}
"""They ask for their database alone, whose place is a secret, and for Kafka."""
every_server = pytest.mark.parametrize("server", LISTEN)


def listens(variables: dict[str, str], name: str) -> int:
    host, port = addresses.host_and_port(variables[name])
    assert host == "0.0.0.0"
    return port


def in_compose(server: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, service in files.services().items():
        if (service.get("command") or [""])[0] == f"deploy.servers.{server}":
            yield name, service


@every_server
def test_a_pod_shows_and_probes_the_ports_that_its_server_has(server: str) -> None:
    container = files.container(files.workloads()[server])
    variables = files.environment(container)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}

    assert ports["grpc"] == listens(variables, LISTEN[server])
    assert ports["metrics"] == listens(variables, "TENDER_METRICS_LISTEN")
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["grpc"] == {"port": ports["grpc"]}


def test_processors_take_pipes_in_where_their_pods_and_the_image_say() -> None:
    container = files.container(files.workloads()["processor"])
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    pipe = listens(files.environment(container), PIPE_LISTEN)

    assert ports["pipe"] == pipe
    for _, service in in_compose("processor"):
        assert listens(service["environment"], PIPE_LISTEN) == pipe


@every_server
def test_a_service_of_compose_is_probed_and_published_where_its_server_listens(server: str) -> None:
    found = dict(in_compose(server))
    assert len(found) == (1 if LISTEN[server] == "TENDER_LISTEN" else 2)

    for service in found.values():
        port = listens(service["environment"], LISTEN[server])
        assert service["healthcheck"]["test"][-1] == f"127.0.0.1:{port}"
        assert set(files.published(service).values()) <= {port}


def test_the_image_names_the_ports_of_both_servers() -> None:
    text = (files.DEPLOY / "Dockerfile").read_text()
    (exposed,) = re.findall(r"^EXPOSE (.*)$", text, re.MULTILINE)
    wanted = {
        listens(variables, name)
        for _, _, variables in files.servers()
        for name in ("TENDER_METRICS_LISTEN", PIPE_LISTEN, *LISTEN.values())
        if name in variables
    }

    assert {int(port) for port in exposed.split()} == wanted
    for listen in re.findall(r'"(127\.0\.0\.1:\d+)"', text):
        assert addresses.host_and_port(listen)[1] in wanted


def test_a_service_leads_to_a_named_port_of_its_pods() -> None:
    for name, service in files.of_kind("Service").items():
        (workload,) = [
            each
            for each in files.workloads().values()
            if service["spec"]["selector"].items() <= files.pod(each)["metadata"]["labels"].items()
        ]
        ports = {port["name"]: port["containerPort"] for port in files.container(workload)["ports"]}
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"], name


def kubernetes_hosts() -> dict[str, set[int]]:
    """The names that a pod of ours may ask for, with their ports."""
    hosts = {
        name: {port["port"] for port in service["spec"]["ports"]}
        for name, service in files.of_kind("Service").items()
    }
    for name, workload in files.of_kind("StatefulSet").items():
        of = workload["spec"]["serviceName"]
        replicas = files.of_kind("HorizontalPodAutoscaler")[name]["spec"]["maxReplicas"]
        hosts |= {f"{name}-{number}.{of}": hosts[of] for number in range(replicas)}
    for name in files.of_kind("Cluster"):
        hosts |= {f"{name}-{role}": {5432} for role in ("rw", "ro", "r")}
    for name, kafka in files.of_kind("Kafka").items():
        ports = {listener["port"] for listener in kafka["spec"]["kafka"]["listeners"]}
        hosts[f"{name}-kafka-bootstrap"] = ports
    return hosts


def compose_hosts() -> dict[str, set[int]]:
    hosts = {"redis": {6379}, "postgres-primary": {5432}, "postgres-replica": {5432}}
    hosts["kafka"] = {9092}
    for server, name in LISTEN.items():
        for service, each in in_compose(server):
            hosts[service] = {
                listens(each["environment"], name),
                listens(each["environment"], "TENDER_METRICS_LISTEN"),
            }
    return hosts


def asked_for(variables: dict[str, str]) -> Iterator[tuple[str, int]]:
    for name in ("TENDER_REDIS_URL", "TENDER_KAFKA_BOOTSTRAP"):
        if name in variables:
            yield files.host_and_port(variables[name])
    for place in filter(None, variables.get("TENDER_SERVICES", "").split(",")):
        yield files.host_and_port(place.partition("=")[2])
    for name in ("TENDER_PROCESSOR_TARGETS", "TENDER_PEER_TARGETS"):
        for target in filter(None, variables.get(name, "").split(",")):
            yield files.host_and_port(target)


def test_a_server_asks_for_hosts_and_ports_that_are_there() -> None:
    for place, module, variables in files.servers():
        hosts = compose_hosts() if place.startswith("compose") else kubernetes_hosts()
        asked = list(asked_for(variables))
        assert len(asked) >= (1 if module in ALONE else 2), place
        for host, port in asked:
            assert port in hosts[host], place


def test_urls_of_the_secrets_lead_to_databases_that_are_there() -> None:
    readme = (files.DEPLOY / "k8s/README.md").read_text()
    script = (files.DEPLOY / "compose/secrets.sh").read_text()
    in_kubernetes = re.findall(r"postgresql://\w+:PASSWORD@([\w-]+):(\d+)/", readme)
    in_compose = re.findall(r"^url \w+ \w+ ([\w-]+)(?:[ \\\n]+\w+)? \|", script, re.MULTILINE)

    assert len(in_kubernetes) == 8
    for host, port in in_kubernetes:
        assert int(port) in kubernetes_hosts()[host]
    assert len(in_compose) == 9
    assert set(in_compose) <= compose_hosts().keys()


@pytest.mark.parametrize("path", ["prometheus.compose.yml"])
def test_prometheus_scrapes_every_server_of_compose(path: str) -> None:
    config = yaml.safe_load((PROMETHEUS / path).read_text())
    scraped = set()
    for job in config["scrape_configs"]:
        for group in job["static_configs"]:
            scraped |= {(job["job_name"], target) for target in group["targets"]}
    wanted = {
        (f"tender-{server}", f"{name}:{listens(each['environment'], 'TENDER_METRICS_LISTEN')}")
        for server in (*LISTEN, "relay")
        for name, each in in_compose(server)
    }

    assert scraped == wanted
    assert [(PROMETHEUS / rules).is_file() for rules in config["rule_files"]] == [True]


def test_prometheus_names_jobs_and_shards_alike_everywhere() -> None:
    local = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    compose = yaml.safe_load((PROMETHEUS / "prometheus.compose.yml").read_text())
    jobs = {job["job_name"] for job in local["scrape_configs"]}
    relabeled: dict[str, dict[str, Any]] = {
        name: {
            one["targetLabel"]: one
            for one in monitor["spec"]["podMetricsEndpoints"][0]["relabelings"]
        }
        for name, monitor in files.of_kind("PodMonitor").items()
        if name != "postgres"
    }

    assert {job["job_name"] for job in compose["scrape_configs"]} == jobs
    assert {each["job"]["replacement"] for each in relabeled.values()} == jobs
    labels = files.pod(files.workloads()["processor"])["metadata"]["labels"]
    variables = files.environment(files.container(files.workloads()["processor"]))
    (source,) = relabeled["processor"]["shard"]["sourceLabels"]
    assert source == "__meta_kubernetes_pod_label_tender_shard"
    assert labels["tender-shard"] == variables["TENDER_SHARD"]
    (job,) = [job for job in compose["scrape_configs"] if job["job_name"] == "tender-processor"]
    shards = {each["environment"]["TENDER_SHARD"] for _, each in in_compose("processor")}
    assert {group["labels"]["shard"] for group in job["static_configs"]} == shards


def test_pod_monitors_find_pods_with_a_port_of_that_name() -> None:
    for name, monitor in files.of_kind("PodMonitor").items():
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            if name == "postgres":  # Pods of the operator; their port has this name.
                assert endpoint["port"] == "metrics"
                continue
            workload = files.workloads()[name]
            labels = files.pod(workload)["metadata"]["labels"]
            assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
            ports = {port["name"] for port in files.container(workload)["ports"]}
            assert endpoint["port"] in ports


def test_kustomize_s_own_tool_would_find_every_file() -> None:
    for folder in files.OVERLAYS:
        path = files.DEPLOY / "k8s" / folder
        content = yaml.safe_load((path / kustomization.FILE).read_text())
        named = {*content["resources"], *(patch["path"] for patch in content.get("patches", []))}
        there = {each.name for each in Path(path).glob("*.yaml")} - {kustomization.FILE}
        assert {name for name in named if (path / name).is_file()} == there

"""Everybody who has to talk may, on both ends of the policies; others may not."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy import files

GATEWAY = {"app.kubernetes.io/name": "gateway"}
PROCESSOR = {"app.kubernetes.io/name": "processor"}
RELAY = {"app.kubernetes.io/name": "relay"}
NOTIFICATIONS = {"app.kubernetes.io/name": "notifications"}
WEBHOOKS = {"app.kubernetes.io/name": "webhooks"}
REPORTING = {"app.kubernetes.io/name": "reporting"}
OPERATIONS = {"app.kubernetes.io/name": "operations"}
MIGRATE = {"app.kubernetes.io/name": "migrate"}
REDIS = {"app.kubernetes.io/name": "redis"}
POSTGRES = {"cnpg.io/cluster": "shard-s1"}
KAFKA = {"strimzi.io/cluster": "events"}
MONITORING = {"kubernetes.io/metadata.name": "monitoring"}
INGRESS = {"kubernetes.io/metadata.name": "ingress"}
OPERATOR = {"kubernetes.io/metadata.name": "cnpg-system"}

PAIRS = [
    (GATEWAY, PROCESSOR, 50052),
    (GATEWAY, PROCESSOR, 50053),
    (GATEWAY, REDIS, 6379),
    (PROCESSOR, PROCESSOR, 50052),
    (PROCESSOR, REDIS, 6379),
    (PROCESSOR, POSTGRES, 5432),
    (PROCESSOR, KAFKA, 9092),
    (RELAY, POSTGRES, 5432),
    (RELAY, KAFKA, 9092),
    (GATEWAY, NOTIFICATIONS, 50062),
    (NOTIFICATIONS, POSTGRES, 5432),
    (NOTIFICATIONS, KAFKA, 9092),
    (GATEWAY, WEBHOOKS, 50063),
    (WEBHOOKS, POSTGRES, 5432),
    (WEBHOOKS, KAFKA, 9092),
    (GATEWAY, REPORTING, 50064),
    (REPORTING, POSTGRES, 5432),
    (REPORTING, KAFKA, 9092),
    (GATEWAY, OPERATIONS, 50061),
    (OPERATIONS, PROCESSOR, 50052),
    (OPERATIONS, PROCESSOR, 50053),
    (OPERATIONS, POSTGRES, 5432),
    (OPERATIONS, KAFKA, 9092),
    (MIGRATE, POSTGRES, 5432),
    (POSTGRES, POSTGRES, 5432),
    (POSTGRES, POSTGRES, 8000),
    (KAFKA, KAFKA, 9090),
    (KAFKA, KAFKA, 9091),
]
FROM_ELSEWHERE = [
    (INGRESS, GATEWAY, 50051),
    (MONITORING, GATEWAY, 9464),
    (MONITORING, PROCESSOR, 9465),
    (MONITORING, RELAY, 9466),
    (MONITORING, NOTIFICATIONS, 9468),
    (MONITORING, WEBHOOKS, 9469),
    (MONITORING, REPORTING, 9470),
    (MONITORING, OPERATIONS, 9467),
    (MONITORING, POSTGRES, 9187),
    (OPERATOR, POSTGRES, 8000),
]
NEVER = [
    (GATEWAY, POSTGRES, 5432),
    (GATEWAY, KAFKA, 9092),
    (PROCESSOR, PROCESSOR, 50053),
    (RELAY, PROCESSOR, 50052),
    (RELAY, REDIS, 6379),
    (NOTIFICATIONS, PROCESSOR, 50052),
    (NOTIFICATIONS, WEBHOOKS, 50063),
    (NOTIFICATIONS, REDIS, 6379),
    (PROCESSOR, NOTIFICATIONS, 50062),
    (WEBHOOKS, PROCESSOR, 50052),
    (WEBHOOKS, REDIS, 6379),
    (PROCESSOR, WEBHOOKS, 50063),
    (REPORTING, PROCESSOR, 50052),
    (REPORTING, REDIS, 6379),
    (PROCESSOR, REPORTING, 50064),
    (OPERATIONS, REDIS, 6379),
    (PROCESSOR, OPERATIONS, 50061),
    (MIGRATE, PROCESSOR, 50052),
    (REDIS, POSTGRES, 5432),
    (KAFKA, PROCESSOR, 50052),
]


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    for wanted in selector.get("matchExpressions", []):
        value = labels.get(wanted["key"])
        assert wanted["operator"] in ("In", "Exists")
        if value is None or (wanted["operator"] == "In" and value not in wanted["values"]):
            return False
    return True


def rules(labels: dict[str, str], way: str) -> Iterator[dict[str, Any]]:
    """Yield the rules that hold for pods with these labels."""
    for policy in files.of_kind("NetworkPolicy").values():
        spec = policy["spec"]
        if way.capitalize() in spec["policyTypes"] and selects(spec["podSelector"], labels):
            yield from spec.get(way, [])


def allows(
    way: str, labels: dict[str, str], other: dict[str, str], port: int, *, kind: str = "pod"
) -> bool:
    """Whether pods with the labels may talk to, or be talked to by, the other."""
    for rule in rules(labels, way):
        if port not in {each["port"] for each in rule["ports"]}:
            continue
        # A rule without peers lets everybody; no port of ours has one.
        peers = rule.get("to" if way == "egress" else "from")
        if peers is None or any(
            set(peer) == {f"{kind}Selector"} and selects(peer[f"{kind}Selector"], other)
            for peer in peers
        ):
            return True
    return False


@pytest.mark.parametrize(("source", "target", "port"), PAIRS)
def test_a_needed_pair_may_talk(source: dict[str, str], target: dict[str, str], port: int) -> None:
    assert allows("egress", source, target, port)
    assert allows("ingress", target, source, port)


@pytest.mark.parametrize(("source", "target", "port"), FROM_ELSEWHERE)
def test_a_namespace_that_has_to_come_in_may(
    source: dict[str, str], target: dict[str, str], port: int
) -> None:
    assert allows("ingress", target, source, port, kind="namespace")


@pytest.mark.parametrize(("source", "target", "port"), NEVER)
def test_others_may_not(source: dict[str, str], target: dict[str, str], port: int) -> None:
    assert not allows("egress", source, target, port)
    assert not allows("ingress", target, source, port)


def test_without_a_rule_nothing_goes_in_or_out() -> None:
    policy = files.of_kind("NetworkPolicy")["default-deny"]["spec"]

    assert policy == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_every_pod_of_ours_may_ask_for_names() -> None:
    for workload in files.workloads().values():
        labels = files.pod(workload)["metadata"]["labels"]
        ports = {port["port"] for rule in rules(labels, "egress") for port in rule["ports"]}
        assert 53 in ports


def test_pods_have_the_labels_that_policies_go_by() -> None:
    labels = [files.pod(each)["metadata"]["labels"] for each in files.workloads().values()]

    for name in (GATEWAY, PROCESSOR, RELAY, NOTIFICATIONS, WEBHOOKS, MIGRATE, REDIS):
        assert any(name.items() <= each.items() for each in labels)
    assert POSTGRES["cnpg.io/cluster"] in files.of_kind("Cluster")
    assert KAFKA["strimzi.io/cluster"] in files.of_kind("Kafka")

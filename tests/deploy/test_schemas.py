"""The check of deploy/ finds mistakes, and builds what kustomize builds."""

import copy
from pathlib import Path
from typing import Any

import pytest

from scripts import deployment, kustomization
from tests.deploy import files

KINDS = [
    "Deployment",
    "StatefulSet",
    "HorizontalPodAutoscaler",
    "NetworkPolicy",
    "Cluster",
    "Kafka",
    "KafkaNodePool",
    "KafkaTopic",
    "PodMonitor",
    "PrometheusRule",
]


def first(kind: str) -> dict[str, Any]:
    return copy.deepcopy(next(iter(files.of_kind(kind).values())))


@pytest.mark.parametrize("kind", KINDS)
def test_a_field_that_a_kind_does_not_have_is_a_mistake(kind: str) -> None:
    manifest = first(kind)
    assert deployment.of_manifest(manifest) == []

    manifest["spec"]["instance"] = 3

    assert deployment.of_manifest(manifest) != []


def test_a_value_of_the_wrong_type_is_a_mistake() -> None:
    manifest = first("Cluster")
    manifest["spec"]["postgresql"]["parameters"]["jit"] = False

    (problem,) = deployment.of_manifest(manifest)

    assert problem.startswith("spec.postgresql.parameters.jit: ")


def test_a_kind_without_a_schema_is_a_mistake() -> None:
    manifest = {"apiVersion": "example.com/v1", "kind": "Unknown", "metadata": {"name": "x"}}

    assert deployment.of_manifest(manifest) == ["there is no schema of example.com/v1 Unknown"]


def test_compose_with_a_key_that_does_not_exist_is_a_mistake() -> None:
    content = copy.deepcopy(files.compose())
    content["services"]["redis"]["imagee"] = "x"

    assert deployment.against(deployment.schema("compose-spec"), content) != []


def test_an_overlay_changes_what_it_names_and_nothing_else() -> None:
    base, overlay = (files.of_kind("Cluster", name)["shard-s1"] for name in files.OVERLAYS)

    assert overlay["spec"]["storage"] == {"size": "500Gi", "storageClass": "fast-ssd"}
    assert overlay["spec"]["postgresql"] == base["spec"]["postgresql"]
    for name in ("gateway", "processor", "migrate-s1"):
        container = files.container(files.workloads("overlays/example")[name])
        assert container["image"].startswith("registry.example.com/tender:")


@pytest.mark.parametrize(
    "text",
    [
        "resources: [gone.yaml]",
        "resources: [there.yaml, there.yaml]",
        "resources: [there.yaml]\nnamePrefix: x-",
        "resources: [there.yaml]\npatches: [{path: other.yaml}]",
        "resources: [.]",
    ],
)
def test_a_kustomization_that_does_not_fit_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text(text)
    (tmp_path / "there.yaml").write_text("kind: Service\nmetadata: {name: a}\n")
    (tmp_path / "other.yaml").write_text("kind: Service\nmetadata: {name: b}\n")

    with pytest.raises(kustomization.BadKustomization):
        kustomization.build(tmp_path)

"""Checks what deploy/ has for container engines against the schemas of its kinds.

  python -m scripts.deployment          check compose.yaml and every object of deploy/k8s
  python -m scripts.deployment write    write alerts.yaml and topics.yaml of deploy/k8s/base, from
                                        alerts.yml and topics.toml

The schemas are in scripts/schemas. A field that a schema does
not name is a mistake: the API server would drop it without a word.
"""

import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import jsonschema
import yaml

from deploy import topics
from scripts import kustomization
from scripts.kustomization import Manifest

ROOT: Final = Path(__file__).resolve().parent.parent
SCHEMAS: Final = ROOT / "scripts/schemas"
COMPOSE: Final = ROOT / "deploy/compose.yaml"
OVERLAYS: Final = ("deploy/k8s/base", "deploy/k8s/overlays/example")
ALERTS: Final = ROOT / "deploy/prometheus/alerts.yml"
RULE: Final = ROOT / "deploy/k8s/base/alerts.yaml"
TOPICS: Final = ROOT / "deploy/k8s/base/topics.yaml"
KAFKA: Final = "events"
"""The name of the cluster in deploy/k8s/base/kafka.yaml."""

KUBERNETES: Final = "1.33"
"""The oldest version that deploy/k8s/README.md names."""
_HEAD: Final = (
    "# Written by `python -m scripts.deployment write` from deploy/prometheus/alerts.yml.\n"
)
_TOPICS_HEAD: Final = (
    "# Written by `python -m scripts.deployment write` from deploy/topics.toml. How many copies\n"
    "# there are of each is what the brokers make by themselves.\n"
)


def main(arguments: list[str]) -> int:
    """Check, or write; return the exit code."""
    if arguments == ["write"]:
        RULE.write_text(rule_text())
        TOPICS.write_text(topics_text())
        return 0
    problems = list(_problems())
    print(*problems, sep="\n")
    print(f"{len(problems)} problems")
    return 1 if problems else 0


def _problems() -> Iterator[str]:
    compose = yaml.safe_load(COMPOSE.read_text())
    yield from (f"compose.yaml: {problem}" for problem in against(schema("compose-spec"), compose))
    for overlay in OVERLAYS:
        try:
            manifests = kustomization.build(ROOT / overlay)
        except kustomization.BadKustomization as bad:
            yield str(bad)
            continue
        for manifest in manifests:
            where = " ".join((overlay, *kustomization.identity(manifest)))
            yield from (f"{where}: {problem}" for problem in of_manifest(manifest))
    for path, text, source in (
        (RULE, rule_text(), ALERTS),
        (TOPICS, topics_text(), topics.FILE),
    ):
        if not path.is_file() or path.read_text() != text:
            yield f"{path.relative_to(ROOT)}: not what {source.name} says: write it anew"


def of_manifest(manifest: Manifest) -> list[str]:
    """Return what is wrong with one object by the schema of its kind."""
    group, _, version = manifest["apiVersion"].rpartition("/")
    if (own := SCHEMAS / f"{group}_{version}_{manifest['kind']}.json").is_file():
        return against(schema(own.stem), manifest)
    every = schema(f"kubernetes-{KUBERNETES}")
    kind = every["kinds"].get(f"{manifest['apiVersion']}/{manifest['kind']}")
    if kind is None:
        return [f"there is no schema of {manifest['apiVersion']} {manifest['kind']}"]
    return against({**every, **kind}, manifest)


@cache
def schema(name: str) -> dict[str, Any]:
    """Return a schema of scripts/schemas."""
    content: dict[str, Any] = json.loads((SCHEMAS / f"{name}.json").read_text())
    return content


def against(wanted: dict[str, Any], given: Any) -> list[str]:
    """Return what is wrong with a document by its schema, in its order."""
    validator = jsonschema.validators.validator_for(wanted)(wanted)
    errors = sorted(validator.iter_errors(given), key=lambda error: list(map(str, error.path)))
    return [f"{'.'.join(map(str, error.path))}: {error.message[:300]}" for error in errors]


def rule_text() -> str:
    """Return the PrometheusRule with the rules of alerts.yml, comments included."""
    text = ALERTS.read_text()
    comment, groups = re.fullmatch(r"((?:#.*\n)*)(groups:\n.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    inner = "".join(f"  {line}" if line.strip() else line for line in groups.splitlines(True))
    return (
        f"{_HEAD}{comment}apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\n"
        f"metadata:\n  name: tender\nspec:\n{inner}"
    )


def topics_text() -> str:
    """Return a KafkaTopic, which Strimzi makes a topic of, for each topic of topics.toml."""
    manifests = [
        {
            "apiVersion": "kafka.strimzi.io/v1",
            "kind": "KafkaTopic",
            "metadata": {"name": topic.name, "labels": {"strimzi.io/cluster": KAFKA}},
            "spec": {"partitions": topic.partitions, "config": dict(topic.configuration)},
        }
        for topic in topics.read()
    ]
    return _TOPICS_HEAD + yaml.safe_dump_all(manifests, sort_keys=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

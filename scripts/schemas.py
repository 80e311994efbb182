"""Takes the schemas of the kinds that deploy/ uses out of larger ones, for scripts/schemas.

  python -m scripts.schemas CRD.yaml VERSION "SOURCE, LICENCE"
  python -m scripts.schemas _definitions.json KUBERNETES_VERSION "SOURCE, LICENCE"

The second takes Kubernetes's own kinds from its strict JSON schema. Descriptions and rules
for the API server go. What is not named may not be there, as for `kubectl`.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = Path(__file__).parent / "schemas"
_DRAFT: Final = "http://json-schema.org/draft-07/schema#"
_DRAFT_2020: Final = "https://json-schema.org/draft/2020-12/schema"
_POINTER: Final = "#/$defs/"
KINDS: Final = frozenset(
    {
        "apps/v1/Deployment",
        "apps/v1/StatefulSet",
        "autoscaling/v2/HorizontalPodAutoscaler",
        "batch/v1/Job",
        "networking.k8s.io/v1/NetworkPolicy",
        "policy/v1/PodDisruptionBudget",
        "v1/ConfigMap",
        "v1/Namespace",
        "v1/Secret",
        "v1/PersistentVolumeClaim",
        "v1/Service",
        "v1/ServiceAccount",
    }
)
"""Kubernetes's own kinds that deploy/k8s uses, as group/version/kind."""
_LEFT_OUT: Final = {"description", "default", "example", "x-kubernetes-validations"}
_OPEN: Final = "x-kubernetes-preserve-unknown-fields"
# Kubernetes's own, which every object may have.
_TOP: Final = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}


def extract(definition: dict[str, Any], version: str, source: str) -> tuple[str, dict[str, Any]]:
    """Return the name and the schema of a version."""
    spec = definition["spec"]
    found = next(each for each in spec["versions"] if each["name"] == version)
    schema = closed(found["schema"]["openAPIV3Schema"])
    schema["properties"] |= {**_TOP, "metadata": {"type": "object"}}
    name = f"{spec['group']}_{version}_{spec['names']['kind']}"
    return name, {"$schema": _DRAFT, "$comment": source, **schema}


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that refuses fields it does not name, unless it says that any may come."""
    kept = {
        key: value
        for key, value in schema.items()
        if key not in _LEFT_OUT and not key.startswith("x-kubernetes-")
    }
    for key in ("items", "additionalProperties"):
        if isinstance(kept.get(key), dict):
            kept[key] = closed(kept[key])
    if "properties" in kept:
        kept["properties"] = {name: closed(each) for name, each in kept["properties"].items()}
        if not schema.get(_OPEN):
            kept.setdefault("additionalProperties", False)
    if kept.pop("nullable", False) and "type" in kept:
        kept["type"] = [kept["type"], "null"]
    if schema.get("x-kubernetes-int-or-string"):
        kept.pop("type", None)
        kept["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    return kept


def kubernetes(definitions: dict[str, Any], source: str) -> dict[str, Any]:
    """Return a schema per kind of `KINDS` under `kinds`, and what they point at under `$defs`."""
    known = definitions["$defs"]
    kinds = {
        key: name
        for name, schema in known.items()
        for kind in schema.get("x-kubernetes-group-version-kind", ())
        if (key := "/".join(filter(None, (kind["group"], kind["version"], kind["kind"])))) in KINDS
    }
    if absent := KINDS - set(kinds):
        raise SystemExit(f"There is no schema of {', '.join(sorted(absent))}")
    taken: dict[str, Any] = {}
    wanted = set(kinds.values())
    while wanted:
        taken |= {name: pointing(known[name]) for name in wanted}
        text = json.dumps([taken[name] for name in wanted])
        wanted = set(re.findall(rf'"{re.escape(_POINTER)}([^"]+)"', text)) - set(taken)
    refs = {key: {"$ref": f"{_POINTER}{name}"} for key, name in kinds.items()}
    return {"$schema": _DRAFT_2020, "$comment": source, "kinds": refs, "$defs": taken}


def pointing(value: Any) -> Any:
    """Return a schema without descriptions, whose references stay within its document."""
    if isinstance(value, list):
        return [pointing(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: f"{_POINTER}{each.rpartition('/')[2]}" if key == "$ref" else pointing(each)
        for key, each in value.items()
        # Only a text describes: there are properties of that name too.
        if not (key == "description" and isinstance(each, str)) and not key.startswith("x-")
    }


def main(arguments: list[str]) -> int:
    """Write the schema; return the exit code."""
    path, version, source = arguments
    if path.endswith(".json"):
        every = kubernetes(json.loads(Path(path).read_text()), source)
        text = json.dumps(every, separators=(",", ":"), sort_keys=True)
        (FOLDER / f"kubernetes-{version}.json").write_text(f"{text}\n")
        print(f"kubernetes-{version}: {len(text):,} bytes")
        return 0
    for definition in yaml.safe_load_all(Path(path).read_text()):
        name, schema = extract(definition, version, source)
        text = json.dumps(schema, separators=(",", ":"), sort_keys=True)
        (FOLDER / f"{name}.json").write_text(f"{text}\n")
        print(f"{name}: {len(text):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Takes the schema of a kind out of a CustomResourceDefinition, for scripts/schemas.

  python -m scripts.schemas CRD.yaml VERSION "SOURCE, LICENCE"

Descriptions and rules for the API server go. What is not named may not be there, as for `kubectl`.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = Path(__file__).parent / "schemas"
_DRAFT: Final = "http://json-schema.org/draft-07/schema#"
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


def main(arguments: list[str]) -> int:
    """Write the schema; return the exit code."""
    path, version, source = arguments
    for definition in yaml.safe_load_all(Path(path).read_text()):
        name, schema = extract(definition, version, source)
        text = json.dumps(schema, separators=(",", ":"), sort_keys=True)
        (FOLDER / f"{name}.json").write_text(f"{text}\n")
        print(f"{name}: {len(text):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

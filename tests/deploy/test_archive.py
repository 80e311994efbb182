"""Relays archive journal rows where they stay: all of a shard into one place outside of pods."""

import pytest

from tests.deploy import files

MODULE = "deploy.servers.relay"
SETTING = "TENDER_ARCHIVE_FOLDER"


def test_relays_of_compose_share_a_volume() -> None:
    relays = [
        each for each in files.services().values() if (each.get("command") or [""])[0] == MODULE
    ]

    assert len(relays) == 2
    for relay in relays:
        (mounted,) = relay["volumes"]
        volume, _, folder = mounted.partition(":")
        assert folder == relay["environment"][SETTING]
        assert volume in files.compose()["volumes"]
    assert len({relay["volumes"][0] for relay in relays}) == 1


def test_a_new_volume_gets_an_owner_who_may_write() -> None:
    text = (files.DEPLOY / "Dockerfile").read_text()
    folder = files.services()["relay-1"]["environment"][SETTING]

    assert f"--owner 10001 --group 10001 --mode 700 {folder}\n" in text
    assert "USER 10001:10001\n" in text


@pytest.mark.parametrize("name", files.OVERLAYS)
def test_pods_of_the_relay_share_a_claim(name: str) -> None:
    workload = files.workloads(name)["relay"]
    container = files.container(workload)
    mounts = {each["mountPath"]: each for each in container["volumeMounts"]}
    volumes = {each["name"]: each for each in files.pod(workload)["spec"]["volumes"]}

    mount = mounts[files.environment(container)[SETTING]]
    claim = volumes[mount["name"]]["persistentVolumeClaim"]["claimName"]

    assert not mount.get("readOnly")
    modes = files.of_kind("PersistentVolumeClaim", name)[claim]["spec"]["accessModes"]
    assert workload["spec"]["replicas"] > 1
    assert modes == ["ReadWriteMany"]

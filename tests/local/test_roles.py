"""Which of a stack's Postgres servers is the primary, as the data folder remembers it."""

from pathlib import Path

import pytest

from deploy.local.layout import BadLayout
from deploy.local.options import StackOptions
from deploy.local.roles import Roles


def roles(root: Path, *, replicas: int = 2, servers: int = 1) -> Roles:
    return Roles(root, StackOptions(root, replicas=replicas, servers=servers, shards=servers))


def test_the_first_server_is_the_primary_until_another_is_promoted(tmp_path: Path) -> None:
    assert roles(tmp_path).primary(0) == "postgres"
    assert roles(tmp_path).standbys(0) == ["replica1", "replica2"]

    roles(tmp_path).promote(0, "replica2")

    assert roles(tmp_path).primary(0) == "replica2"
    assert roles(tmp_path).standbys(0) == ["postgres", "replica1"]


def test_servers_have_primaries_of_their_own(tmp_path: Path) -> None:
    both = roles(tmp_path, servers=2)

    both.promote(1, "postgres2-replica1")

    assert list(both.primaries()) == ["postgres", "postgres2-replica1"]


def test_a_stack_without_the_promoted_server_does_not_start(tmp_path: Path) -> None:
    roles(tmp_path).promote(0, "replica2")

    with pytest.raises(BadLayout, match="replica2"):
        roles(tmp_path, replicas=1).primary(0)

"""Which shards a stack has, and that a folder keeps to the layout it was made with."""

from pathlib import Path

import pytest

from deploy.local import folder, layout
from deploy.local.layout import BadLayout, Layout
from deploy.local.stack import StackOptions

FOUR = Layout(4, ("eu", "us"), 2)


def made(tmp_path: Path, wanted: Layout | None) -> folder.Folder:
    """A folder whose first Postgres was initialized, by this version or by an earlier one."""
    data = folder.Folder(tmp_path)
    if wanted is not None:
        layout.require_same(data, wanted)
    (tmp_path / "postgres").mkdir()
    return data


def test_regions_and_servers_get_shards_in_turn() -> None:
    assert [
        (place.name, place.region, place.server, place.database) for place in FOUR.places()
    ] == [
        ("s1", "eu", 0, "tender"),
        ("s2", "us", 1, "tender_s2"),
        ("s3", "eu", 0, "tender_s3"),
        ("s4", "us", 1, "tender_s4"),
    ]
    assert FOUR.databases_of(1) == ["tender_s2", "tender_s4"]


def test_the_first_map_is_even() -> None:
    assert [tuple(each) for each in FOUR.first_map().ranges] == [
        ("eu", 0, 511, "s1"),
        ("eu", 512, 1023, "s3"),
        ("us", 0, 511, "s2"),
        ("us", 512, 1023, "s4"),
    ]


def test_children_of_the_first_server_keep_their_names() -> None:
    one = StackOptions(Path("x"), replicas=2)
    two = StackOptions(Path("x"), shards=2, servers=2, replicas=1)

    assert one.port_names()[:3] == ["postgres", "replica1", "replica2"]
    assert two.primary_names() == ["postgres", "postgres2"]
    assert [two.replica_names(server) for server in (0, 1)] == [
        *(["replica1"], ["postgres2-replica1"])
    ]
    assert set(two.port_names()) >= {"postgres", "postgres2", "replica1", "postgres2-replica1"}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"shards": 0}, "0 shards cannot be on 1 servers"),
        ({"shards": 2, "servers": 3}, "2 shards cannot be on 3 servers"),
        ({"servers": 0}, "cannot be on 0 servers"),
        ({"regions": ("eu", "us")}, "1 shards cannot be in 2 regions"),
        ({"shards": 2, "regions": ("eu", "eu")}, "each another one"),
        ({"regions": ()}, "need names"),
        ({"regions": ("EU!",)}, "no name of a region"),
        ({"shards": 2, "postgres_url": "postgresql://db/x"}, "need the embedded Postgres"),
    ],
)
def test_what_does_not_fit_together_is_refused(given: dict[str, object], why: str) -> None:
    with pytest.raises(BadLayout, match=why):
        StackOptions(Path("x"), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("other", [Layout(), Layout(4, ("eu", "us"), 1), Layout(4, ("eu",), 2)])
def test_a_folder_made_with_another_layout_is_refused(tmp_path: Path, other: Layout) -> None:
    data = made(tmp_path, FOUR)

    layout.require_same(data, FOUR)
    with pytest.raises(BadLayout, match=r"made with 4 shard\(s\) in eu, us on 2 Postgres") as bad:
        layout.require_same(data, other)
    layout.require_same(data, FOUR)

    assert f"not with {other}" in str(bad.value)


def test_a_folder_of_an_earlier_version_has_one_shard(tmp_path: Path) -> None:
    data = made(tmp_path, None)

    with pytest.raises(BadLayout, match=r"made with 1 shard\(s\)"):
        layout.require_same(data, FOUR)
    layout.require_same(data, Layout())


def test_a_folder_without_a_database_may_still_become_anything(tmp_path: Path) -> None:
    data = folder.Folder(tmp_path)

    layout.require_same(data, Layout())
    layout.require_same(data, FOUR)

"""The file of shards: what is read from it, and what is said about one that does not fit."""

import json
from pathlib import Path
from typing import Any

import pytest

from kit import settings

PASSWORD = "hunter2"
URL = f"postgresql://tender:{PASSWORD}@db/one"
OTHER_URL = f"postgresql://tender:{PASSWORD}@db/two"
EU = {"shard": "s1", "region": "eu", "database_url": URL}
US = {"shard": "s2", "region": "us", "database_url": OTHER_URL}


def loaded(tmp_path: Path, content: Any, mode: int = 0o600) -> settings.ProcessorSettings:
    path = tmp_path / "shards.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(mode)
    return settings.ProcessorSettings(shards_file=path)


def test_the_file_names_the_shards_in_their_order(tmp_path: Path) -> None:
    full = US | {"query_database_url": URL, "replica_database_urls": [URL, OTHER_URL]}

    first, second = loaded(tmp_path, [EU, full]).shards()

    assert (first.shard, first.region, first.database_url) == ("s1", "eu", URL)
    assert (first.reading_url, first.replica_database_urls) == (URL, ())
    assert (second.reading_url, second.replica_database_urls) == (URL, (URL, OTHER_URL))


def test_without_a_file_there_is_the_shard_of_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "DATABASE_URL": URL,
        "QUERY_DATABASE_URL": OTHER_URL,
        "REPLICA_DATABASE_URLS": f"{URL},{OTHER_URL}",
        "SHARD": "s7",
        "REGION": "us",
        "SHARDS_FILE": "",
    }.items():
        monkeypatch.setenv(f"TENDER_{name}", value)

    [only] = settings.ProcessorSettings.load().shards()

    assert (only.shard, only.region, only.database_url) == ("s7", "us", URL)
    assert (only.reading_url, only.replica_database_urls) == (OTHER_URL, (URL, OTHER_URL))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "Invalid JSON"),
        (f'["{PASSWORD}', "Invalid JSON"),
        ([], "at least 1"),
        ({}, "valid array"),
        ([EU | {"shard": "S 1"}], "0.shard: "),
        ([EU | {"region": "europe-west"}], "0.region: "),
        ([EU, US | {"database_url": ""}], "1.database_url: "),
        ([EU, {"shard": "s2", "region": "us"}], "1.database_url: Field required"),
        ([EU | {"database_urls": URL}], "0.database_urls: "),
        ([EU | {"replica_database_urls": URL}], "0.replica_database_urls: "),
        ([EU, US | {"shard": "s1"}], "1.shard: the same as in entry 0"),
        ([EU, US | {"database_url": URL}], "1.database_url: the same as in entry 0"),
        ([EU] * 257, "at most 256"),
    ],
)
def test_what_does_not_fit_is_named_and_no_url_is_shown(
    tmp_path: Path, content: Any, why: str
) -> None:
    with pytest.raises(settings.BadSettings, match=why) as caught:
        loaded(tmp_path, content).shards()

    assert str(caught.value).startswith("TENDER_SHARDS_FILE: ")
    assert "shards.json" in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(settings.BadSettings, match="others may not read it"):
        loaded(tmp_path, [EU], 0o604).shards()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    processor = settings.ProcessorSettings(shards_file=tmp_path / "none.json")

    with pytest.raises(settings.BadSettings, match=r"none\.json: FileNotFoundError"):
        processor.shards()


def test_a_shard_shows_no_url(tmp_path: Path) -> None:
    processor = loaded(tmp_path, [EU, US])

    shown = repr(processor) + repr(processor.shards()) + str(processor.effective())

    assert PASSWORD not in shown

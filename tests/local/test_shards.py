"""A stack with several shards, regions and Postgres servers: it starts, tells its map, stops."""

import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner, Result

import tender
from deploy.local import cli, database, folder
from deploy.local.commands import reports
from deploy.local.layout import BadLayout
from deploy.local.stack import Stack, StackOptions
from tests.acceptance.conftest import gauge
from tests.local.test_stack import eventually, fetch

START_SECONDS_MAX = 30.0
NAMES = ["s1", "s2", "s3", "s4"]
WHERE = "SELECT current_database() || ' ' || current_setting('cluster_name')"
BASE: dict[str, Any] = {"shards": 4, "regions": ("eu", "us"), "servers": 2, "replicas": 1}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, float]]:
    options = StackOptions(tmp_path_factory.mktemp("shards"), **BASE)
    began = time.monotonic()
    with Stack(options) as stack:
        yield stack, time.monotonic() - began


@pytest.fixture
def stack(started: tuple[Stack, float]) -> Stack:
    return started[0]


@pytest.fixture
def run(stack: Stack) -> Callable[..., Result]:
    """Runs the program beside the stack."""
    env = {
        "TENDER_DATA_DIR": str(stack.options.data_dir),
        "TENDER_DIRECTORY_DATABASE_URL": None,
        "COLUMNS": "200",
    }
    return lambda *arguments: CliRunner(env=env).invoke(cli.app, list(arguments))


def test_it_starts_in_seconds_with_a_child_for_each_server(started: tuple[Stack, float]) -> None:
    stack, seconds = started

    assert stack.names() == [
        *("postgres", "postgres2", "valkey", "kafka", "replica1", "postgres2-replica1"),
        *("processor", "gateway"),
    ]
    assert all(stack.alive().values())
    assert seconds < START_SECONDS_MAX


def test_every_shard_has_a_database_of_its_own_and_a_replica(stack: Stack) -> None:
    shards = stack.endpoints.shards

    assert [(shard.name, shard.region) for shard in shards] == [
        *(("s1", "eu"), ("s2", "us"), ("s3", "eu"), ("s4", "us"))
    ]
    assert [fetch(shard.query_url, WHERE) for shard in shards] == [
        *("tender postgres", "tender_s2 postgres2", "tender_s3 postgres", "tender_s4 postgres2")
    ]
    assert [fetch(shard.replica_urls[0], WHERE) for shard in shards] == [
        *("tender replica1", "tender_s2 postgres2-replica1"),
        *("tender_s3 replica1", "tender_s4 postgres2-replica1"),
    ]


def test_the_fields_of_the_endpoints_are_those_of_the_first_shard(stack: Stack) -> None:
    read = folder.read_endpoints(stack.options.data_dir)

    assert read == stack.endpoints
    first = read.shards[0]
    assert (read.owner_url, read.processor_url, read.query_url, read.replica_urls) == (
        *(first.owner_url, first.processor_url, first.query_url, first.replica_urls),
    )


def test_all_lanes_open_in_their_regions(stack: Stack) -> None:
    eventually(
        lambda: gauge(stack.endpoints.processor_metrics, "tender_lane_open") == len(NAMES),
        "four open lanes",
    )

    for shard in stack.endpoints.shards:
        assert fetch(shard.query_url, "SELECT string_agg(shard, ' ') FROM lanes") == shard.name


def test_the_gateway_opens_accounts_on_the_shard_that_has_their_bucket(stack: Stack) -> None:
    wanted: dict[str, set[str]] = {name: set() for name in NAMES}
    home = stack.options.layout().first_map().shard_of
    with tender.SyncClient(
        stack.endpoints.gateway, stack.endpoints.api_key_file.read_text().strip()
    ) as client:
        for number in range(20):
            for region in ("eu", "us"):
                opened = client.create_account(
                    user_id=f"user-{number}", currency_code="EUR", region=region
                )
                name = home(region, opened.account.id[-2:])
                assert name is not None
                wanted[name].add(opened.account.id)

    for shard in stack.endpoints.shards:
        assert wanted[shard.name]
        found = fetch(shard.query_url, "SELECT array_agg(id) FROM accounts WHERE user_id <> ''")
        assert set(found) == wanted[shard.name]


def test_the_map_is_in_the_first_shards_database_alone(stack: Stack) -> None:
    versions = [
        fetch(shard.query_url, "SELECT max(version) FROM shard_map_version")
        for shard in stack.endpoints.shards
    ]

    assert versions == [1, None, None, None]


def test_the_shards_file_is_its_owners_alone(stack: Stack) -> None:
    path = stack.options.data_dir / "secrets" / "shards.json"

    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert [entry["shard"] for entry in json.loads(path.read_text())] == NAMES


def test_the_map_is_listed(run: Callable[..., Result]) -> None:
    told = json.loads(run("shards", "--json").stdout)
    shown = run("shards").stdout.split()

    assert told["version"] == 1
    assert told["ranges"] == [
        {"region": region, "firstBucket": first, "lastBucket": last, "shard": shard}
        for region, first, last, shard in (
            *(("eu", 0, 511, "s1"), ("eu", 512, 1023, "s3")),
            *(("us", 0, 511, "s2"), ("us", 512, 1023, "s4")),
        )
    ]
    assert " ".join(shown).endswith("us 512 to 1023 s4 version 1")


def test_the_status_shows_the_shards_without_passwords(
    stack: Stack, run: Callable[..., Result]
) -> None:
    answer = run("status", "--json")

    assert answer.exit_code == 0
    told = json.loads(answer.stdout)["shards"]
    assert [(each["name"], each["region"]) for each in told] == [
        *(("s1", "eu"), ("s2", "us"), ("s3", "eu"), ("s4", "us"))
    ]
    where = database.where(stack.endpoints.shards[3].owner_url)
    assert told[3]["database"] == f"{where}/tender_s4"
    assert "tender_owner" not in answer.stdout


def test_all_shards_are_verified_together_and_their_heads_are_remembered(
    stack: Stack, run: Callable[..., Result]
) -> None:
    with tender.SyncClient(
        stack.endpoints.gateway, stack.endpoints.api_key_file.read_text().strip()
    ) as client:
        client.create_account(user_id="somebody", currency_code="EUR")
    first = run("verify", "--json")
    shown = run("verify")

    assert first.exit_code == 0, first.output
    told = json.loads(first.stdout)
    assert told["ok"]
    assert [one["head"]["shard"] for one in told["shards"]] == NAMES
    assert [check["ok"] for check in told["checks"]] == [True, True, True]
    assert shown.exit_code == 0
    assert "request keys used on two shards" in shown.stdout
    assert "clearing accounts cancel but for what is in flight" in shown.stdout
    kept = [stack.options.data_dir / f"anchor-{name}" for name in NAMES]
    path = next(path for path in kept if path.exists())
    path.write_text(f"1:{'0' * 64}")
    broken = run("verify")
    path.unlink()
    assert broken.exit_code == reports.EXIT_REFUSED
    assert f"broken on {path.name.removeprefix('anchor-')}" in broken.output


def test_the_databases_of_all_shards_are_named_one_by_one(
    stack: Stack, run: Callable[..., Result]
) -> None:
    urls = [shard.query_url for shard in stack.endpoints.shards]
    named = [word for url in urls for word in ("--dsn", url)]

    together = run("verify", *named, "--json")
    alone = run("verify", "--dsn", urls[1], "--json")

    assert together.exit_code == alone.exit_code == 0, together.output
    assert len(json.loads(together.stdout)["shards"]) == len(urls)
    assert json.loads(alone.stdout)["head"]["shard"] == NAMES[1]


def test_an_anchor_of_one_of_several_shards_names_it(run: Callable[..., Result]) -> None:
    digits = "0" * 64

    nameless = run("verify", "--anchor", f"1:{digits}")
    strange = run("verify", "--anchor", f"s9:1:{digits}")

    assert "SHARD:SEQ:HASH" in nameless.output
    assert "there is no shard s9" in strange.output
    assert nameless.exit_code == strange.exit_code == reports.EXIT_USAGE


def test_a_directory_that_does_not_answer_is_told_without_its_password(
    run: Callable[..., Result],
) -> None:
    answer = run("shards", "--dsn", "postgresql://tender:hunter2@127.0.0.1:1/tender")

    assert answer.exit_code != 0
    assert "The directory does not tell its map" in answer.output
    assert "hunter2" not in answer.output


def test_a_killed_server_takes_only_its_own_shards_along(stack: Stack) -> None:
    def epochs() -> list[Any]:
        return [
            fetch(shard.owner_url, "SELECT max(epoch) FROM lanes")
            for shard in stack.endpoints.shards
        ]

    def lanes_reopened() -> bool:
        return gauge(stack.endpoints.processor_metrics, "tender_lane_takeovers_total") >= 6

    eventually(
        lambda: gauge(stack.endpoints.processor_metrics, "tender_lane_open") == len(NAMES),
        "four open lanes",
    )
    before = epochs()
    stack.kill("postgres2")
    stack.start_one("postgres2")
    eventually(lanes_reopened, "the lanes of the second server")

    after = epochs()
    assert [after[0], after[2]] == [before[0], before[2]]
    assert after[1] > before[1]
    assert after[3] > before[3]


def test_the_same_folder_starts_again_and_with_other_shards_does_not(tmp_path: Path) -> None:
    options = StackOptions(
        tmp_path, shards=2, regions=("eu", "us"), replicas=0, with_servers=False, tenant=None
    )
    with Stack(options) as first:
        fetch(first.endpoints.shards[1].owner_url, "CREATE TABLE kept AS SELECT 7 AS n")

    with pytest.raises(BadLayout, match="was made with 2 shard"):
        Stack(StackOptions(tmp_path, with_servers=False)).start()
    with Stack(options) as again:
        assert fetch(again.endpoints.shards[1].owner_url, "SELECT n FROM kept") == 7
        with pytest.raises(asyncpg.UndefinedTableError):
            fetch(again.endpoints.owner_url, "SELECT n FROM kept")

    env = {"TENDER_DATA_DIR": str(tmp_path), "COLUMNS": "200"}
    refused = CliRunner(env=env).invoke(cli.app, ["up", "--shards", "3"])
    assert refused.exit_code != 0
    assert "Give --shards, --regions and --servers as before" in refused.output

"""Commands and reads reach the shard that they name, and lanes do not disturb each other."""

import asyncio
import time
from pathlib import Path

import asyncpg
import grpc
import pytest

from processor.lane import UNAVAILABLE_AFTER_SECONDS
from storage.postgres.lane_store import PostgresLaneStore
from tender.v1 import account_pb2, lane_pb2, query_pb2
from tests.conftest import Shard
from tests.hosting.conftest import METADATA, OPERATOR, REGIONS, WAIT_SECONDS_MAX, Host, hosting

AWAY_SECONDS_MAX = UNAVAILABLE_AFTER_SECONDS + 1.0
END_LANE = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
 WHERE application_name = $1 AND datname = current_database()
"""
every_shard = pytest.mark.parametrize("shard", REGIONS)
Code = grpc.StatusCode


async def read(host: Host, shard: str, account_id: str) -> query_pb2.ReadResponse:
    answer: query_pb2.ReadResponse = await host.reads.Read(
        query_pb2.ReadRequest(
            method=lane_pb2.METHOD_GET_ACCOUNT,
            request=account_pb2.GetAccountRequest(account_id=account_id).SerializeToString(),
            principal=OPERATOR,
            shard=shard,
        ),
        metadata=METADATA,
        timeout=WAIT_SECONDS_MAX,
    )
    return answer


async def value(url: str, query: str, *arguments: object) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query, *arguments)
    finally:
        await connection.close()


async def test_a_stream_carries_commands_to_the_shard_that_it_names(
    host: Host, shards: dict[str, Shard]
) -> None:
    opened = {name: await host.stream(name).account() for name in REGIONS}

    for name, account in opened.items():
        assert account.id.startswith(f"acc_{REGIONS[name]}_")
        for other, shard in shards.items():
            found = await value(
                shard.owner_url, "SELECT count(*) FROM accounts WHERE id = $1", account.id
            )
            assert found == (1 if other == name else 0)


async def test_a_read_is_of_the_shard_that_it_names(host: Host) -> None:
    account = await host.stream("s2").account()

    own, other = await read(host, "s2", account.id), await read(host, "s1", account.id)

    assert account_pb2.GetAccountResponse.FromString(own.response).account.id == account.id
    assert other.refusal.reason == "ACCOUNT_UNKNOWN"


@pytest.mark.parametrize("shard", ["s3", ""])
async def test_a_read_of_a_shard_that_is_not_here_is_refused_as_unavailable(
    host: Host, shard: str
) -> None:
    answer = await read(host, shard, "acc_eu_x")

    assert (answer.refusal.reason, answer.refusal.retry_delay_ms) == ("SHARD_UNAVAILABLE", 500)


@pytest.mark.parametrize("shard", ["s3", "", None])
async def test_a_stream_for_no_lane_of_this_processor_ends_at_once(
    host: Host, shard: str | None
) -> None:
    code, text = await host.stream(shard).status()

    assert (code, text) == (Code.UNAVAILABLE, "This processor does not hold that lane.")


async def test_api_keys_are_those_of_the_directory(host: Host, shards: dict[str, Shard]) -> None:
    for name, shard in shards.items():
        await value(
            shard.owner_url,
            "INSERT INTO api_keys (key_id, secret_hash, tenant_id, scopes)"
            " VALUES ('key', $1, 'acme', '{service}')",
            name.encode(),
        )

    key = await host.reads.GetApiKey(
        query_pb2.GetApiKeyRequest(key_id="key"), metadata=METADATA, timeout=WAIT_SECONDS_MAX
    )

    assert key.secret_hash == b"s1"


async def test_the_directory_may_be_another_database(
    tmp_path: Path, shards: dict[str, Shard]
) -> None:
    await value(
        shards["s2"].owner_url,
        "INSERT INTO api_keys (key_id, secret_hash, tenant_id, scopes)"
        " VALUES ('key', 'other', 'acme', '{service}')",
    )

    async with hosting(tmp_path, shards, directory_database_url=shards["s2"].reader_url) as host:
        key = await host.reads.GetApiKey(
            query_pb2.GetApiKeyRequest(key_id="key"), metadata=METADATA, timeout=WAIT_SECONDS_MAX
        )

    assert key.secret_hash == b"other"


async def test_each_lane_has_an_owner_of_its_own(host: Host, shards: dict[str, Shard]) -> None:
    owners = {
        await value(shard.owner_url, "SELECT owner FROM lanes WHERE shard = $1", name)
        for name, shard in shards.items()
    }

    assert len(owners) == len(REGIONS)


async def test_a_lane_that_loses_its_backend_does_not_disturb_the_other(
    host: Host, shards: dict[str, Shard]
) -> None:
    before = await host.tells()
    other = host.stream("s2")
    await other.account()
    ended = asyncio.Event()
    longest = 0.0

    async def keep_calling() -> int:
        nonlocal longest
        calls = 0
        while not ended.is_set():
            started = time.monotonic()
            await other.account()
            longest = max(longest, time.monotonic() - started)
            calls += 1
        return calls

    calling = asyncio.create_task(keep_calling())
    after, mended = before, host.stream("s1")
    for round_number in range(3):
        assert await value(shards["s1"].owner_url, END_LANE, "tender-lane-s1") == 1
        after = await host.tells({"s1": before["s1"] + round_number})
        await mended.account()
    ended.set()
    calls = await calling

    assert after["s1"] >= before["s1"] + 3
    assert after["s2"] == before["s2"]
    assert calls > 3
    assert longest < UNAVAILABLE_AFTER_SECONDS


async def test_a_lane_that_another_processor_takes_is_no_longer_told_and_its_streams_end(
    host: Host, shards: dict[str, Shard]
) -> None:
    lost, kept = host.stream("s1"), host.stream("s2")
    for stream in (lost, kept):
        await stream.account()
    thief = PostgresLaneStore(shards["s1"].lane_url, "s1", tenure_seconds_min=0)
    try:
        await thief.open("thief", evict=True)
        taken_at = time.monotonic()

        assert await lost.is_over()
        seconds = time.monotonic() - taken_at
        watching = host.watch()
        known = await watching.read()
        watching.cancel()
        refused = await host.stream("s1").status()
        await kept.account()
    finally:
        await thief.close()

    assert seconds < AWAY_SECONDS_MAX
    assert [lane.shard for lane in known.lanes] == ["s2"]
    assert refused[0] == Code.UNAVAILABLE


async def test_a_stream_that_names_no_shard_waits_for_the_only_lane(
    tmp_path: Path, shards: dict[str, Shard]
) -> None:
    holder = PostgresLaneStore(shards["s1"].lane_url, "s1")
    await holder.open("holder", evict=False)
    try:
        async with hosting(tmp_path, {"s1": shards["s1"]}) as host:
            unnamed = host.stream(None)
            await asyncio.sleep(AWAY_SECONDS_MAX)
            request = account_pb2.CreateAccountRequest(
                request_id="first", user_id="ada", currency_code="EUR"
            )

            refused = await unnamed.ask(request)
            await holder.close()
            await host.tells({"s1": 0})
            answered = await unnamed.ask(request)
    finally:
        await holder.close()

    assert refused.refusal.reason == "SHARD_UNAVAILABLE"
    assert answered.WhichOneof("result") == "response"


@every_shard
async def test_a_lane_alone_is_found_without_a_name(
    tmp_path: Path, shards: dict[str, Shard], shard: str
) -> None:
    directory_url = shards["s1"].reader_url
    alone = hosting(tmp_path, {shard: shards[shard]}, directory_database_url=directory_url)
    async with alone as host:
        await host.tells({shard: 0})
        account = await host.stream(None).account()
        found = await read(host, "", account.id)

    assert account.id.startswith(f"acc_{REGIONS[shard]}_")
    assert found.WhichOneof("result") == "response"

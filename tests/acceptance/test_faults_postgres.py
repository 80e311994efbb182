"""Postgres killed, stopped and its backends ended under load: never a false answer."""

import asyncio
import time

import asyncpg
import grpc
import pytest

import tender
from deploy.local import folder
from deploy.local.stack import Stack
from tests.acceptance.conftest import connect, measured
from tests.acceptance.load import Recorder, Shop, new_load, open_shop
from tests.checker.history import End

RECOVERY_SECONDS_MAX = 5.0
KILLS = 3
BETWEEN_SECONDS = 1.5
ABSENCE_SECONDS = 3.0
STORM_SECONDS = 3.0
GUST_SECONDS = 0.2
BACKENDS_ENDED_MIN = 20
"""Of three in each gust; fewer would mean that the lane takes long to come back."""

PROBES = 5
"""Calls without retries that go on during an absence."""

END_LANE_BACKENDS = """
SELECT count(pg_terminate_backend(pid))
  FROM pg_stat_activity WHERE application_name LIKE 'tender-lane-%'
"""


async def test_postgres_killed_again_and_again_loses_nothing_and_service_is_back_in_five_seconds(
    fragile: Stack, survivor: Recorder
) -> None:
    load = new_load(survivor, await open_shop(survivor))
    recoveries = []

    async with load.running():
        for _ in range(KILLS):
            await asyncio.sleep(BETWEEN_SECONDS)
            killed_at = time.monotonic()
            await asyncio.to_thread(fragile.kill, "postgres")
            recoveries.append(await load.answered_after(time.monotonic()) - killed_at)

    measured(
        f"postgres killed {KILLS} times: back after"
        f" {', '.join(f'{seconds:.2f}' for seconds in recoveries)} s,"
        f" {len(load.answered)} calls answered, {survivor.unknown} asked again"
    )
    assert max(recoveries) < RECOVERY_SECONDS_MAX


async def test_while_postgres_is_away_calls_are_told_to_come_again_and_never_that_all_is_well(
    fragile: Stack, survivor: Recorder
) -> None:
    shop = await open_shop(survivor)
    await survivor.surely(shop.pay(0))
    async with connect(fragile.endpoints, retry=tender.NO_RETRIES, timeout=8) as client:
        impatient = Recorder(client, survivor.history)
        await asyncio.to_thread(fragile.stop_one, "postgres")
        began_at = time.monotonic()
        already = len(survivor.history.operations)

        failures = await probes(impatient, shop, began_at + ABSENCE_SECONDS)
        await asyncio.to_thread(fragile.start_one, "postgres")
        started_at = time.monotonic()
        asked = survivor.history.operations[already:]
        assert [one for one in asked if one.end is End.OK] == []
        await asyncio.gather(
            *(survivor.surely(shop.pay(0, request_id=one.request_id)) for one in asked)
        )

    assert {failure.code for failure in failures} == {grpc.StatusCode.UNAVAILABLE}
    assert all(failure.retry_delay for failure in failures)
    assert {failure.reason for failure in failures} <= {"SHARD_UNAVAILABLE", "OUTCOME_UNKNOWN"}
    measured(
        f"postgres away for {ABSENCE_SECONDS:g} s: {len(failures)} calls told to come again,"
        f" all of them paid {time.monotonic() - started_at:.2f} s after its return"
    )


async def probes(impatient: Recorder, shop: Shop, until: float) -> list[tender.TenderError]:
    """Pay without retries until then; return what the calls were told."""
    failures: list[tender.TenderError] = []

    async def probe() -> None:
        while time.monotonic() < until:
            try:
                await impatient.once(shop.pay(0))
            except tender.TenderError as failure:
                failures.append(failure)
            await asyncio.sleep(0.02)

    await asyncio.gather(*(probe() for _ in range(PROBES)))
    return failures


async def test_a_storm_that_ends_the_lanes_backends_loses_nothing(
    fragile: Stack, survivor: Recorder
) -> None:
    load = new_load(survivor, await open_shop(survivor))
    processor = fragile.child("processor").pid

    async with load.running():
        await asyncio.sleep(0.5)
        ended = await storm(fragile.endpoints)
        over_at = time.monotonic()
        recovery = await load.answered_after(over_at) - over_at

    during = sum(over_at - STORM_SECONDS < end < over_at for _, end in load.answered)
    measured(
        f"{ended} backends of the lane ended in {STORM_SECONDS:g} s: {during} calls answered"
        f" meanwhile, back {recovery:.2f} s after it"
    )
    assert ended >= BACKENDS_ENDED_MIN
    assert processor == fragile.child("processor").pid
    assert recovery < RECOVERY_SECONDS_MAX


async def storm(endpoints: folder.Endpoints) -> int:
    """End all that the lane has open, several times a second."""
    connection = await asyncpg.connect(endpoints.owner_url)
    ended = 0
    until = time.monotonic() + STORM_SECONDS
    try:
        while time.monotonic() < until:
            ended += await connection.fetchval(END_LANE_BACKENDS)
            await asyncio.sleep(GUST_SECONDS)
    finally:
        await connection.close()
    return ended


@pytest.mark.parametrize("setting", ["idle", "under load"])
async def test_the_first_call_after_one_lost_connection_is_answered_without_a_retry(
    fragile: Stack, survivor: Recorder, setting: str
) -> None:
    shop = await open_shop(survivor)
    connection = await asyncpg.connect(fragile.endpoints.owner_url)
    async with connect(fragile.endpoints, retry=tender.NO_RETRIES, timeout=8) as client:
        once = Recorder(client, survivor.history).once
        before = [once(shop.pay(n)) for n in range(20 if setting == "under load" else 0)]
        running = [asyncio.create_task(call) for call in before]

        await connection.fetchval(END_LANE_BACKENDS)
        await connection.close()

        paid = await once(shop.pay(0))
        assert paid.payment.state == tender.Payment.STATE_CAPTURED
        await asyncio.gather(*running)

"""What must fail a load, with exit code 1: slowness, errors, duplicates, lost counts."""

import asyncio
import time
from pathlib import Path

import asyncpg
import psutil

import tender
from deploy.local.stack import Stack
from loadtest import world
from tests.loadtest import clerk
from tests.loadtest.clerk import Clerk
from tests.loadtest.conftest import Load

START_SECONDS_MAX = 30.0
UNDER_WAY_SECONDS = 3.0
WORKERS = 2


def find_master() -> psutil.Process:
    """Wait for the Locust that our child started, until its workers are there."""
    ends = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < ends:
        for each in psutil.Process().children(recursive=True):
            if "locust" in each.cmdline() and len(each.children()) == WORKERS:
                return each
        time.sleep(0.1)
    raise AssertionError("Locust did not start")


async def test_a_missed_p99_fails_the_load(stack: Stack, load: Load) -> None:
    loaded = await load("pos_rush", "--p99-ms", "0.5", "--data-dir", str(stack.options.data_dir))

    assert loaded.exit_code == 1
    assert "from the intended time, at most 0.5 ms" in loaded.breaches("pos_rush")
    assert "at most 0.5 ms" in loaded.printed


async def test_a_missed_rate_fails_the_load(stack: Stack, load: Load) -> None:
    loaded = await load(
        "pos_rush", "--rate-min", "100000", "--data-dir", str(stack.options.data_dir)
    )

    assert loaded.exit_code == 1
    assert "payments/s, at least 100,000" in loaded.breaches("pos_rush")


async def test_a_wrong_key_fails_the_load(stack: Stack, load: Load, tmp_path: Path) -> None:
    key, people = tmp_path / "wrong", tmp_path / "world.json"
    key.write_text("tk_wrong")
    world.save(clerk.WORLD, people)

    loaded = await load(
        *("pos_rush", "--target", stack.endpoints.gateway),
        *("--api-key-file", str(key), "--world", str(people)),
    )

    assert loaded.exit_code == 1
    assert "UNAUTHENTICATED" in loaded.breaches("pos_rush")


async def test_a_gateway_that_is_killed_fails_the_load(fragile: Stack, load: Load) -> None:
    running = asyncio.create_task(load("pos_rush", "--data-dir", str(fragile.options.data_dir)))
    await asyncio.to_thread(find_master)
    await asyncio.sleep(UNDER_WAY_SECONDS)
    fragile.kill("gateway", stay_down=True)
    loaded = await running

    assert loaded.exit_code == 1
    assert "UNAVAILABLE" in loaded.breaches("pos_rush")


async def test_a_duplicate_fails_the_load(load: Load, tmp_path: Path) -> None:
    async with clerk.serving(Clerk(lies_every=20), tmp_path) as target:
        # However many errors are allowed: a duplicate is never one of them.
        loaded = await load("duplicate_storm", *target, "--error-share", "1")

    assert loaded.exit_code == 1
    assert loaded.summary("duplicate_storm")["errors"]["duplicate"] > 0
    assert "duplicate: one request_id, two payments" in loaded.breaches("duplicate_storm")


async def test_an_honest_clerk_passes(load: Load, tmp_path: Path) -> None:
    honest = Clerk()
    async with clerk.serving(honest, tmp_path) as target:
        loaded = await load("duplicate_storm", *target)

    assert loaded.exit_code == 0, loaded.printed
    assert honest.repeats > 20
    assert "not verified: run `tender verify" in loaded.printed


async def test_declines_fail_the_load(load: Load, tmp_path: Path) -> None:
    async with clerk.serving(Clerk(state=tender.Payment.STATE_DECLINED), tmp_path) as target:
        loaded = await load("pos_rush", *target)

    assert loaded.exit_code == 1
    assert "declined 100.00%, at most 1.00%" in loaded.breaches("pos_rush")


async def test_a_worker_that_dies_fails_the_load(load: Load, tmp_path: Path) -> None:
    async with clerk.serving(Clerk(), tmp_path) as target:
        running = asyncio.create_task(load("pos_rush", *target))
        master = await asyncio.to_thread(find_master)
        await asyncio.sleep(UNDER_WAY_SECONDS)
        master.children()[0].kill()
        loaded = await running

    assert loaded.exit_code == 1
    assert "1 worker processes were lost" in loaded.breaches("pos_rush")


async def test_a_scenario_that_is_unknown_is_a_mistake_of_usage(load: Load) -> None:
    loaded = await load("pos_rash")

    assert loaded.exit_code == 2
    assert "pos_rash" in loaded.printed


async def test_a_target_without_a_key_is_a_mistake_of_usage(load: Load) -> None:
    loaded = await load("pos_rush", "--target", "127.0.0.1:1")

    assert loaded.exit_code == 2
    assert "--api-key-file" in loaded.printed


async def test_a_ledger_that_does_not_verify_fails_the_load(fragile: Stack, load: Load) -> None:
    running = asyncio.create_task(load("pos_rush", "--data-dir", str(fragile.options.data_dir)))
    await asyncio.to_thread(find_master)
    await asyncio.sleep(UNDER_WAY_SECONDS)
    connection = await asyncpg.connect(fragile.endpoints.owner_url)
    altered = await connection.execute("UPDATE transfers SET amount = amount + 1")
    await connection.close()
    loaded = await running

    assert altered != "UPDATE 0"
    assert loaded.summary("pos_rush")["breaches"] == []
    assert loaded.exit_code == 1
    assert "verify: " in loaded.printed

"""`tender bench` as people run it: on a stack of its own, and against servers that err."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest

from benchmarks import bench
from benchmarks.load.world import World
from benchmarks.measure import machine
from benchmarks.scenarios import SCENARIOS
from benchmarks.wanted import Lengths, Wanted
from deploy.local import seed
from tests.benchmarks.shop import Context, Request, Shop, serving, well

SECONDS_MAX = 90.0
SMALL = seed.Seed(payers=300, merchants=5, request_keys=100)
SHORT = Lengths(0.5, 1.5, 1.5, 1, 1, (2,), knee_step=0, knee_held=1, log_megabytes=32)
FIGURES = {"rate", "ratio", "p50_ms", "p99_ms", "p999_ms", "max_ms", "cpu_us", "errors"}
KINDS = {"gateway", "processor", "postgres", "redis", "generator"}


class Ended(NamedTuple):
    """How the command ended."""

    code: int
    shown: str


async def tender_bench(*arguments: str) -> Ended:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.local.cli", "bench", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"COLUMNS": "300"},
    )
    async with asyncio.timeout(SECONDS_MAX):
        shown, _ = await child.communicate()
    assert child.returncode is not None
    return Ended(child.returncode, shown.decode())


async def against(shop: Shop, folder: Path, *arguments: str) -> Ended:
    """Run the command against a server; everything else is well."""
    key = folder / "key"
    key.write_text("tdr_some_key")
    async with serving(shop) as port:
        return await tender_bench(
            *("--target", f"127.0.0.1:{port}", "--api-key-file", str(key)),
            *("--quick", "--seconds", "1", "--data-dir", str(folder / "data")),
            *("--out", str(folder / "latest.json"), *arguments),
        )


async def test_a_deployment_that_behaves_passes_and_what_cannot_be_seen_is_said(
    tmp_path: Path,
) -> None:
    ended = await against(Shop(well), tmp_path, "--scenario", "replay_unary")

    assert ended.code == 0, ended.shown
    assert "not possible here" in ended.shown
    written = json.loads((tmp_path / "latest.json").read_text())
    assert written["scenarios"]["replay_unary"]["errors"] == 0
    assert written["verify"]["ok"] is None


async def test_a_missed_p99_ends_with_1(tmp_path: Path) -> None:
    ended = await against(Shop(well), tmp_path, "--scenario", "unary", "--p99-ms", "0.01")

    assert ended.code == 1
    assert "unary: p99 is" in ended.shown


async def test_an_error_ends_with_1(tmp_path: Path) -> None:
    async def once(_request: Request, context: Context) -> None:
        if len(shop.seen) == 200:
            await context.abort(grpc.StatusCode.INTERNAL, "oops")

    shop = Shop(once)
    ended = await against(shop, tmp_path, "--scenario", "unary")

    assert ended.code == 1
    assert "unary: 1 errors; grpc-status 13: oops" in ended.shown


async def test_a_duplicate_ends_with_1(tmp_path: Path) -> None:
    ended = await against(Shop(well, forgets=True), tmp_path, "--scenario", "replay_unary")

    assert ended.code == 1
    assert "duplicate: " in ended.shown


async def test_an_unknown_scenario_is_named(tmp_path: Path) -> None:
    ended = await tender_bench("--scenario", "unarry", "--data-dir", str(tmp_path))

    assert ended.code == 2
    assert "unarry" in ended.shown


def test_memory_is_no_disk() -> None:
    with pytest.raises(machine.Dishonest, match="is on tmpfs"):
        machine.require_disk(Path("/dev/shm"))


def test_a_server_that_does_not_wait_for_its_disk_is_not_measured(tmp_path: Path) -> None:
    unsafe = {"replicas": 0, "postgres_settings": {"fsync": "off"}}
    wanted = Wanted(["unary"], tmp_path, lengths=SHORT, warm=SMALL, stack=unsafe)

    with pytest.raises(machine.Dishonest, match="fsync = off"):
        bench.run(wanted, lambda _: None)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The results of a run of every scenario, on small ledgers."""
    folder = tmp_path_factory.mktemp("bench")
    names = [*SCENARIOS]
    wanted = Wanted(names, folder, lengths=SHORT, with_pgbench=False, warm=SMALL, cold=SMALL)
    results = bench.run(wanted, lambda _: None)
    bench.write(results, folder / "latest.json")
    written: dict[str, Any] = json.loads((folder / "latest.json").read_text())
    return written | {"folder": str(folder)}


def test_the_results_have_the_names_that_were_agreed_on(measured: dict[str, Any]) -> None:
    assert measured["scenarios"].keys() == set(SCENARIOS)
    assert {"tps"} <= measured["pgbench"].keys()
    for one in measured["scenarios"].values():
        assert one.keys() >= FIGURES
        assert one["cpu_us"].keys() == KINDS
        assert one["batch_mean"] >= 1
    assert measured.keys() >= {"machine", "versions", "commit", "settings", "verify", "history"}
    assert measured["settings"]["postgres"]["fsync"] == "on"


def test_a_run_on_a_real_stack_has_no_error_and_agrees_with_the_database(
    measured: dict[str, Any],
) -> None:
    assert measured["failures"] == []
    assert measured["verify"]["ok"] is True
    assert measured["history"]["ok"] is True
    assert [part["answers"] > 100 for part in measured["history"]["parts"]] == [True, True]
    for one in measured["scenarios"].values():
        assert one["done"] > 0
        assert one["cpu_us"]["generator"] > 0
        assert one["cpu_us"]["gateway"] > 0


def test_a_cold_ledger_is_kept_for_the_next_run_and_a_warm_one_is_not(
    measured: dict[str, Any],
) -> None:
    folder = Path(measured["folder"])
    [cold] = folder.glob("cold-*")

    assert World.load(cold / "world").payers_count == SMALL.payers
    assert not (folder / "warm").exists()


async def test_several_shards_are_not_measured_on_a_deployment_that_runs(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("tdr_some_key")
    where = ("--target", "127.0.0.1:1", "--api-key-file", str(key))

    for what in (("--shards",), ("--scenario", "cross_shard")):
        ended = await tender_bench(*where, *what, "--data-dir", str(tmp_path))

        assert ended.code == 2
        assert "stack of the benchmark's own" in " ".join(ended.shown.split())

"""Each scenario on a real stack: it passes with loose limits and leaves its reports."""

import csv
import json
from pathlib import Path

import pytest

from deploy.local.stack import Stack
from tests.loadtest.conftest import Load, Loaded

# Offered commands per second, users and seconds: what a busy machine serves as well. The sale has
# three phases, of which Locust writes a line a second.
SHORT = {
    "pos_rush": ("200", "40", "4"),
    "internal_services": ("2000", "4", "4"),
    "flash_sale": ("200", "40", "8"),
    "duplicate_storm": ("300", "40", "4"),
}


async def _load(name: str, stack: Stack, load: Load) -> Loaded:
    rate, users, seconds = SHORT[name]
    loaded = await load(
        *(name, "--rate", rate, "--users", users, "--duration", seconds),
        *("--data-dir", str(stack.options.data_dir)),
    )
    assert loaded.exit_code == 0, loaded.printed
    summary = loaded.summary(name)
    assert (summary["breaches"], summary["errors"], summary["workers_lost"]) == ([], {}, 0)
    assert json.loads((loaded.out / "results.json").read_text())["verify"] == []
    _assert_reports(loaded.out, name, summary["payments"])
    return loaded


def _assert_reports(out: Path, name: str, payments: int) -> None:
    assert sum(int(row["payments"]) for row in _rows(out / f"{name}_payments.csv")) == payments > 0
    assert any(row["Name"].startswith(name) for row in _rows(out / f"{name}_stats.csv"))
    assert name in (out / f"{name}.html").read_text()


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


async def test_terminals_pay_one_by_one(stack: Stack, load: Load) -> None:
    loaded = await _load("pos_rush", stack, load)

    summary = loaded.summary("pos_rush")
    assert summary["payments"] == summary["calls"]


async def test_services_send_hundreds_in_batches_and_over_streams(stack: Stack, load: Load) -> None:
    loaded = await _load("internal_services", stack, load)

    stats = _rows(loaded.out / "internal_services_stats.csv")
    calls = {row["Name"]: int(row["Request Count"]) for row in stats}
    assert calls["internal_services batch"] > 0
    assert calls["internal_services stream"] > 0
    summary = loaded.summary("internal_services")
    assert summary["payments"] == 100 * summary["calls"]


async def test_everybody_comes_to_the_flash_sale_at_once(stack: Stack, load: Load) -> None:
    loaded = await _load("flash_sale", stack, load)

    history = _rows(loaded.out / "flash_sale_stats_history.csv")
    users = [int(row["User Count"]) for row in history]
    assert max(users) == 40
    assert min(each for each in users if each) <= 10


async def test_three_of_ten_calls_of_the_storm_repeat(stack: Stack, load: Load) -> None:
    loaded = await _load("duplicate_storm", stack, load)

    summary = loaded.summary("duplicate_storm")
    assert summary["repeats"] / summary["calls"] == pytest.approx(0.3, abs=0.06)

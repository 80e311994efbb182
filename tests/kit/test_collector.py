"""Garbage is found in small steps; a server's loop is never held up by its whole heap."""

import asyncio
import contextlib
import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator

import pytest

from kit import collector


class Node:
    """One half of a cycle."""

    other: "Node"


def cycle() -> "weakref.ref[Node]":
    one, two = Node(), Node()
    one.other, two.other = two, one
    return weakref.ref(one)


@pytest.fixture(autouse=True)
def python_s_own_schedule() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def test_a_step_frees_young_cycles() -> None:
    collector.begin()
    garbage = cycle()
    assert garbage() is not None

    collector.step()

    assert garbage() is None


def test_what_lives_is_walked_once() -> None:
    collector.begin()
    rows = [(str(number), [number]) for number in range(20_000)]
    collector.step()

    assert all(count < len(rows) for count in gc.get_count())
    assert gc.get_freeze_count() >= len(rows)


def test_only_a_full_collection_frees_a_cycle_that_was_set_aside() -> None:
    collector.begin()
    one, two = Node(), Node()
    one.other, two.other = two, one
    set_aside = weakref.ref(one)
    collector.step()

    del one, two
    collector.step()
    assert set_aside() is not None
    collector.full()
    assert set_aside() is None


async def test_steps_are_taken_until_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "STEP_SECONDS", 0.001)
    monkeypatch.setattr(collector, "FULL_SECONDS", 0.05)
    collector.begin()
    garbage, kept = cycle(), Node()
    kept.other = kept
    set_aside = weakref.ref(kept)

    running = asyncio.create_task(collector.run())
    await asyncio.sleep(0.02)
    assert garbage() is None
    del kept
    await asyncio.sleep(0.1)
    running.cancel()

    assert set_aside() is None
    with contextlib.suppress(asyncio.CancelledError):
        await running


def test_a_server_runs_without_python_s_own_schedule() -> None:
    program = """
import asyncio, gc
from kit import serving
async def main():
    await asyncio.sleep(0)
    print(gc.isenabled(), len(asyncio.all_tasks()))
serving.run(main())
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    assert ran.stdout == "False 2\n", ran.stderr

"""The upgrade of docs/operations.md under load, from the version that it is promised for."""

import asyncio
import contextlib
import dataclasses
import re
import shlex
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from deploy.local import folder
from deploy.local.stack import Stack, StackOptions
from storage import migrate
from storage.shards.store import ShardMapStore
from tests.acceptance import versions
from tests.acceptance.conftest import agree, connect, measured
from tests.acceptance.fleet import GATEWAYS, PROCESSORS, SERVERS, Fleet
from tests.acceptance.load import Load, Recorder, new_load, open_shop
from tests.acceptance.versions import PRESENT, Version
from tests.checker import History

CLIENTS = 3
"""On each of the two gateways: enough for calls under way at every moment."""


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return versions.older(Path(tmp_path_factory.mktemp("older")))


@pytest.fixture
def engines_of_older(older: Version, tmp_path: Path) -> Iterator[Stack]:
    """What a stack stands on, with the older version's schema."""
    options = StackOptions(
        data_dir=tmp_path / "stack", replicas=0, with_servers=False, migrations=older.migrations
    )
    with Stack(options) as stack:
        yield stack


@pytest.fixture
async def fleet(engines_of_older: Stack, older: Version, tmp_path: Path) -> AsyncIterator[Fleet]:
    """Two processors and two gateways of the older version."""
    stack = engines_of_older
    first_map = ShardMapStore(stack.endpoints.owner_url)
    await first_map.write_first(stack.options.layout().first_map())
    await first_map.close()
    fleet = Fleet(stack.endpoints, stack.options.region, tmp_path)
    try:
        starts = (asyncio.to_thread(fleet.start, name, older) for name in SERVERS)
        await asyncio.gather(*starts)
        yield fleet
    finally:
        await asyncio.to_thread(fleet.stop)


def written_commands() -> list[list[str]]:
    """Return the lines of each block of commands under Upgrades."""
    text = (versions.ROOT / "docs/operations.md").read_text()
    _, _, section = text.partition("\n## Upgrades\n")
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", section.partition("\n## ")[0], re.M | re.S)
    return [[line.strip() for line in block.splitlines()] for block in blocks]


def test_the_page_on_upgrades_verifies_then_migrates() -> None:
    commands = [[line.split()[:2] for line in block] for block in written_commands()]

    assert commands == [[["tender", "verify"]], [["tender", "migrate"], ["tender", "migrate"]]]


def test_each_version_runs_from_its_own_tree(older: Version) -> None:
    assert older.where_it_runs_from() == older.tree
    assert PRESENT.where_it_runs_from() == PRESENT.tree


def test_what_the_older_version_migrated_is_still_there_unchanged(older: Version) -> None:
    before = {each.name: each.checksum for each in migrate.load(older.migrations)}
    now = {each.name: each.checksum for each in migrate.load()}

    changed = sorted(name for name in before if now.get(name) != before[name])
    assert changed == [], (
        f"{', '.join(changed)}: changed since {versions.UPGRADE_FROM[:12]}, whose databases cannot "
        "be migrated any more. Put the change into a migration of its own. Only if no release has "
        "the file, let tests/acceptance/versions.py take the commit that changed it."
    )


@pytest.mark.timeout(600)
async def test_an_upgrade_and_the_way_back_fail_no_call(
    engines_of_older: Stack, older: Version, fleet: Fleet
) -> None:
    endpoints = engines_of_older.endpoints
    history = History()
    async with AsyncExitStack() as clients:
        loads = [
            await clients.enter_async_context(loaded(fleet, endpoints, name, history))
            for name in GATEWAYS
        ]

        async def each_becomes(names: Sequence[str], version: Version) -> None:
            for name in names:
                await asyncio.to_thread(fleet.replace, name, version)
                moment = time.monotonic()
                await asyncio.gather(*(load.answered_after(moment) for load in loads))

        async def tender(version: Version, lines: list[str]) -> None:
            for line in lines:
                written = line.replace("$DATABASE_URL", endpoints.owner_url)
                _, *arguments = shlex.split(written)
                await asyncio.to_thread(version.command, *arguments)

        # In the order of the page: sound books, the schema, processors, gateways.
        before, schema = written_commands()
        await tender(older, before)
        await tender(PRESENT, schema)
        await each_becomes(PROCESSORS, PRESENT)
        await each_becomes(GATEWAYS, PRESENT)
        # And back, the processors alone, so that the gateways are newer.
        await each_becomes(PROCESSORS, older)

    unknown = sum(load.recorder.unknown for load in loads)
    answered = sum(len(load.answered) for load in loads)
    measured(f"upgraded, and processors back: {answered} calls answered, {unknown} asked again")
    assert unknown == 0
    await agree(history, endpoints)


@contextlib.asynccontextmanager
async def loaded(
    fleet: Fleet, endpoints: folder.Endpoints, gateway: str, history: History
) -> AsyncIterator[Load]:
    """Keep clients of one gateway busy during the block."""
    reached = dataclasses.replace(endpoints, gateway=fleet.targets[gateway])
    async with connect(reached) as client:
        recorder = Recorder(client, history)
        load = new_load(recorder, await open_shop(recorder))
        async with load.running(CLIENTS):
            yield load

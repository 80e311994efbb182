"""The archive of a journal: what is in it, what goes from the table, and what goes on working."""

from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from deploy.local.stack import Stack
from kit.read_tokens import ReadToken
from storage.archive import manifest, ranges
from storage.archive.archiver import Archiver, Did, Wishes
from storage.archive.folder import Folder
from storage.archive.ports import ArchiveAway, Damaged
from storage.archive.ranges import Range, Row
from storage.archive.reader import ArchiveReader
from storage.postgres.lane_store import PostgresLaneStore
from storage.postgres.snapshot import PostgresSnapshot, Standing
from storage.verify import ArchiveNeeded, verify
from tests.conftest import Shard
from tests.databases import with_database
from tests.lane.conftest import running
from tests.lane.harness import Caller, authorize
from tests.storage.test_verify import fill

KEPT = 100
"""Newest rows that stay in any case."""
ROWS = KEPT + 350
NOW = Wishes(retention_seconds=0.0, after_seconds=0.0, range_rows_min=1, range_rows_max=100)


class House:
    """A shard with a folder for its archive."""

    def __init__(self, shard: Shard, url: str, path: Path) -> None:
        self.shard = shard
        self.url = url
        self.path = path
        self.files = Folder(path)

    def archiver(self, wishes: Wishes = NOW, **others: str) -> Archiver:
        return Archiver("s1", {"s1": self.url, **others}, self.files, wishes)

    async def archive(self, wishes: Wishes = NOW) -> Did:
        did = await self.archiver(wishes).once()
        assert did is not None
        return did

    async def execute(self, sql: str, *values: object) -> None:
        connection = await asyncpg.connect(self.shard.owner_url)
        try:
            await connection.execute(sql, *values)
        finally:
            await connection.close()

    async def fetch(self, sql: str, *values: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.shard.owner_url)
        try:
            return list(await connection.fetch(sql, *values))
        finally:
            await connection.close()

    async def seqs(self) -> tuple[int, int]:
        """Return the first and the last row of the table."""
        [row] = await self.fetch("SELECT min(seq), max(seq) FROM journal")
        return row[0], row[1]

    async def told(self, position: int | None = None) -> None:
        """Let a relay be so far, or at the end."""
        await self.execute(
            "INSERT INTO relays (name, epoch, owner, backend_pid, position, seen_at)"
            " VALUES ('events', 1, 'test', 0,"
            " coalesce($1, (SELECT max(seq) FROM journal)), now())"
            " ON CONFLICT (name) DO UPDATE SET position = excluded.position",
            position,
        )

    def names(self) -> list[str]:
        return sorted(str(it.relative_to(self.path)) for it in self.path.rglob("*.journal"))


@pytest.fixture
async def house(engines: Stack, shard: Shard, tmp_path: Path) -> House:
    """A filled shard whose lane has stopped, and an empty archive."""
    async with running(PostgresLaneStore(shard.lane_url, "s1")) as lane:
        caller = Caller(lane)
        content = await fill(caller)
        # A row each: one after the other.
        for _ in range(ROWS - 60):
            await caller.ask(authorize(content.payer, content.merchant, 1))
    name = shard.owner_url.rpartition("/")[2].partition("?")[0]
    relay_url = with_database(engines.endpoints.shards[0].relay_url, name)
    return House(shard, relay_url, tmp_path / "archive")


async def test_rows_are_in_files_and_the_chain_goes_on_through_them(house: House) -> None:
    did = await house.archive(NOW._replace(retention_seconds=3_600.0))

    first, last = await house.seqs()
    assert (first, did.deleted) == (1, 0)
    assert did.archived == last
    assert len(house.names()) == did.ranges == -(-last // 100)
    async with manifest.opened(house.url, "test") as found:
        reader = ArchiveReader(house.files, await found.ranges())
    assert await reader.check() == (did.ranges, last, reader_size(house))
    rows = await house.fetch("SELECT seq, body, hash, previous_hash FROM journal ORDER BY seq")
    read = [pair async for part in reader.rows(0, last) for pair in part]
    assert [(row.seq, row.body, row.hash, before) for before, row in read] == [
        tuple(row) for row in rows
    ]
    assert [row.seq async for part in reader.rows(150, 320) for _, row in part] == [
        *range(151, 321)
    ]


def reader_size(house: House) -> int:
    return sum((house.path / name).stat().st_size for name in house.names())


async def test_rows_go_once_the_relay_is_past_them_but_for_the_newest(house: House) -> None:
    assert (await house.archive()).deleted == 0

    await house.told(30)
    assert (await house.archive()).deleted == 30
    await house.told()
    await house.archive()

    first, last = await house.seqs()
    assert first == last - KEPT + 1


async def test_rows_stay_for_as_long_as_they_are_to_be_kept(house: House) -> None:
    await house.told()

    assert (await house.archive(NOW._replace(retention_seconds=3_600.0))).deleted == 0


async def test_rows_stay_while_a_courier_has_them_to_carry(house: House) -> None:
    await house.told()
    await house.execute(
        "INSERT INTO legs_sent (destination, number, seq, transfer_id, payment_id, state, body,"
        " created_at) VALUES ('s2', 1, 20, '', '', '', '', now()),"
        " ('s2', 2, 41, '', '', '', '', now()), ('s3', 1, 90, '', '', '', '', now())"
    )
    await house.execute("INSERT INTO legs_acknowledged (destination, number) VALUES ('s2', 1)")

    await house.archive()

    assert (await house.seqs())[0] == 41
    async with manifest.opened(house.url, "test") as found:
        held = {it.holder: it.through for it in await found.holders()}
    assert held["courier to s2"] == 40
    assert held["courier to s3"] == 89


async def test_rows_stay_while_another_shard_copies_from_them(
    house: House, three_shards: dict[str, Shard]
) -> None:
    other = three_shards["s2"]
    connection = await asyncpg.connect(other.owner_url)
    await connection.execute(
        "INSERT INTO bucket_copies (bucket, source, incarnation, seq, place)"
        " VALUES ('eu/00', 's1', 'x', 77, ''), ('eu/01', 's1', 'x', 5, '')"
    )
    await connection.execute(
        "INSERT INTO lane_buckets (shard, region, version, ranges)"
        """ VALUES ('s2', 'eu', 1, '[[1, 1, "OWNED", ""]]')"""
    )
    await connection.close()
    await house.told()
    name = other.owner_url.rpartition("/")[2].partition("?")[0]

    await house.archiver(s2=with_database(house.url, name)).once()

    assert (await house.seqs())[0] == 78


async def test_nothing_goes_while_a_shard_cannot_be_asked_what_it_copies(house: House) -> None:
    await house.told()

    with pytest.raises(ArchiveAway):
        await house.archiver(s2="postgresql://nobody@127.0.0.1:1/none").once()

    assert (await house.seqs())[0] == 1


async def test_verify_folds_from_the_archive_on(house: House) -> None:
    await house.told()
    await house.archive()
    first, last = await house.seqs()
    assert first > 100

    with pytest.raises(ArchiveNeeded):
        await verify(house.shard.reader_url)
    report = await verify(house.shard.reader_url, archive=house.files)

    assert report.ok, report.breaches
    assert report.head.seq == last


@pytest.mark.parametrize("what", ["altered", "missing", "exchanged"])
async def test_a_file_that_is_not_what_it_was_is_found(house: House, what: str) -> None:
    await house.told()
    await house.archive()
    path = house.path / house.names()[1]
    match what:
        case "altered":
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
        case "missing":
            path.unlink()
        case _:
            path.write_bytes((house.path / house.names()[0]).read_bytes())

    async with manifest.opened(house.url, "test") as found:
        reader = ArchiveReader(house.files, await found.ranges())
    with pytest.raises(Damaged, match=path.name):
        await reader.check()
    report = await verify(house.shard.reader_url, archive=house.files)
    assert not report.ok
    assert any(path.name in breach for breach in report.breaches)


async def test_a_lane_goes_on_behind_what_was_archived(house: House) -> None:
    await house.told()
    await house.archive()
    _, before = await house.seqs()

    async with running(PostgresLaneStore(house.shard.lane_url, "s1")) as lane:
        await Caller(lane).account("late", 5)

    _, after = await house.seqs()
    assert after > before
    assert (await verify(house.shard.reader_url, archive=house.files)).ok


async def test_a_token_of_an_archived_commit_is_still_one_of_this_history(house: House) -> None:
    await house.told()
    await house.archive()
    [row] = await house.fetch("SELECT DISTINCT incarnation FROM journal")

    connection = await asyncpg.connect(house.shard.reader_url)
    snapshot = PostgresSnapshot(connection, "s1")
    assert await snapshot.standing(ReadToken("s1", row[0], 7)) is Standing.REACHED
    assert await snapshot.standing(ReadToken("s1", "f" * 12, 7)) is Standing.ELSEWHERE
    await connection.close()


class _Leaky(Folder):
    """A folder on a disk that loses the end of what it is given."""

    def put(self, name: str, content: bytes) -> None:
        super().put(name, content[:-1])


async def test_a_file_that_cannot_be_read_back_is_not_noted(house: House) -> None:
    await house.told()

    with pytest.raises(Damaged):
        await Archiver("s1", {"s1": house.url}, _Leaky(house.path), NOW).once()

    [row] = await house.fetch("SELECT count(*) FROM journal_ranges")
    assert row[0] == 0
    assert (await house.seqs())[0] == 1


async def test_a_second_archiver_waits(house: House) -> None:
    async with manifest.opened(house.url, "test") as found:
        assert await found.take()
        assert await house.archiver().once() is None


async def test_a_range_is_noted_only_where_it_follows_and_is_what_the_journal_has(
    house: House,
) -> None:
    async with manifest.opened(house.url, "test") as found:
        before, rows = await found.rows(0, (await found.bounds()).now + timedelta(days=1), 10)
        right = Range(ranges.FORM, "s1", before, tuple(rows))
        wrong = [
            Range(ranges.FORM, "s1", rows[0].hash, tuple(rows[1:])),
            Range(ranges.FORM, "s1", b"\1" * 32, tuple(rows)),
            Range(ranges.FORM, "s1", before, (*rows[:-1], _altered(rows[-1]))),
        ]
        for one in wrong:
            with pytest.raises(ArchiveAway, match="the range"):
                async with manifest.opened(house.url, "other") as other:
                    await other.note(one, 1, b"\0" * 32)
        await found.note(right, 1, b"\0" * 32)
    with pytest.raises(ArchiveAway, match="does not follow"):
        async with manifest.opened(house.url, "other") as other:
            await other.note(right, 1, b"\0" * 32)


def _altered(row: Row) -> Row:
    return Row(row.seq, row.epoch, row.incarnation, row.body, b"\2" * 32, row.created_at)


async def test_an_archive_of_a_history_that_was_lost_is_not_gone_on_with(house: House) -> None:
    await house.archive()
    await house.execute(
        "UPDATE journal SET hash = decode(repeat('ab', 32), 'hex')"
        " WHERE seq = (SELECT max(seq) FROM journal)"
    )

    with pytest.raises(Damaged, match="rolled back"):
        await house.archive()


async def test_the_publishers_role_deletes_nothing_by_itself(house: House) -> None:
    connection = await asyncpg.connect(house.url)
    for statement in (
        "DELETE FROM journal",
        "DELETE FROM journal_ranges",
        "UPDATE journal_ranges SET name = 'x'",
        "INSERT INTO journal_ranges SELECT * FROM journal_ranges",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    await connection.close()


def test_what_a_crash_left_of_a_file_is_no_file(tmp_path: Path) -> None:
    files = Folder(tmp_path)
    files.put("s1/one", b"whole")
    files.put("s1/one", b"whole")

    assert files.get("s1/one") == b"whole"
    assert [it.name for it in (tmp_path / "s1").iterdir()] == ["one"]
    with pytest.raises(Damaged, match="missing"):
        files.get("s1/two")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ArchiveAway):
        files.put("file/one", b"")


def test_a_range_ends_where_another_history_begins_and_where_it_is_large() -> None:
    rows = [Row(n, 1, "a" if n < 4 else "b", b"x" * 10, b"", n) for n in range(1, 8)]

    assert ranges.cut(rows, 100, 100) == rows[:3]
    assert ranges.cut(rows, 2, 100) == rows[:2]
    assert ranges.cut(rows, 100, 15) == rows[:1]
    assert ranges.cut(rows[3:], 100, 1_000) == rows[3:]

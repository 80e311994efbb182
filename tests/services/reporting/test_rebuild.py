"""A projection that is made anew is the one that the events made, and takes its place at once."""

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest

from processor.consumers.ports import DependencyDown
from services.reporting import handler, rebuild, store
from services.reporting.bodies import JournalRow
from services.reporting.rebuild import Head, Rebuild
from services.reporting.records import Place, Records
from services.reporting.staging import Staging
from storage.memory import Database
from tender.v1 import event_pb2
from tests.lane.city import City, refund
from tests.lane.harness import authorize
from tests.services.reporting.journals import MemoryJournal, MemoryTopics
from tests.services.reporting.projections import (
    Projected,
    events_of,
    journal_of,
    states_of,
    sums_of,
)
from tests.services.reporting.test_images import LIFE, payment
from tests.services.reporting.test_images import refund as refund_image
from tests.storage.test_verify import fill


@pytest.fixture
async def life(city: City, ledgers: dict[str, Database]) -> dict[str, Database]:
    """Three shards after all kinds of things, some of them days apart."""
    content = await fill(city["s1"])
    cafe = await city["s2"].merchant("cafe", basis_points=1_000)
    await city.rest()
    for _ in range(3):
        paid = await city["s1"].ask(authorize(content.payer, cafe, 150))
        await city["s1"].ask(refund(paid.payment, 40))
        await city.rest()
    return ledgers


def silent(_text: str) -> None:
    """Tell nobody."""


def journals(rows: Sequence[JournalRow], share: float = 1.0) -> list[MemoryJournal]:
    """Return the first part of each shard's rows as its journal."""
    by_shard: dict[str, list[JournalRow]] = {}
    for row in rows:
        by_shard.setdefault(row.shard, []).append(row)
    return [
        MemoryJournal(shard, own[: max(1, int(len(own) * share))])
        for shard, own in by_shard.items()
    ]


async def test_it_is_what_events_made_of_it(
    projected: Projected, life: dict[str, Database]
) -> None:
    await projected.take(events_of(life))
    expected = await projected.content(without=["positions"])
    topics = MemoryTopics([])

    done = await Rebuild(journals(journal_of(life)), topics.open, silent).run(projected.url)

    assert await projected.content(without=["positions"]) == expected
    assert await projected.sums() == sums_of(life)
    assert await projected.states() == states_of(life)
    assert done.rows == len(journal_of(life))
    assert done.events == 0


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
async def test_what_journals_did_not_have_yet_comes_from_the_topics(
    projected: Projected, life: dict[str, Database], share: float
) -> None:
    await projected.take(events_of(life))
    expected = await projected.content(without=["positions"])
    topics = MemoryTopics(events_of(life))

    done = await Rebuild(journals(journal_of(life), share), topics.open, silent).run(projected.url)

    assert await projected.content(without=["positions"]) == expected
    assert 0 < done.events <= len(events_of(life)) * (1 - share / 2)


async def test_what_several_days_brought_is_folded_as_events_fold_it(projected: Projected) -> None:
    images = [*LIFE, payment(1, 2, 500, state="CAPTURED")._replace(id="other")]
    records = Records(payments=images, refunds=[refund_image("PENDING"), refund_image("SUCCEEDED")])
    async with projected.connection.transaction():
        await projected.connection.execute(handler.ENTER)
        await store.write(projected.connection, records)
    expected = await projected.content()

    other = await asyncpg.connect(projected.url)
    staging = Staging(other)
    await staging.create()
    staging.records.payments.extend(images)
    staging.records.refunds.extend(records.refunds)
    await staging.fold()
    await other.close()
    await projected.connection.execute(
        "DROP SCHEMA report CASCADE; ALTER SCHEMA report_new RENAME TO report"
    )

    assert await projected.content() == expected
    assert len(expected["day_volumes"]) == 4


async def test_its_indexes_constraints_and_rights_are_those_of_the_first(
    projected: Projected, life: dict[str, Database]
) -> None:
    queries = (
        "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'report'"
        " ORDER BY 1, 2",
        "SELECT conrelid::regclass::text, conname, contype FROM pg_constraint"
        " WHERE connamespace = 'report'::regnamespace ORDER BY 1, 2",
        "SELECT relname, reloptions, relpersistence, obj_description(oid) FROM pg_class"
        " WHERE relnamespace = 'report'::regnamespace AND relkind = 'r' ORDER BY 1",
        "SELECT table_name, privilege_type FROM information_schema.role_table_grants"
        " WHERE table_schema = 'report' AND grantee = 'tender_reporting' ORDER BY 1, 2",
        "SELECT attrelid::regclass::text, attname, col_description(attrelid, attnum)"
        " FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid AND relkind = 'r'"
        " WHERE relnamespace = 'report'::regnamespace AND attnum > 0 ORDER BY 1, attnum",
    )
    before = [await projected.connection.fetch(query) for query in queries]

    for _ in range(2):
        made = Rebuild(journals(journal_of(life)), MemoryTopics([]).open, silent)
        await made.run(projected.url)

    assert [await projected.connection.fetch(query) for query in queries] == before
    found = await projected.connection.fetch("SELECT nspname FROM pg_namespace")
    assert not {row["nspname"] for row in found} & {"report_new", "report_old"}


async def test_the_service_goes_on_in_the_new_one_with_the_same_connection(
    projected: Projected, life: dict[str, Database]
) -> None:
    events = events_of(life)
    await projected.take(events[: len(events) // 2])
    topics = MemoryTopics(events[: len(events) // 2])
    await Rebuild(journals(journal_of(life), 0.2), topics.open, silent).run(projected.url)

    await projected.take(events[len(events) // 2 :])

    assert await projected.sums() == sums_of(life)
    assert await projected.states() == states_of(life)


async def test_what_a_failover_took_back_is_gone_after_a_rebuild(
    projected: Projected, life: dict[str, Database]
) -> None:
    events = events_of(life)
    last = [event for event in events if event.shard == "s1" and event.HasField("payment")][-1]
    lost = event_pb2.Event()
    lost.CopyFrom(last)
    lost.incarnation = "0" * 12
    lost.seq += 1_000
    lost.payment.payment.id += "lost"
    lost.create_time.seconds -= 1
    await projected.take([*events, lost])
    assert await projected.states() != states_of(life)

    topics = MemoryTopics([*events, lost])
    await Rebuild(journals(journal_of(life)), topics.open, silent).run(projected.url)

    assert await projected.states() == states_of(life)


async def test_one_rebuild_runs_at_a_time(projected: Projected, life: dict[str, Database]) -> None:
    other = await asyncpg.connect(projected.url)
    await other.execute("SELECT pg_advisory_lock($1)", rebuild.REBUILD_LOCK)

    with pytest.raises(rebuild.Busy):
        await Rebuild([], MemoryTopics([]).open, silent).run(projected.url)

    await other.close()


async def test_one_that_failed_leaves_the_old_projection_and_can_be_repeated(
    projected: Projected, life: dict[str, Database]
) -> None:
    await projected.take(events_of(life))
    expected = await projected.content()
    rows = journal_of(life)
    broken = [*rows[:10], rows[10]._replace(body=b"none"), *rows[11:]]

    with pytest.raises(Exception, match=r"row \d+"):
        await Rebuild(journals(broken), MemoryTopics([]).open, silent).run(projected.url)

    assert await projected.content() == expected
    await Rebuild(journals(rows), MemoryTopics([]).open, silent).run(projected.url)
    assert await projected.sums() == sums_of(life)


async def test_a_writer_waits_for_a_swap_and_blames_no_event(
    projected: Projected, life: dict[str, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "ENTER", handler.ENTER.replace("'3s'", "'50ms'"))
    other = await asyncpg.connect(projected.url)
    await other.execute("SELECT pg_advisory_lock($1)", handler.SWAP_LOCK)

    with pytest.raises(DependencyDown):
        await asyncio.wait_for(projected.take(events_of(life)), 10)

    await other.close()


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (Place("s1", "b", 11, 2_000), True),
        (Place("s1", "b", 10, 1_000), False),
        (Place("s1", "a", 12, 999), False),
        (Place("s1", "c", 11, 1_001), True),
        (Place("s2", "z", 1, 1), True),
    ],
)
def test_what_follows_a_journal_is_told_from_what_was_lost(place: Place, expected: bool) -> None:
    head = {"s1": Head(Place("s1", "b", 10, 1_000), 1_500)}

    assert rebuild.follows(place, head.get(place.shard)) is expected

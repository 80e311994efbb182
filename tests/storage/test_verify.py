"""Verify on a real shard: clean after real payments, and exact about every alteration."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import asyncpg
import pytest

from deploy.local.stack import Stack
from processor.domain.ownership import NAMES
from processor.lane import Lane, Limits
from storage.postgres.lane_store import PostgresLaneStore
from storage.verify import Anchor, Report, verify
from tender.v1 import account_pb2, merchant_pb2, payment_pb2
from tests.conftest import Shard
from tests.databases import with_database
from tests.lane.conftest import running
from tests.lane.harness import Caller, authorize, euros, unique
from tests.storage.alterations import ALTERATIONS

MANUAL = payment_pb2.CAPTURE_METHOD_MANUAL
MULTIPLE = payment_pb2.CAPTURE_METHOD_MANUAL_MULTIPLE

BYTES_ALTERED = 60
MANY_PAYMENTS = 20_000
REPLAY_SECONDS_MAX = 30.0
"""Half a second on a quiet core: 100,000 payments took 2.5 s."""


class Content(NamedTuple):
    """What stands in the shard that the tests alter."""

    payer: str
    merchant: str
    settlement: str
    held: str
    refunded: str
    captured: str


async def fill(caller: Caller) -> Content:
    """Make every kind of row: payments in every state, refunds, fees, reversals, tombstones."""
    payer = await caller.account("alice", 100_000)
    merchant = await caller.merchant("shop", basis_points=150, fixed=10)
    held = await caller.ask(authorize(payer, merchant, 700, capture_method=MANUAL))
    captured = await caller.ask(authorize(payer, merchant, 1_000, unique("automatic")))
    refunded = await caller.ask(authorize(payer, merchant, 2_000))
    for amount in (300, 400):
        await caller.ask(
            payment_pb2.RefundPaymentRequest(
                request_id=unique(), payment_id=refunded.payment.id, amount=euros(amount)
            )
        )
    parts = await caller.ask(authorize(payer, merchant, 900, capture_method=MULTIPLE))
    for amount in (200, 300):
        await caller.ask(
            payment_pb2.CapturePaymentRequest(
                request_id=unique(), payment_id=parts.payment.id, amount=euros(amount)
            )
        )
    voided = await caller.ask(authorize(payer, merchant, 50, capture_method=MANUAL))
    await caller.ask(
        payment_pb2.VoidPaymentRequest(request_id=unique(), payment_id=voided.payment.id)
    )
    declined = await caller.ask(authorize(payer, merchant, 10_000_000))
    assert declined.payment.state == payment_pb2.Payment.STATE_DECLINED
    await reverse_around(caller, payer, merchant)
    frozen = await caller.account("frozen", 5)
    await caller.ask(account_pb2.FreezeAccountRequest(request_id=unique(), account_id=frozen))
    await caller.ask(
        merchant_pb2.UpdateMerchantRequest(
            request_id=unique(),
            merchant=merchant_pb2.Merchant(id=merchant, display_name="New name"),
            update_mask={"paths": ["display_name"]},
        )
    )
    return Content(
        payer,
        merchant,
        captured.payment.settlement_account_id,
        held.payment.id,
        refunded.payment.id,
        captured.payment.id,
    )


async def reverse_around(caller: Caller, payer: str, merchant: str) -> None:
    """Reverse a payment after it, one before it arrives, and one that never arrives."""
    after, before, never = unique("after"), unique("before"), unique("never")
    await caller.ask(authorize(payer, merchant, 60, after))
    for original in (after, before, never):
        await caller.ask(
            payment_pb2.ReversePaymentRequest(
                request_id=unique(),
                original_request_id=original,
                payer_account_id=payer,
                merchant_id=merchant,
            )
        )
    late = await caller.ask(authorize(payer, merchant, 70, before))
    assert late.payment.decline_reason == payment_pb2.DECLINE_REASON_REVERSED


@pytest.fixture
async def content(shard: Shard) -> Content:
    """A filled shard whose lane has stopped."""
    async with running(PostgresLaneStore(shard.lane_url, "s1")) as lane:
        caller = Caller(lane)
        filled = await fill(caller)
        await asyncio.gather(*(in_one_batch(caller, filled) for _ in range(40)))
        return filled


async def in_one_batch(caller: Caller, filled: Content) -> None:
    """Take several steps of one payment in one batch, which leaves one image of it."""
    request_id = unique()
    await asyncio.gather(
        caller.send(authorize(filled.payer, filled.merchant, 5, request_id, capture_method=MANUAL)),
        caller.send(
            payment_pb2.ReversePaymentRequest(
                request_id=unique(),
                original_request_id=request_id,
                payer_account_id=filled.payer,
                merchant_id=filled.merchant,
            )
        ),
    )


async def alter(shard: Shard, sql: str, *arguments: Any) -> Any:
    """Do what a superuser can: constraints do not stop one."""
    connection = await asyncpg.connect(shard.owner_url)
    try:
        for table in ("payments", "accounts", "transfers", "refunds"):
            await connection.execute(
                f"""
                DO $$ DECLARE one text; BEGIN
                    FOR one IN SELECT conname FROM pg_constraint
                                WHERE conrelid = '{table}'::regclass AND contype = 'c'
                    LOOP EXECUTE format('ALTER TABLE {table} DROP CONSTRAINT %I', one);
                    END LOOP;
                END $$
                """
            )
        return await connection.fetchval(sql, *arguments)
    finally:
        await connection.close()


def found(report: Report, *parts: str) -> bool:
    """Whether one breach has all the parts."""
    return any(all(part in breach for part in parts) for breach in report.breaches)


async def test_a_clean_shard_verifies(shard: Shard, content: Content) -> None:
    seen: list[tuple[str, int, int]] = []

    report = await verify(shard.reader_url, lambda *step: seen.append(step))

    assert report.ok, report.breaches
    assert report.head.seq > 20
    assert {check.invariant for check in report.checks} == {
        "I1", "I2", "I3", "I4", "I8", "I9", "R17",
    }  # fmt: skip
    # One shard by itself sends nothing and has nothing to clear.
    between_shards = {"legs equal the journal", "clearing accounts are the sums of legs"}
    assert all(check.rows for check in report.checks if check.name not in between_shards)
    assert {"journal", "done"} <= {phase for phase, _, _ in seen}
    assert '"ok":true' in report.to_json()


async def test_an_empty_shard_verifies(shard: Shard) -> None:
    report = await verify(shard.reader_url)

    assert report.ok, report.breaches
    assert report.head.seq == 0


@pytest.mark.parametrize("what", ALTERATIONS)
async def test_an_alteration_is_found_and_named(what: str, shard: Shard, content: Content) -> None:
    alteration = ALTERATIONS[what]

    altered = await alter(shard, alteration.sql)
    report = await verify(shard.reader_url)

    assert altered is not None
    assert not report.ok
    for name in alteration.names:
        assert found(report, name.replace("{}", str(altered))), (name, altered, report.breaches)
    if alteration.only:
        assert len(report.breaches) <= alteration.only, report.breaches
    else:
        assert len(report.breaches) < 200


async def test_any_byte_of_the_journal_is_found(shard: Shard, content: Content) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    set_body = "UPDATE journal SET body = $2 WHERE seq = $1"

    for _ in range(BYTES_ALTERED):
        seq = chance.randint(1, (await verify(shard.reader_url)).head.seq)
        body = await alter(shard, "SELECT body FROM journal WHERE seq = $1", seq)
        at = chance.randrange(len(body))
        other = chance.choice([byte for byte in range(256) if byte != body[at]])
        await alter(shard, set_body, seq, body[:at] + bytes([other]) + body[at + 1 :])
        report = await verify(shard.reader_url)
        await alter(shard, set_body, seq, body)

        assert found(report, f"journal seq={seq}: hash is"), (seed, seq, at, other)


async def test_a_journal_cut_off_with_all_it_wrote_is_found_by_an_anchor(
    shard: Shard, content: Content
) -> None:
    head = (await verify(shard.reader_url)).head
    anchor = Anchor(head.seq, bytes.fromhex(head.hash))
    await alter(shard, "DELETE FROM journal WHERE seq = $1", head.seq)

    honest = await verify(shard.reader_url, anchors=(Anchor(1, await first_hash(shard)),))
    report = await verify(shard.reader_url, anchors=(anchor,))

    assert not found(honest, "anchor")
    assert found(report, f"journal seq={head.seq}: is missing", "anchor")


async def first_hash(shard: Shard) -> bytes:
    hash_: bytes = await alter(shard, "SELECT hash FROM journal WHERE seq = 1")
    return hash_


@contextlib.asynccontextmanager
async def forgetful(shard: Shard) -> AsyncIterator[Lane]:
    """A lane that has deleted all request keys by itself."""
    limits = Limits(request_key_retention_seconds=0, housekeeping_seconds=0.05)
    async with running(PostgresLaneStore(shard.lane_url, "s1"), limits=limits) as lane:
        for _ in range(100):
            if not await alter(shard, "SELECT count(*) FROM requests"):
                break
            await asyncio.sleep(0.05)
        yield lane


async def test_keys_deleted_by_the_lane_are_not_missed(shard: Shard, content: Content) -> None:
    async with forgetful(shard) as lane:
        used_again = authorize(content.payer, content.merchant, 5, "automatic-again")
        await Caller(lane).ask(used_again)

    report = await verify(shard.reader_url)

    assert report.ok, report.breaches


async def test_a_key_that_comes_back_after_its_deletion_is_found(
    shard: Shard, content: Content
) -> None:
    await alter(shard, "CREATE TABLE kept AS SELECT * FROM requests")
    async with forgetful(shard):
        pass
    back = await alter(
        shard, "INSERT INTO requests SELECT * FROM kept LIMIT 1 RETURNING request_id"
    )

    report = await verify(shard.reader_url)

    assert found(report, f"request_id='{back}': is in the table, but journal seq=", "deleted it")
    assert len(report.breaches) == 1


@pytest.fixture
async def busy(shard: Shard) -> AsyncIterator[tuple[Caller, Content]]:
    """A filled shard whose lane goes on."""
    async with running(PostgresLaneStore(shard.lane_url, "s1")) as lane:
        caller = Caller(lane)
        yield caller, await fill(caller)


async def test_verify_sees_one_moment_while_the_lane_writes(
    shard: Shard, busy: tuple[Caller, Content]
) -> None:
    caller, content = busy
    stop = asyncio.Event()

    async def pay() -> None:
        while not stop.is_set():
            paid = await caller.ask(authorize(content.payer, content.merchant, 2))
            refund = payment_pb2.RefundPaymentRequest(
                request_id=unique(), payment_id=paid.payment.id
            )
            await caller.ask(refund)

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(pay())
        reports = [await verify(shard.reader_url) for _ in range(5)]
        stop.set()

    assert [report.breaches for report in reports] == [[]] * 5
    assert reports[0].head.seq < reports[-1].head.seq


async def replayed(primary_url: str, replica_url: str) -> None:
    """Wait until a replica has replayed all that the primary has written; even the database."""
    primary, replica = await asyncpg.connect(primary_url), await asyncpg.connect(replica_url)
    try:
        written = await primary.fetchval("SELECT pg_current_wal_lsn()::text")
        async with asyncio.timeout(REPLAY_SECONDS_MAX):
            behind = True
            while behind:
                behind = await replica.fetchval(
                    "SELECT pg_last_wal_replay_lsn() < $1::text::pg_lsn", written
                )
    finally:
        await primary.close()
        await replica.close()


async def test_a_replica_verifies_too(engines: Stack, shard: Shard, content: Content) -> None:
    [replica_url] = engines.endpoints.replica_urls
    database = urlsplit(shard.reader_url).path.lstrip("/")
    head = (await verify(shard.reader_url)).head
    await replayed(shard.owner_url, with_database(replica_url, "template1"))

    report = await verify(with_database(replica_url, database))

    assert report.head == head
    assert report.ok, report.breaches


async def test_many_payments_are_verified(shard: Shard, busy: tuple[Caller, Content]) -> None:
    caller, content = busy
    for _ in range(MANY_PAYMENTS // 2_000):
        await asyncio.gather(
            *(caller.send(authorize(content.payer, content.merchant, 1)) for _ in range(2_000))
        )

    report = await verify(shard.reader_url)

    assert report.ok, report.breaches


async def test_an_alteration_of_what_a_shard_owns_is_found(shard: Shard) -> None:
    lane = Lane(PostgresLaneStore(shard.lane_url, "s1"), region="eu", shard="s1", owner="test")
    lane.set_homes({f"eu/{name}": "s1" for name in NAMES} | {"us/00": "s2"}, 1)
    running_lane = asyncio.create_task(lane.run())
    await lane.opened()
    await lane.release_buckets(0, 9, "s2")
    await lane.stop(1.0)
    await running_lane
    before = await verify(shard.owner_url)
    owner = await asyncpg.connect(shard.owner_url)
    await owner.execute('UPDATE lane_buckets SET ranges = \'[[0,1023,"OWNED",""]]\'')
    await owner.close()

    after = await verify(shard.owner_url)

    assert before.breaches == []
    [breach] = after.breaches
    assert breach.startswith("lane_buckets shard=s1: row is")

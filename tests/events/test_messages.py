"""What a journal row says to others: all of it, once, and as callers see it."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

import pytest

from kit import frames
from processor.events import messages
from processor.events.messages import told_of
from processor.events.ports import Message, Row
from processor.events.rows import BadRow
from storage.memory import Database, MemoryLaneStore
from tender.v1 import event_pb2, payment_pb2
from tests.events.told import messages_of, parsed, rows_of
from tests.lane.city import city_of, refund
from tests.lane.conftest import running
from tests.lane.harness import Caller, authorize, euros, unique
from tests.storage.test_verify import fill

BURST = 30


@pytest.fixture
async def database() -> Database:
    """A shard in which every kind of thing happened, some of them in one batch."""
    database = Database()
    async with running(MemoryLaneStore(database, "s1")) as lane:
        caller = Caller(lane)
        content = await fill(caller)
        await asyncio.gather(
            *(_twice(caller, content.payer, content.merchant) for _ in range(BURST))
        )
    return database


async def _twice(caller: Caller, payer: str, merchant: str) -> None:
    """Pay, and give it back."""
    paid = await caller.ask(authorize(payer, merchant, 10))
    await asyncio.gather(
        *(
            caller.ask(
                payment_pb2.RefundPaymentRequest(
                    request_id=unique(), payment_id=paid.payment.id, amount=euros(5)
                )
            )
            for _ in range(2)
        )
    )


async def test_every_message_is_what_the_generated_code_would_write(database: Database) -> None:
    for _, _, value, _ in messages_of(rows_of(database)):
        event = event_pb2.Event.FromString(value)
        written = event.SerializeToString(deterministic=True)
        assert event_pb2.Event.FromString(written) == event
        assert len(written) == len(value)


async def test_headers_and_keys_say_what_the_event_says(database: Database) -> None:
    for topic, key, value, pairs in messages_of(rows_of(database)):
        event = event_pb2.Event.FromString(value)
        headers = {name: text for name, text in pairs if isinstance(text, str)}
        assert len(headers) == len(pairs) == 8
        assert headers["event-id"] == event.id
        assert headers["event-type"] == event.type
        assert headers["schema-version"] == "1"
        assert headers["shard"] == event.shard == "s1"
        assert headers["incarnation"] == event.incarnation
        assert int(headers["seq"]) == event.seq
        assert int(headers["version"]) == event.version
        assert event.id == f"s1.{event.incarnation}.{event.seq}.{event.index}"
        assert event.tenant_id == "dev"
        if topic != messages.TRANSFERS:
            assert key == event.entity_id


async def test_a_row_that_is_published_again_says_the_same(database: Database) -> None:
    for row in rows_of(database):
        assert told_of(row) == told_of(row)


async def test_each_event_has_its_own_id(database: Database) -> None:
    events = parsed(messages_of(rows_of(database)))

    assert len({event.id for event in events}) == len(events)


async def test_payments_say_each_transition_and_end_as_they_are(database: Database) -> None:
    versions: dict[str, list[int]] = defaultdict(list)
    last: dict[str, event_pb2.Event] = {}
    for event in parsed(messages_of(rows_of(database))):
        if event.HasField("payment"):
            versions[event.entity_id].append(event.version)
            last[event.entity_id] = event
            assert event.payment.payment.version >= event.version

    assert versions.keys() == database.payments.keys()
    for payment_id, payment in database.payments.items():
        assert versions[payment_id] == list(range(1, payment.version + 1))
        said = last[payment_id].payment.payment
        assert said.state == payment_pb2.Payment.State.Value(f"STATE_{payment.state}")
        assert (said.captured.minor_units, said.refunded.minor_units) == (
            payment.captured,
            payment.refunded,
        )


async def test_every_refund_is_said_with_its_payment(database: Database) -> None:
    said = {
        refund.id
        for event in parsed(messages_of(rows_of(database)))
        for refund in event.payment.refunds
    }

    assert said == database.refunds.keys()


async def test_every_transfer_is_said_once_with_both_balances(database: Database) -> None:
    events = [one for one in parsed(messages_of(rows_of(database))) if one.HasField("transfer")]

    assert [event.entity_id for event in events] == list(database.transfers)
    for event in events:
        transfer = database.transfers[event.entity_id]
        assert event.transfer.transfer.amount.minor_units == transfer.amount
        assert event.transfer.source_posted_after == transfer.debit_posted_after
        assert event.transfer.destination_posted_after == transfer.credit_posted_after


async def test_accounts_end_with_their_balance(database: Database) -> None:
    last = {
        event.entity_id: event.account
        for event in parsed(messages_of(rows_of(database)))
        if event.HasField("account")
    }

    assert last.keys() == database.accounts.keys()
    for account_id, account in database.accounts.items():
        said = last[account_id]
        assert (said.posted.minor_units, said.held.minor_units, said.version) == (
            account.posted,
            account.held,
            account.version,
        )


async def test_what_happened_to_accounts_and_merchants_has_its_name(database: Database) -> None:
    types = {event.type for event in parsed(messages_of(rows_of(database)))}

    assert types >= {
        "account_opened",
        "account_updated",
        "account_frozen",
        "merchant_created",
        "merchant_updated",
        "payment_reversed_before_arrival",
        "payment_voided",
        "payment_declined",
        "transfer_posted",
    }


async def test_between_shards_a_key_s_events_come_from_one_of_them() -> None:
    databases = {name: Database() for name in ("s1", "s2", "s3")}
    async with city_of(lambda name: MemoryLaneStore(databases[name], name)) as city:
        payer = await city["s1"].account("alice", 10_000)
        merchant = await city["s2"].merchant("cafe", basis_points=1_000)
        paid = await city["s1"].ask(authorize(payer, merchant, 1_000))
        await city["s1"].ask(refund(paid.payment, 400))
        await city.rest()
        await city.rest()

    told: dict[str, list[Message]] = {
        name: messages_of(rows_of(database, name)) for name, database in databases.items()
    }
    sources: dict[tuple[str, str], set[str]] = defaultdict(set)
    for name, said in told.items():
        for topic, key, _, _ in said:
            sources[topic, key].add(name)
    assert all(len(names) == 1 for names in sources.values())
    last = [event for event in parsed(told["s1"]) if event.entity_id == paid.payment.id][-1]
    assert last.type == "payment_refunded"
    assert [one.state for one in last.payment.refunds] == [payment_pb2.Refund.STATE_SUCCEEDED]
    remote = _remote_accounts(told["s1"])
    assert remote
    assert all("_us_" in account for account in remote)


def _remote_accounts(said: Sequence[Message]) -> list[str]:
    events = [event for event in parsed(said) if event.HasField("transfer")]
    found = [event.transfer.transfer.remote_account_id for event in events]
    return [account for account in found if account]


@pytest.mark.parametrize(
    "body", [b"", b"no frame", frames.pack(b"no json"), frames.pack(b"{}"), frames.pack(b"[1]")]
)
def test_a_row_that_cannot_be_read_is_said_to_be_so(body: bytes) -> None:
    with pytest.raises(BadRow, match="s1: row 7"):
        told_of(Row("s1", "abc", 7, body, 0))

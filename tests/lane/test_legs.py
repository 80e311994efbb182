"""Money between lanes: it arrives once, whatever happens to calls and lanes on the way."""

import asyncio
import contextlib
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator

import asyncpg
import pytest

from processor import legs
from processor.domain.legs import Kind, Leg
from processor.lane import Limits
from processor.ports import Batch, LaneBusy, LaneClosed, LaneStorage, Ownership
from storage.memory import Database, MemoryLaneStore
from storage.verify import verify
from tender.v1 import account_pb2, merchant_pb2, payment_pb2
from tests.conftest import Shard
from tests.lane.city import City, city_of, refund
from tests.lane.conftest import Databases, store_of
from tests.lane.faulty import FaultyStore
from tests.lane.harness import Caller, authorize, euros, unique

CAPTURED = payment_pb2.Payment.STATE_CAPTURED
PENDING = payment_pb2.Refund.STATE_PENDING


@pytest.fixture
async def city(databases: Databases) -> AsyncIterator[City]:
    async with city_of(store_of(databases)) as city:
        yield city


async def wallet_of(caller: Caller, merchant_id: str) -> str:
    """Return the account that a merchant's money goes to."""
    answer = await caller.ask(
        merchant_pb2.UpdateMerchantRequest(
            request_id=unique(),
            merchant=merchant_pb2.Merchant(id=merchant_id, display_name="same"),
            update_mask={"paths": ["display_name"]},
        )
    )
    account_id: str = answer.merchant.settlement_terms[0].account_id
    return account_id


async def test_a_payment_to_another_shard_arrives(city: City) -> None:
    payer = await city["s1"].account("alice", 10_000)
    merchant = await city["s2"].merchant("cafe", basis_points=1_000)

    paid = await city["s1"].ask(authorize(payer, merchant, 1_000))
    await city.rest()

    assert paid.payment.state == CAPTURED
    assert paid.payment.fee.minor_units == 100
    assert await city.posted(payer) == 9_000
    assert await city.posted(await wallet_of(city["s2"], merchant)) == 900


async def test_a_merchant_is_answered_once_the_other_shards_know_it(city: City) -> None:
    payers = {shard: await city[shard].account("alice", 1_000) for shard in city.lanes}

    merchant = await city["s2"].merchant("cafe")
    replies = [await city[s].send(authorize(payer, merchant, 1)) for s, payer in payers.items()]

    assert [reply.reason for reply in replies] == ["", "", ""]


async def test_a_merchant_is_answered_although_a_shard_is_away(city: City) -> None:
    await city["s2"].merchant("first")
    city.peers.away.add("s3")
    started = time.monotonic()

    merchant = await city["s2"].merchant("cafe")

    assert time.monotonic() - started < 1.5
    payer = await city["s1"].account("alice", 1_000)
    await city["s1"].ask(authorize(payer, merchant, 1))
    city.peers.away.clear()
    await city.rest()
    payer = await city["s3"].account("alice", 1_000)
    await city["s3"].ask(authorize(payer, merchant, 1))


async def test_a_refund_is_done_once_its_answer_is_back(city: City) -> None:
    payer = await city["s1"].account("alice", 10_000)
    merchant = await city["s2"].merchant("cafe", basis_points=1_000)
    paid = await city["s1"].ask(authorize(payer, merchant, 1_000))

    answer = await city["s1"].ask(refund(paid.payment, 400))
    await city.rest()
    await city.rest()

    assert answer.refund.state == PENDING
    assert answer.payment.refund_pending.minor_units == 400
    assert await city.posted(payer) == 9_400
    assert await city.posted(await wallet_of(city["s2"], merchant)) == 540
    assert await city["s1"].refused(refund(paid.payment, 601)) == "REFUND_EXCEEDS_CAPTURED"


async def test_a_refund_that_a_frozen_merchant_cannot_give_leaves_all_as_it_was(
    city: City,
) -> None:
    payer = await city["s1"].account("alice", 10_000)
    merchant = await city["s2"].merchant("cafe")
    wallet = await wallet_of(city["s2"], merchant)
    paid = await city["s1"].ask(authorize(payer, merchant, 1_000))
    await city.rest()
    await city["s2"].ask(account_pb2.FreezeAccountRequest(request_id=unique(), account_id=wallet))

    await city["s1"].ask(refund(paid.payment))
    await city.rest()
    await city.rest()

    again = await city["s1"].ask(refund(paid.payment))
    assert again.payment.refund_pending.minor_units == 1_000
    assert await city.posted(payer) == 9_000


async def test_a_transfer_names_the_account_on_the_other_side(city: City) -> None:
    payer, payee = await city["s1"].account("a", 100), await city["s2"].account("b")

    sent = await city["s1"].ask(
        account_pb2.CreateTransferRequest(
            request_id=unique(),
            source_account_id=payer,
            destination_account_id=payee,
            amount=euros(70),
        )
    )
    await city.rest()

    assert sent.transfer.remote_account_id == payee
    assert sent.transfer.source_account_id == payer
    assert await city.posted(payee) == 70


# Lanes and peers that go away.


async def test_what_was_committed_before_a_lane_died_is_carried_by_its_successor(
    city: City,
) -> None:
    payer = await city["s1"].account("alice", 10_000)
    merchant = await city["s2"].merchant("cafe")
    await city.rest()
    city.peers.away.add("s2")
    for _ in range(5):
        await city["s1"].ask(authorize(payer, merchant, 100))

    await city.kill("s1")
    city.peers.away.clear()
    await city.start("s1")
    await city.rest()

    assert await city.posted(await wallet_of(city["s2"], merchant)) == 500


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("victim", ["s1", "s2"])
async def test_a_leg_has_one_effect_whichever_lane_dies_while_it_is_carried(
    city: City, victim: str, where: str
) -> None:
    payer = await city["s1"].account("alice", 10_000)
    merchant = await city["s2"].merchant("cafe", basis_points=1_000)
    await city.rest()
    city.peers.held_at = where
    paid = await city["s1"].ask(authorize(payer, merchant, 1_000))
    await asyncio.wait_for(city.peers.reached.wait(), 5)

    await city.kill(victim)
    city.peers.go_on.set()
    await city.start(victim)
    await city.rest()
    await city["s1"].ask(refund(paid.payment, 100))
    await city.rest()
    await city.rest()

    assert await city.posted(payer) == 9_100
    assert await city.posted(await wallet_of(city["s2"], merchant)) == 810


async def test_payments_go_on_while_the_merchant_s_shard_is_down(city: City) -> None:
    payer = await city["s1"].account("alice", 10_000)
    merchant = await city["s2"].merchant("cafe")
    await city.rest()
    await city.kill("s2")

    paid = await asyncio.gather(
        *(city["s1"].ask(authorize(payer, merchant, 10)) for _ in range(700))
    )
    await city.start("s2")
    await city.rest()

    assert all(one.payment.state == CAPTURED for one in paid)
    assert await city.posted(await wallet_of(city["s2"], merchant)) == 7_000


async def test_a_destination_that_knows_more_than_was_sent_gets_nothing(city: City) -> None:
    payer = await city["s1"].account("alice", 10_000)
    merchant = await city["s2"].merchant("cafe")
    await city["s1"].ask(authorize(payer, merchant, 100))
    await city.rest()
    await city.kill("s1")
    # The history of s1 is lost, that of s2 is not.
    city.store = lambda name: MemoryLaneStore(Database(), name)

    await city.start("s1")
    payee = await city["s2"].account("bob")
    payer = await city["s1"].account("alice", 10_000)
    await city["s1"].ask(
        account_pb2.CreateTransferRequest(
            request_id=unique(),
            source_account_id=payer,
            destination_account_id=payee,
            amount=euros(70),
        )
    )
    await asyncio.sleep(0.2)

    assert await city.posted(payee) == 0


# What a lane says to whoever carries.


def leg(number: int, account_id: str, **fields: object) -> bytes:
    one = Leg("s1", "s2", number, Kind.TRANSFER, 1, "dev", account_id, amount=10, currency="EUR")
    one = one._replace(**{"reason": "PERSON_TO_PERSON", **fields})  # type: ignore[arg-type]
    return legs.encode(one).encode()


@contextlib.asynccontextmanager
async def alone(databases: Databases) -> AsyncIterator[City]:
    """Shard s2 by itself: the legs that it gets are made up."""
    city = City(store_of(databases))
    try:
        await city.start("s2")
        yield city
    finally:
        await city.close()


async def test_a_leg_takes_effect_once_and_only_in_its_turn(databases: Databases) -> None:
    async with alone(databases) as city:
        lane, payee = city.lanes["s2"], await city["s2"].account("bob")
        made = [leg(number, payee) for number in range(1, 5)]

        assert await lane.carry("s1", 0, ()) == 0
        assert await lane.carry("s1", 2, made[1:2]) == 0
        assert await lane.carry("s1", 1, made[:2]) == 2
        assert await lane.carry("s1", 1, made) == 4
        assert await lane.carry("s1", 4, made[3:]) == 4
        assert await lane.carry("s1", 0, ()) == 4
        assert await lane.carry("s3", 0, ()) == 0
        assert await city.posted(payee) == 40


async def test_calls_at_once_have_the_effect_of_one(databases: Databases) -> None:
    async with alone(databases) as city:
        lane, payee = city.lanes["s2"], await city["s2"].account("bob")
        made = [leg(number, payee) for number in range(1, 301)]

        positions = await asyncio.gather(*(lane.carry("s1", 1, made) for _ in range(4)))

        assert positions == [300] * 4
        assert await city.posted(payee) == 3_000


async def test_money_for_three_hundred_cold_accounts_is_loaded_together(
    databases: Databases,
) -> None:
    async with alone(databases) as city:
        payees = [await city["s2"].account(f"user-{n}") for n in range(300)]
        await city.kill("s2")
        await city.start("s2")
        store, loads = city.stores["s2"], 0
        load = store.load

        async def counted(items: object) -> object:
            nonlocal loads
            loads += 1
            return await load(items)  # type: ignore[arg-type]

        store.load = counted  # type: ignore[method-assign, assignment]
        made = [leg(number, payee) for number, payee in enumerate(payees, start=1)]

        assert await city.lanes["s2"].carry("s1", 1, made) == 300
        assert loads < 10


@pytest.mark.parametrize(
    "broken",
    [
        b"{",
        b"\xff",
        b"{}",
        leg(3, "acc_us_0"),
        leg(2, "acc_us_0", destination="s3"),
        leg(2, "acc_us_0", source="s3"),
        leg(2, "acc_us_0", kind="FUTURE"),
        leg(2, "acc_us_0", reason="FUTURE"),
        leg(2, "acc_us_0", kind=Kind.REFUND_CREDIT, payment_id="pay_us_0", refund_id="ref_us_0"),
        leg(2, "acc_us_0", kind=Kind.SUSPENSE, concerning=9),
    ],
)
async def test_a_leg_that_cannot_be_decided_stops_its_source_and_nobody_else(
    databases: Databases, broken: bytes
) -> None:
    async with alone(databases) as city:
        lane, payee = city.lanes["s2"], await city["s2"].account("bob", 5)

        assert await lane.carry("s1", 1, [leg(1, payee), broken, leg(3, payee)]) == 1
        assert await lane.carry("s1", 2, [broken, leg(3, payee)]) == 1
        other = leg(1, payee, source="s3")
        assert await lane.carry("s3", 1, [other]) == 1
        assert await city.posted(payee) == 25


async def test_a_lane_that_is_not_held_takes_no_legs(databases: Databases) -> None:
    async with alone(databases) as city:
        lane = city.lanes["s2"]
        await city.stop("s2")

        with pytest.raises(LaneClosed):
            await lane.carry("s1", 0, ())


async def test_a_lane_whose_queue_is_full_says_so(databases: Databases) -> None:
    city = City(store_of(databases))
    city.limits = Limits(queue_bytes_max=0)
    await city.start("s2")

    with pytest.raises(LaneBusy):
        await city.lanes["s2"].carry("s1", 1, [leg(1, "acc_us_0")])
    await city.close()


# Whatever happens.


class FlakyStore(FaultyStore):
    """A shard whose connection breaks now and then, before or after a batch is committed."""

    def __init__(self, store: LaneStorage, chance: random.Random) -> None:
        super().__init__(store)
        self._chance = chance

    async def apply(self, ownership: Ownership, batch: Batch) -> None:
        if self._chance.random() < 0.03:
            self.lose_before, self.lose_after = self._chance.choice([(1, 0), (0, 1)])
        await super().apply(ownership, batch)


@pytest.mark.parametrize("number", range(3))
async def test_no_money_is_made_or_lost_while_calls_fail_and_lanes_die(
    databases: Databases, number: int
) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    print("seed", seed)  # noqa: T201
    shards = ("s1", "s2", "s3")
    store = store_of(databases)
    async with city_of(lambda name: FlakyStore(store(name), chance), seed) as city:
        payers = {s: [await city[s].account(f"{s}-{n}", 5_000) for n in range(3)] for s in shards}
        merchants = {s: await city[s].merchant(f"shop-{s}", basis_points=700) for s in shards}
        wallets = {s: await wallet_of(city[s], merchants[s]) for s in shards}
        # A lane that was lost while it told the others of a merchant answered before they knew it.
        await city.rest()
        city.peers.fault_share = 0.3
        paid: dict[str, list[payment_pb2.Payment]] = defaultdict(list)
        for _ in range(60):
            source, to = chance.choice(shards), chance.choice(shards)
            await step(city, chance, source, to, payers, merchants, paid)
            if chance.random() < 0.15:
                killed = chance.choice(shards)
                await city.kill(killed)
                await city.start(killed)
        city.peers.fault_share = 0.0
        for _ in range(3):  # A leg may be answered by another.
            await city.rest()
        held = [name for names in payers.values() for name in names] + [*wallets.values()]
        total = sum([await city.posted(name) for name in held])
    await check_books(databases, total)


async def step(
    city: City,
    chance: random.Random,
    source: str,
    to: str,
    payers: dict[str, list[str]],
    merchants: dict[str, str],
    paid: dict[str, list[payment_pb2.Payment]],
) -> None:
    """Do one thing, and do not wait for what comes of it on another shard."""
    payer = chance.choice(payers[source])
    if paid[source] and chance.random() < 0.4:
        payment = chance.choice(paid[source])
        city[source].send(refund(payment, chance.randint(1, 80)))
    elif chance.random() < 0.3:
        city[source].send(
            account_pb2.CreateTransferRequest(
                request_id=unique(),
                source_account_id=payer,
                destination_account_id=chance.choice(payers[to]),
                amount=euros(chance.randint(1, 50)),
            )
        )
    else:
        request = authorize(payer, merchants[to], chance.randint(1, 200))
        paid[source].append((await city[source].ask(request)).payment)


async def check_books(databases: Databases, total: int) -> None:
    """Compare what the accounts of people and shops have with what came in and the fees."""
    own = 0
    for name, database in databases.items():
        if isinstance(database, Database):
            found = {row.id: row.posted for row in database.accounts.values() if row.is_own}
            assert sum(row.posted for row in database.accounts.values()) == 0
        else:
            report = await verify(database.reader_url)
            assert report.ok, (name, report.breaches)
            found = await own_accounts(database)
        own += sum(posted for account_id, posted in found.items() if "_clearing." not in account_id)
        assert all("suspense" not in account_id for account_id in found)
    assert total + own == 0


async def own_accounts(shard: Shard) -> dict[str, int]:
    connection = await asyncpg.connect(shard.owner_url)
    try:
        rows = await connection.fetch("SELECT id, posted FROM accounts WHERE id LIKE 'sys%'")
        return {row["id"]: row["posted"] for row in rows}
    finally:
        await connection.close()

"""Clients that pay, capture, refund, void and repeat, and write down all that they were told."""

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from google.protobuf.message import Message

import tender
from kit import buckets
from kit.shard_map import ShardMap
from tender import accounts, merchants, payments
from tender.calls import Call
from tests.checker import History

Answer = TypeVar("Answer", bound=Message)

FUNDS = 10_000_000
ASKED_AGAIN_MAX = 20
"""Each asking is many attempts of the SDK, so a call that needs more is lost."""

ANSWER_SECONDS_MAX = 60.0

MANUAL = tender.CAPTURE_METHOD_MANUAL
CAPTURED = tender.Payment.STATE_CAPTURED


class Recorder:
    """Makes calls through the SDK; every one is recorded, whatever becomes of it."""

    def __init__(self, client: tender.Client, history: History) -> None:
        self.client = client
        self.history = history
        self.unknown = 0
        """Calls that the SDK's own retries could not settle."""

    async def once(self, call: Call[Answer]) -> Answer:
        """Make a call; raises what the SDK raises."""
        operation = self.history.invoke(call.request)
        try:
            answer = await self.client.invoke(call)
        except tender.Refused as refused:
            (operation.refused if refused.final else operation.unknown)(refused.reason)
            raise
        except tender.OutcomeUnknown as unknown:
            operation.unknown(unknown.reason)
            raise
        except asyncio.CancelledError:
            operation.unknown("CANCELLED")
            raise
        operation.ok(answer)
        return answer

    async def surely(self, call: Call[Answer]) -> Answer:
        """Make a call, and repeat it with its request_id until the outcome is known."""
        for _ in range(ASKED_AGAIN_MAX):
            try:
                return await self.once(call)
            except (tender.OutcomeUnknown, tender.Overloaded):
                self.unknown += 1
        raise AssertionError(f"{call.request_id}: never answered")


@dataclass(frozen=True)
class Shop:
    """A merchant and its customers."""

    merchant_id: str
    account_id: str
    customers: list[str]

    def pay(self, number: int, cents: int = 100, **options: Any) -> Call[Any]:
        """Return a call with which a customer pays."""
        return payments.authorize(
            payer_account_id=self.customers[number % len(self.customers)],
            merchant_id=self.merchant_id,
            amount=tender.money("EUR", cents),
            **options,
        )

    def reverse(self, original: Call[Any]) -> Call[Any]:
        """Return a call that undoes a payment."""
        request: Any = original.request
        return payments.reverse(
            original_request_id=request.request_id,
            payer_account_id=request.payer_account_id,
            merchant_id=request.merchant_id,
        )


class Customers(Protocol):
    """Those who pay, and whom they pay."""

    @property
    def customers(self) -> list[str]: ...

    def pay(self, number: int, cents: int = 100, **options: Any) -> Call[Any]:
        """Return a call with which a customer pays."""

    def reverse(self, original: Call[Any]) -> Call[Any]:
        """Return a call that undoes a payment."""


@dataclass(frozen=True)
class Town:
    """A shop on each shard; customers of every shard buy at all of them."""

    shops: dict[str, Shop]
    """By shard."""

    @property
    def customers(self) -> list[str]:
        return [customer for shop in self.shops.values() for customer in shop.customers]

    def pay(self, number: int, cents: int = 100, **options: Any) -> Call[Any]:
        """Return a call with which a customer pays; a quarter of four shops is the own one."""
        customers, shops = self.customers, list(self.shops.values())
        return payments.authorize(
            payer_account_id=customers[number % len(customers)],
            merchant_id=shops[number // len(customers) % len(shops)].merchant_id,
            amount=tender.money("EUR", cents),
            **options,
        )

    def reverse(self, original: Call[Any]) -> Call[Any]:
        """Return a call that undoes a payment."""
        return self.shops[next(iter(self.shops))].reverse(original)


def names_on(homes: ShardMap, shard: str) -> Iterator[tuple[str, str]]:
    """Yield regions and new names, of users or merchants, whose home is a shard."""
    [region] = {one.region for one in homes.ranges if one.shard == shard}
    start = tender.new_request_id()
    for number in itertools.count():
        name = f"{start}-{number}"
        if homes.shard_of(region, buckets.bucket_of_owner(region, name)) == shard:
            yield region, name


async def open_town(
    recorder: Recorder, homes: ShardMap, customers: int = 3, funds: int = FUNDS
) -> Town:
    """A shop with customers on every shard."""
    shards = sorted({one.shard for one in homes.ranges})
    opened = await asyncio.gather(
        *(open_shop(recorder, customers, funds, names_on(homes, shard)) for shard in shards)
    )
    return Town(dict(zip(shards, opened, strict=True)))


def _any_names() -> Iterator[tuple[str, str]]:
    while True:
        yield "", tender.new_request_id()


async def open_shop(
    recorder: Recorder,
    customers: int = 20,
    funds: int = FUNDS,
    names: Iterator[tuple[str, str]] | None = None,
) -> Shop:
    """A merchant with a fee, and customers with money, where their names belong."""
    names = names or _any_names()
    region, name = next(names)
    wallet = await recorder.surely(
        accounts.create(
            user_id=name,
            currency_code="EUR",
            kind=tender.Account.KIND_MERCHANT_WALLET,
            region=region,
        )
    )
    terms = tender.SettlementTerms(
        currency_code="EUR",
        account_id=wallet.account.id,
        fee_schedule=tender.FeeSchedule(
            basis_points=150, fixed_minor_units=5, refund_policy=tender.FEE_REFUND_POLICY_RETURN
        ),
    )
    merchant = await recorder.surely(
        merchants.create(
            reference=name, display_name="Shop", settlement_terms=[terms], region=region
        )
    )

    async def open_customer(home: tuple[str, str]) -> str:
        opened = await recorder.surely(
            accounts.create(user_id=home[1], currency_code="EUR", region=home[0])
        )
        await recorder.surely(
            accounts.transfer(
                source_account_id="world",
                destination_account_id=opened.account.id,
                amount=tender.money("EUR", funds),
            )
        )
        return opened.account.id

    opened = await asyncio.gather(*map(open_customer, itertools.islice(names, customers)))
    return Shop(merchant.merchant.id, wallet.account.id, opened)


@dataclass
class Load:
    """A mixed load on one shop, or a town of them, by clients that never stop at a lost answer."""

    recorder: Recorder
    shop: Customers
    seed: int
    answered: list[tuple[float, float]] = field(default_factory=list)
    """When each call began and when it was answered, on the monotonic clock."""
    _stopping: bool = False

    @contextlib.asynccontextmanager
    async def running(self, clients: int = 16) -> AsyncIterator[None]:
        """Keep the clients going until the block ends, then let each finish what it does."""
        self._stopping = False
        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(self._client(random.Random(self.seed * 1_000 + number)))
            try:
                yield
            finally:
                self._stopping = True

    async def answered_after(self, moment: float) -> float:
        """Wait for a call that began after the moment; return when the first was answered."""
        looked_at = 0
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            while True:
                ends = [ended for began, ended in self.answered[looked_at:] if began >= moment]
                if ends:
                    return min(ends)
                looked_at = len(self.answered)
                await asyncio.sleep(0.005)

    async def _client(self, dice: random.Random) -> None:
        habits = (self._pays, self._pays, self._pays_twice, self._takes_back, self._holds)
        others = (self._changes_mind, self._reverses, self._gives_to_a_friend)
        while not self._stopping:
            habit: Callable[[random.Random], Awaitable[None]] = dice.choice(habits + others)
            await habit(dice)

    async def _ask(self, call: Call[Answer]) -> Answer:
        began = time.monotonic()
        answer = await self.recorder.surely(call)
        self.answered.append((began, time.monotonic()))
        return answer

    def _payment(self, dice: random.Random, **options: Any) -> Call[Any]:
        return self.shop.pay(dice.randrange(1_000), dice.randrange(100, 2_000), **options)

    async def _pays(self, dice: random.Random) -> None:
        paid = await self._ask(self._payment(dice))
        assert paid.payment.state == CAPTURED

    async def _pays_twice(self, dice: random.Random) -> None:
        call = self._payment(dice)
        first, second = await asyncio.gather(self._ask(call), self._ask(call))
        assert first == second

    async def _takes_back(self, dice: random.Random) -> None:
        paid = await self._ask(self._payment(dice))
        part = tender.money("EUR", dice.randrange(1, 100))
        await self._ask(payments.refund(payment_id=paid.payment.id, amount=part))
        if dice.random() < 0.5:
            await self._ask(payments.refund(payment_id=paid.payment.id))

    async def _holds(self, dice: random.Random) -> None:
        held = await self._ask(self._payment(dice, capture_method=MANUAL))
        part = tender.money("EUR", dice.randrange(1, 100))
        await self._ask(payments.capture(payment_id=held.payment.id, amount=part, final=True))

    async def _changes_mind(self, dice: random.Random) -> None:
        held = await self._ask(self._payment(dice, capture_method=MANUAL))
        await self._ask(payments.void(payment_id=held.payment.id))

    async def _reverses(self, dice: random.Random) -> None:
        call = self._payment(dice)
        await self._ask(call)
        await self._ask(self.shop.reverse(call))

    async def _gives_to_a_friend(self, dice: random.Random) -> None:
        giver, friend = dice.sample(self.shop.customers, 2)
        await self._ask(
            accounts.transfer(
                source_account_id=giver,
                destination_account_id=friend,
                amount=tender.money("EUR", dice.randrange(1, 500)),
            )
        )


def new_load(recorder: Recorder, shop: Customers) -> Load:
    """A load whose seed is shown when its test fails."""
    return Load(recorder, shop, seed=random.SystemRandom().randrange(1_000_000))

"""A steady stream of payments: most captured at once, some later, some refunded."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

import tender
from tender import payments
from tests.acceptance.load import Shop, Town

CORNER_RATE: Final = 10.0
"""Payments per second at the shop at the corner: what is told of each is sent one by one."""
MANUAL_OF_TEN: Final = 1
REFUNDED_OF_TEN: Final = 1
SLICE_SECONDS: Final = 0.02
"""So much is started at a time."""
UNDER_WAY_MAX: Final = 4_000
"""Payments; whoever falls behind by more is not at the rate that was asked for."""


@dataclass
class Shopping:
    """Payments at a rate, nearly all by a town's customers at the shop of their shard."""

    client: tender.Client
    town: Town
    corner: Shop
    rate: float
    paid: set[str] = field(default_factory=set)
    """Ids of payments that were acknowledged."""
    at_corner: int = 0
    """How many of them are of the shop at the corner."""
    started: int = 0
    declined: int = 0
    began: float = 0.0
    ended: float = 0.0
    may_end: bool = False
    """Whether it may end once there were enough; else it goes on."""

    @contextlib.asynccontextmanager
    async def until(self, count: int) -> AsyncIterator[asyncio.Task[None]]:
        """Pay at least so often, until `may_end`; the block is left when all is answered."""
        async with self.client.payments.stream(in_flight_max=UNDER_WAY_MAX) as stream:
            shopping = asyncio.create_task(self._shop(stream, count))
            try:
                yield shopping
                await shopping
            finally:
                shopping.cancel()

    @property
    def reached(self) -> float:
        """Payments per second, from the first one to the last answer."""
        return len(self.paid) / (self.ended - self.began) if self.ended > self.began else 0.0

    async def _shop(self, stream: Any, count: int) -> None:
        room = asyncio.Semaphore(UNDER_WAY_MAX)
        shops = list(self.town.shops.values())
        elsewhere = max(2, round(self.rate / CORNER_RATE))
        self.began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while self.started < count or not self.may_end:
                due = int((time.monotonic() - self.began) * self.rate)
                while self.started < due:
                    await room.acquire()
                    number, self.started = self.started, self.started + 1
                    if number % elsewhere:
                        shop, turn = shops[number % len(shops)], number // len(shops)
                    else:
                        shop, turn = self.corner, number // elsewhere
                    group.create_task(self._one(stream, shop, turn, room))
                await asyncio.sleep(SLICE_SECONDS)
        self.ended = time.monotonic()

    async def _one(self, stream: Any, shop: Shop, turn: int, room: asyncio.Semaphore) -> None:
        kind = turn % 10
        is_manual = kind < MANUAL_OF_TEN
        options = {"capture_method": tender.CAPTURE_METHOD_MANUAL} if is_manual else {}
        try:
            answer = await stream.call(shop.pay(turn, cents=100, **options))
            payment = answer.payment
            if payment.state == tender.Payment.STATE_DECLINED:
                self.declined += 1
                return
            self.paid.add(payment.id)
            self.at_corner += shop is self.corner
            if is_manual:
                await stream.call(payments.capture(payment_id=payment.id))
            if is_manual or kind < MANUAL_OF_TEN + REFUNDED_OF_TEN:
                amount = tender.money("EUR", 40)
                await stream.call(payments.refund(payment_id=payment.id, amount=amount))
        finally:
            room.release()

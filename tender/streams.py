"""The asynchronous client's stream of payment commands."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self, cast

import grpc

from tender import errors
from tender.calls import Answer, Call
from tender.outcomes import Flight, Outcome
from tender.v1 import payment_pb2 as pb

EXPIRY_SECONDS = 0.05  # How often deadlines are looked at.
BACKOFF_SECONDS_MIN = 0.05
BACKOFF_SECONDS_MAX = 2.0
# A stream that ends well before everything is answered: the next one answers the rest.
ENDED = errors.Failure(grpc.StatusCode.UNAVAILABLE, "The stream ended.", "UNAVAILABLE")
Owner = asyncio.Future[Any]
Open = Callable[[], Any]


class PaymentStream:
    """Commands in, outcomes out, over one stream at a time.

        async with client.payments.stream() as stream:
            waiting = [await stream.submit(commands.authorize(...)) for ... in ...]
            answers = await asyncio.gather(*waiting)

    Commands on one payment or payer are decided in the order of their `submit`. When the stream
    breaks, or the server asks for another, one is opened and what has no outcome is sent again
    with the same request_ids, within each command's timeout. Leaving the block waits for what is
    under way; leaving it by an exception does not.
    """

    def __init__(self, open_stream: Open, flight: Flight[Owner]) -> None:
        self._open = open_stream
        self._flight = flight
        self._stirred = asyncio.Event()
        self._settled = asyncio.Event()
        self._is_closing = False
        self._backoff = BACKOFF_SECONDS_MIN
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._running is not None
        self._is_closing = True
        self._stirred.set()
        if error is not None:
            self._running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._running
        for owner, outcome in self._flight.expired(float("inf")):
            _tell(owner, outcome)

    async def submit(self, call: Call[Answer]) -> asyncio.Future[Answer]:
        """Sends a command, as soon as fewer than `in_flight_max` are without an outcome.

        The future brings the answer, or raises what the single call would have raised.
        Cancelling it does not take the command back.
        """
        if self._running is None or self._is_closing or self._running.done():
            raise RuntimeError("the stream is not open")
        while not self._flight.has_room:
            self._settled.clear()
            await self._settled.wait()
        owner: Owner = asyncio.get_running_loop().create_future()
        self._flight.put(call, owner, time.monotonic())
        self._stirred.set()
        return cast("asyncio.Future[Answer]", owner)

    async def call(self, call: Call[Answer]) -> Answer:
        """Sends a command and waits for its answer."""
        return await (await self.submit(call))

    async def _run(self) -> None:
        expiring = asyncio.create_task(self._expire())
        try:
            while await self._has_work():
                failure = await self._use(self._open())
                if failure is not None:
                    self._tell_all(self._flight.broken(failure, time.monotonic(), random.random()))
                    await asyncio.sleep(self._backoff * (1 + random.random()) / 2)
                    self._backoff = min(self._backoff * 2, BACKOFF_SECONDS_MAX)
        finally:
            expiring.cancel()

    async def _has_work(self) -> bool:
        """Waits for a command; a stream is opened only for one. False once nothing will come."""
        while not len(self._flight):
            if self._is_closing:
                return False
            await self._stirred.wait()
            self._stirred.clear()
        return True

    async def _use(self, call: Any) -> errors.Failure | None:
        """Uses a stream until it ends: None if all is answered, else how it failed."""
        self._stirred.set()
        writing = asyncio.create_task(self._write(call))
        try:
            await self._read(call)
            failure = ENDED
        except grpc.aio.AioRpcError as error:
            failure = errors.read(error)
        finally:
            writing.cancel()
            await asyncio.wait([writing])
            call.cancel()
        return failure if len(self._flight) else None

    async def _write(self, call: Any) -> None:
        while not (self._is_closing and not len(self._flight)):
            due = self._flight.next_due()
            wait = None if due is None else max(due - time.monotonic(), 0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stirred.wait(), wait)
            self._stirred.clear()
            # What else is submitted in this turn of the loop goes along.
            await asyncio.sleep(0)
            while (message := self._flight.message(time.monotonic())) is not None:
                try:
                    await call.write(message)
                except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    return  # The reader hears why.
        await call.done_writing()

    async def _read(self, call: Any) -> None:
        while (message := await call.read()) is not grpc.aio.EOF:
            now, jitter = time.monotonic(), random.random()
            for outcome in cast(pb.StreamPaymentsResponse, message).outcomes:
                if (settled := self._flight.settle(outcome, now, jitter)) is not None:
                    _tell(*settled)
            self._backoff = BACKOFF_SECONDS_MIN
            self._settled.set()
            if self._flight.next_due() is not None or not len(self._flight):
                self._stirred.set()

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(EXPIRY_SECONDS)
            self._tell_all(self._flight.expired(time.monotonic()))

    def _tell_all(self, settled: Iterable[tuple[Owner, Outcome[Any]]]) -> None:
        for owner, outcome in settled:
            _tell(owner, outcome)
            self._settled.set()
            self._stirred.set()


def _tell(owner: Owner, outcome: Outcome[Any]) -> None:
    if owner.done():
        return
    if outcome.error is None:
        owner.set_result(outcome.answer)
    else:
        owner.set_exception(outcome.error)

"""Callers that leave at any moment: nothing half done, nothing left behind."""

import asyncio
import random
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import coroutine
from typing import Any, NamedTuple

import grpc
import psutil
import pytest

import tender
from deploy.local.stack import Stack
from gateway import endpoint, identity, lane_stream, lanes, methods, queries, reads
from gateway.edge import grpc_aio
from gateway.front import Front
from gateway.topology import Topology
from kit import api_keys, serving
from tender.calls import Call
from tests.acceptance.conftest import api_key, gauge
from tests.acceptance.load import CAPTURED, FUNDS, Recorder, Shop, open_shop

CALLS = 300
CANCEL_SECONDS_MAX = 0.05
DEADLINE_MS_MAX = 50
IN_FLIGHT = 30
SETTLE_SECONDS_MAX = 10.0
AWAITS_MAX = 30
DESCRIPTORS_MORE_MAX = 5
AMOUNT = 100
AUTHORIZE = "/tender.v1.PaymentService/AuthorizePayment"


@pytest.fixture
async def shop(recorder: Recorder) -> Shop:
    return await open_shop(recorder)


async def settle(stack: Stack) -> None:
    """Wait until nothing is on its way in gateway and lane."""
    endpoints = stack.endpoints
    async with asyncio.timeout(SETTLE_SECONDS_MAX):
        while True:
            in_flight = gauge(endpoints.gateway_metrics, "tender_gateway_in_flight")
            waiting = gauge(endpoints.processor_metrics, "tender_lane_queue_depth")
            if not in_flight and not waiting:
                return
            await asyncio.sleep(0.05)


def descriptors(stack: Stack) -> dict[str, int]:
    return {
        name: psutil.Process(stack.child(name).pid).num_fds() for name in ("gateway", "processor")
    }


async def repeat_all(recorder: Recorder, shop: Shop, calls: list[Call[Any]]) -> None:
    """Repeat every call twice: each has one effect, and every customer paid for each once."""
    first = await asyncio.gather(*map(recorder.surely, calls))
    again = await asyncio.gather(*map(recorder.surely, calls))
    assert first == again
    assert {answer.payment.state for answer in first} == {CAPTURED}
    assert len({answer.payment.id for answer in first}) == len(calls)
    left = 0
    for customer in shop.customers:
        account = (await recorder.client.get_account(account_id=customer)).account
        assert account.held.minor_units == 0
        left += account.posted.minor_units
    assert left == FUNDS * len(shop.customers) - AMOUNT * len(calls)


async def test_calls_cancelled_after_up_to_fifty_milliseconds_leave_nothing_behind(
    stack: Stack, recorder: Recorder, shop: Shop
) -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    dice = random.Random(seed)
    before = descriptors(stack)
    calls = [shop.pay(number, AMOUNT) for number in range(CALLS)]
    gate = asyncio.Semaphore(IN_FLIGHT)

    async def leave(call: Call[Any]) -> bool:
        async with gate:
            running = asyncio.create_task(recorder.once(call))
            await asyncio.sleep(dice.uniform(0, CANCEL_SECONDS_MAX))
            left = running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            return left

    left = sum(await asyncio.gather(*map(leave, calls)))
    await settle(stack)

    assert 0 < left < CALLS, f"seed {seed}"
    await repeat_all(recorder, shop, calls)
    after = descriptors(stack)
    assert all(after[name] <= before[name] + DESCRIPTORS_MORE_MAX for name in before)


async def test_deadlines_of_one_to_fifty_milliseconds_leave_nothing_behind(
    stack: Stack, recorder: Recorder, shop: Shop
) -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    dice = random.Random(seed)
    calls = [shop.pay(number, AMOUNT) for number in range(CALLS)]
    gate = asyncio.Semaphore(IN_FLIGHT)

    async def hurry(call: Call[Any]) -> grpc.StatusCode:
        timeout = dice.randint(1, DEADLINE_MS_MAX) / 1_000
        async with gate:
            try:
                await recorder.once(Call(call.method, call.request, timeout, call.request_id))
            except tender.OutcomeUnknown as unknown:
                return unknown.code
            return grpc.StatusCode.OK

    codes = set(await asyncio.gather(*map(hurry, calls)))
    await settle(stack)

    assert grpc.StatusCode.DEADLINE_EXCEEDED in codes, f"seed {seed}"
    assert codes <= {
        grpc.StatusCode.OK,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNAVAILABLE,  # The gateway itself may be the first to give up.
    }
    await repeat_all(recorder, shop, calls)


@dataclass
class Caller:
    """The part of a gRPC context that the edge uses, for a call that we cancel ourselves."""

    key: str
    message: bytes = b""
    trailing: list[tuple[str, str]] = field(default_factory=list)

    def time_remaining(self) -> float:
        return 5.0

    def set_trailing_metadata(self, metadata: tuple[tuple[str, str], ...]) -> None:
        self.trailing += metadata

    def set_code(self, code: Any) -> None:
        raise AssertionError(code)

    async def read(self) -> bytes:
        return self.message

    async def write(self, message: bytes) -> None:
        """Say nothing: the test asks again for the answer."""


class Details(NamedTuple):
    """What gRPC tells an interceptor of a call."""

    method: str
    invocation_metadata: tuple[tuple[str, str], ...]


async def arrive(inside: grpc_aio.GrpcEdge, caller: Caller, data: bytes) -> None:
    """Bring a call to the edge as gRPC does: first its metadata, then its message."""
    details: Any = Details(AUTHORIZE, (("authorization", f"Bearer {caller.key}"),))
    handler: Any = inside.service(details)
    if handler.unary_unary is not None:
        await handler.unary_unary(data, caller)
        return
    # Its key is not known yet: it is found out first, and the message is read after that.
    caller.message = data
    await handler.stream_stream(None, caller)


@coroutine
def leaving_at(inner: Any, await_number: int) -> Generator[Any, Any, None]:
    """Run a coroutine and cancel the task where it waits for the n-th time."""
    waits = 0
    while True:
        try:
            waiting_for = inner.send(None)
        except StopIteration:
            return
        waits += 1
        if waits == await_number:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        try:
            yield waiting_for
        except asyncio.CancelledError as cancelled:
            inner.throw(cancelled)


async def cancelled_at(inner: Any, await_number: int) -> bool:
    """Say whether the coroutine waited that often, and so was cancelled there."""

    async def leave() -> None:
        await leaving_at(inner, await_number)

    task = asyncio.create_task(leave())
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    return task.cancelled()


@asynccontextmanager
async def gateway_inside(stack: Stack) -> AsyncIterator[grpc_aio.GrpcEdge]:
    """The gateway's insides in this process, in front of the stack's real processor."""
    endpoints = stack.endpoints
    token = endpoints.internal_token_file.read_text().strip()
    pepper = api_keys.pepper_from_hex(endpoints.api_key_pepper_file.read_text().strip())
    async with lane_stream.create_channel(endpoints.processor) as channel:
        topology, target = Topology(), endpoints.processor
        lane = lanes.Lanes(topology, {target: channel}, token, region="eu", in_flight_max=100)
        clients = {target: queries.QueryClient(channel, token)}
        all_reads = reads.Reads(topology, clients, region="eu")
        tasks = serving.Tasks()
        directory = identity.ProcessorKeyDirectory(all_reads, pepper, tasks=tasks)
        backends = endpoint.Backends(directory, lane, all_reads, 5.0, 5.0)
        running = asyncio.create_task(lane.run())
        try:
            yield grpc_aio.GrpcEdge(
                Front(backends), serving.Health(methods.SERVICE_NAMES), shows_reflection=False
            )
        finally:
            await lane.drain(SETTLE_SECONDS_MAX)
            await tasks.drain(1.0)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_a_call_cancelled_at_each_await_inside_the_gateway_is_done_wholly_or_not_at_all(
    stack: Stack, recorder: Recorder, shop: Shop
) -> None:
    calls: list[Call[Any]] = []
    reached = 0
    async with gateway_inside(stack) as inside:
        caller = Caller(api_key(stack.endpoints))
        tasks = len(asyncio.all_tasks())
        for await_number in range(1, AWAITS_MAX):
            call = shop.pay(await_number, AMOUNT)
            operation = recorder.history.invoke(call.request)
            operation.unknown("CANCELLED")
            calls.append(call)
            data = call.request.SerializeToString()
            if not await cancelled_at(arrive(inside, caller, data), await_number):
                break
            reached += 1

        assert reached >= 2, "the key's look-up and the lane's outcome"
        assert reached < AWAITS_MAX - 1
    assert len(asyncio.all_tasks()) <= tasks
    await settle(stack)
    await repeat_all(recorder, shop, calls)


async def test_what_follows_a_cancelled_call_with_the_same_request_id_waits_for_it(
    recorder: Recorder, shop: Shop
) -> None:
    call = shop.pay(0, AMOUNT)
    first = asyncio.create_task(recorder.once(call))
    await asyncio.sleep(0.003)
    first.cancel()

    answers = await asyncio.gather(*(recorder.surely(call) for _ in range(5)))

    await asyncio.gather(first, return_exceptions=True)
    assert all(answer == answers[0] for answer in answers)
    await repeat_all(recorder, shop, [call])

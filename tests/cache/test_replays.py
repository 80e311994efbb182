"""A repeated call is answered from the cache when that is certain, and by its lane otherwise."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from deploy.servers import gateway as gateway_server
from gateway import replays
from kit import settings
from storage.redis.replays import key_of
from tender.v1 import lane_pb2, payment_pb2
from tests.cache.proxy import Proxy
from tests.cache.server import Server
from tests.gateway import conftest, requests, scripted, test_shards
from tests.gateway.conftest import Stack, metric, refusal, until

FIRST, SECOND = "incarnation-1", "incarnation-2"
LOOKED_UP = "tender_redis_calls_total"
Response = payment_pb2.AuthorizePaymentResponse


def ignored(reason: str) -> float:
    return metric("tender_gateway_replay_ignored_total", {"reason": reason})


def counted(name: str, **labels: str) -> float:
    return metric(name, {"tenant": "acme", **labels})


@asynccontextmanager
async def running(folder: Path, server: Server, **given: Any) -> AsyncIterator[Stack]:
    """A gateway with a cache in front of a lane that says its incarnation."""
    given = {"redis_url": server.url, "redis_timeout_ms": 200, "replay_cache": True} | given
    async with conftest.running(folder, **given) as stack:
        await ready(stack)
        yield stack


async def ready(stack: Stack) -> None:
    await until(lambda: metric("tender_redis_up", {"role": "replays"}) == 1)
    await stack.processor.reopen(FIRST)
    # What is said on the stream before an answer is known with it.
    await pay(stack, "warm-up")
    stack.processor.commands.clear()


@pytest.fixture(params=conftest.EDGES)
async def stack(
    tmp_path: Path, server: Server, request: pytest.FixtureRequest
) -> AsyncIterator[Stack]:
    async with running(tmp_path, server, gateway_edge=request.param) as one:
        yield one


async def pay(stack: Stack, request_id: str, cents: int = 100, **given: Any) -> tuple[str, bool]:
    """Return what the answer says, and whether it is a replay."""
    request = requests.authorize(request_id, amount=requests.money(cents))
    call = stack.call("AuthorizePayment", request, **given)
    said = Response.FromString(await call).payment.description
    return said, ("tender-replayed", "1") in tuple(await call.trailing_metadata())


async def kept(server: Server, request_id: str) -> None:
    """Wait until an answer is in the cache."""
    await until(
        lambda: any(
            key.endswith(b":" + request_id.encode()) and not value(server, key).startswith(b"?")
            for key in server.stored_keys()
        )
    )


async def marked(server: Server, request_id: str) -> None:
    """Wait until others can see that a call is under way."""
    await until(lambda: any(key.endswith(request_id.encode()) for key in server.stored_keys()))


def value(server: Server, key: bytes) -> bytes:
    with server.client as client:
        return client.get(key) or b"?"


async def test_a_repeat_is_answered_without_its_lane(stack: Stack, server: Server) -> None:
    before = counted("tender_gateway_replays_total", source="cache")

    first = await pay(stack, "order-1")
    await kept(server, "order-1")
    repeats = [await pay(stack, "order-1") for _ in range(3)]

    assert first == ("order-1", False)
    assert repeats == [("order-1", True)] * 3
    assert len(stack.processor.commands) == 1
    assert counted("tender_gateway_replays_total", source="cache") == before + 3


async def test_every_kind_of_bulk_call_is_answered_too(stack: Stack, server: Server) -> None:
    batch = payment_pb2.AuthorizePaymentsRequest(
        requests=[requests.authorize(f"bulk-{number}") for number in range(5)]
    )

    answers = []
    for _ in range(2):
        answers.append(await stack.call("AuthorizePayments", batch))
        await kept(server, "bulk-4")

    first, second = map(payment_pb2.AuthorizePaymentsResponse.FromString, answers)
    assert [one.replayed for one in first.outcomes] == [False] * 5
    assert [one.replayed for one in second.outcomes] == [True] * 5
    assert [one.authorized for one in first.outcomes] == [one.authorized for one in second.outcomes]
    assert len(stack.processor.commands) == 5


async def test_another_request_with_the_same_id_is_the_lane_s_to_judge(
    stack: Stack, server: Server
) -> None:
    await pay(stack, "order-2")
    await kept(server, "order-2")
    reused = {"reason": "REQUEST_ID_REUSED", "metadata": {"fields": "amount.minor_units"}}

    async def refuse(command: lane_pb2.Command, send: scripted.Send) -> None:
        await send(scripted.refused(command, **reused))

    stack.processor.script = refuse
    before = counted("tender_gateway_request_conflicts_total", source="lane")

    answer = await refusal(
        stack.call("AuthorizePayment", requests.authorize("order-2", amount=requests.money(7)))
    )

    assert answer.reason == "REQUEST_ID_REUSED"
    assert answer.metadata == {"fields": "amount.minor_units"}
    assert len(stack.processor.commands) == 2
    assert counted("tender_gateway_request_conflicts_total", source="lane") == before + 1
    # And the first answer is still there for the first request.
    assert await pay(stack, "order-2") == ("order-2", True)


async def test_an_answer_is_not_shown_to_another_merchant_of_the_tenant(
    stack: Stack, server: Server
) -> None:
    capture = payment_pb2.CapturePaymentRequest(request_id="cap", payment_id=scripted.PAYMENT)
    await stack.call("CapturePayment", capture)
    await kept(server, "cap")

    await stack.call("CapturePayment", capture, key="merchant")
    await stack.call("CapturePayment", capture)

    whose = [command.principal.merchant_id for command in stack.processor.commands]
    assert whose[:2] == ["", scripted.MERCHANT]


async def test_an_answer_of_an_earlier_incarnation_is_not_believed(
    stack: Stack, server: Server
) -> None:
    await pay(stack, "order-3")
    await kept(server, "order-3")
    assert await pay(stack, "order-3") == ("order-3", True)
    before = ignored("incarnation")

    # The lane has failed over; what it answered before may be gone.
    await stack.processor.reopen(SECOND)
    await pay(stack, "after-the-failover")
    stack.processor.commands.clear()
    again = await pay(stack, "order-3")

    assert again == ("order-3", False)
    assert [command.method for command in stack.processor.commands] == [1]
    assert ignored("incarnation") == before + 1


async def test_without_a_stream_to_the_lane_nothing_is_believed(
    stack: Stack, server: Server
) -> None:
    await pay(stack, "order-4")
    await kept(server, "order-4")

    stack.processor.refuses_streams = True
    stack.processor.break_streams()
    await until(lambda: metric("tender_gateway_lane_connected", {"shard": ""}) == 0)
    pending = asyncio.ensure_future(pay(stack, "order-4"))
    done, _ = await asyncio.wait([pending], timeout=0.3)

    assert not done
    stack.processor.incarnation = SECOND
    stack.processor.refuses_streams = False
    assert await pending == ("order-4", False)


async def test_what_was_altered_in_redis_is_no_answer(stack: Stack, server: Server) -> None:
    await pay(stack, "order-5")
    await kept(server, "order-5")
    with server.client as client:
        [key] = client.keys("*:order-5")
        client.set(key, client.get(key).replace(b"order-5", b"order-6"))

    assert await pay(stack, "order-5") == ("order-5", False)


async def test_an_answer_that_was_moved_to_another_key_is_no_answer(
    stack: Stack, server: Server
) -> None:
    for request_id in ("order-7", "order-8"):
        await pay(stack, request_id)
        await kept(server, request_id)
    with server.client as client:
        [key] = client.keys("*:order-7")
        client.set(key_of("acme", "order-8"), client.get(key))

    assert await pay(stack, "order-8") == ("order-8", False)


async def test_a_refusal_is_not_kept_and_leaves_no_mark(stack: Stack, server: Server) -> None:
    async def refuse(command: lane_pb2.Command, send: scripted.Send) -> None:
        await send(scripted.refused(command, reason="PAYER_UNKNOWN"))

    stack.processor.script = refuse
    request = requests.authorize("order-9")
    await refusal(stack.call("AuthorizePayment", request))
    await until(lambda: not any(key.endswith(b"order-9") for key in server.stored_keys()))
    stack.processor.script = scripted.echo

    assert await pay(stack, "order-9") == ("order-9", False)


class Slow:
    """A lane that answers when it is told."""

    def __init__(self, stack: Stack) -> None:
        self.may_answer = asyncio.Event()
        stack.processor.script = self.script

    async def script(self, command: lane_pb2.Command, send: scripted.Send) -> None:
        await self.may_answer.wait()
        await send(scripted.echoed(command))


@asynccontextmanager
async def second_gateway(stack: Stack, folder: Path, server: Server) -> AsyncIterator[Stack]:
    """Another gateway before the same lane and with the same cache."""
    address = conftest.free_address()
    gateway = settings.GatewaySettings(
        **conftest.write_secrets(folder),
        gateway_listen=address,
        processor_targets=(stack.processor_address,),
        metrics_listen="127.0.0.1:0",
        quiet_seconds=0,
        redis_url=server.url,
        replay_cache=True,
        redis_timeout_ms=200,
    )
    stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with AsyncExitStack() as closing:
        serving = asyncio.create_task(gateway_server.serve(gateway, stop))
        await conftest.accepting(address)
        channel = await closing.enter_async_context(grpc.aio.insecure_channel(address))
        other = Stack(**{**vars(stack), "channel": channel, "address": address})
        try:
            await pay(other, "warm-up-of-the-other")
            stack.processor.commands.clear()
            yield other
        finally:
            stop.set_result("test")
            await serving


async def test_a_second_gateway_waits_for_the_first_one_s_call(
    stack: Stack, server: Server, tmp_path: Path
) -> None:
    async with second_gateway(stack, tmp_path, server) as other:
        # Many repeats make every call look first.
        for _ in range(60):
            await pay(other, "warm-up-of-the-other")
        slow = Slow(stack)
        before = counted("tender_gateway_in_flight_waits_total")
        first = asyncio.create_task(pay(stack, "order-10"))
        await marked(server, "order-10")
        second = asyncio.create_task(pay(other, "order-10"))
        await until(lambda: counted("tender_gateway_in_flight_waits_total") > before)
        slow.may_answer.set()

        assert await first == ("order-10", False)
        assert await second == ("order-10", True)
        assert len(stack.processor.commands) == 1


async def test_a_call_that_waits_in_vain_is_told_ahead_of_its_deadline(
    stack: Stack, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replays, "WAIT_SECONDS_MAX", 5.0)
    slow = Slow(stack)
    first = asyncio.create_task(pay(stack, "order-11"))
    await marked(server, "order-11")
    # Marks are short-lived; this one is renewed as its call still runs.
    answer = await refusal(
        stack.call(
            "AuthorizePayment",
            requests.authorize("order-11", amount=requests.money(100)),
            timeout=0.8,
        )
    )
    slow.may_answer.set()
    await first

    assert (answer.code, answer.reason) == (grpc.StatusCode.ABORTED, "REQUEST_IN_PROGRESS")
    assert answer.retry_ms > 0
    assert len(stack.processor.commands) == 1


async def test_a_call_that_waits_for_long_goes_to_the_lane(stack: Stack) -> None:
    slow = Slow(stack)
    first = asyncio.create_task(pay(stack, "order-12"))
    await until(lambda: stack.processor.commands)
    second = asyncio.create_task(pay(stack, "order-12"))
    await until(lambda: len(stack.processor.commands) == 2)
    slow.may_answer.set()

    assert await first == await second == ("order-12", False)


@pytest.mark.parametrize("trouble", ["flushed", "gone", "hangs"])
async def test_without_its_cache_every_call_goes_to_its_lane(
    trouble: str, tmp_path: Path, server: Server
) -> None:
    async with running(tmp_path, server, redis_timeout_ms=20) as stack:
        await pay(stack, "order-13")
        await kept(server, "order-13")
        if trouble == "flushed":
            server.flush()
        elif trouble == "gone":
            server.kill()
        else:
            server.send(signal.SIGSTOP)
        answers = [await pay(stack, "order-13") for _ in range(20)]

    assert {said for said, _ in answers} == {"order-13"}
    assert len(stack.processor.commands) >= 2


@asynccontextmanager
async def behind_a_proxy(folder: Path, server: Server) -> AsyncIterator[tuple[Stack, Proxy]]:
    """A gateway that reaches its cache through a proxy."""
    async with (
        Proxy(server.host, server.port) as proxy,
        running(folder, server, redis_url=server.url.replace(server.place, proxy.place)) as stack,
    ):
        await pay(stack, "order-15")
        await kept(server, "order-15")
        yield stack, proxy


async def delay_once(proxy: Proxy) -> None:
    """Let what is asked next come too late, and what follows in time."""
    before = counted_timeouts()
    already, proxy.delay_seconds = proxy.delayed, 0.25
    await until(lambda: proxy.delayed > already)
    proxy.delay_seconds = 0.0
    await until(lambda: counted_timeouts() > before)


def counted_timeouts() -> float:
    return metric(LOOKED_UP, {"role": "replays", "outcome": "timeout"})


async def test_a_repeat_whose_lookup_is_late_is_looked_up_once_more(
    tmp_path: Path, server: Server
) -> None:
    async with behind_a_proxy(tmp_path, server) as (stack, proxy):
        repeat, _ = await asyncio.gather(pay(stack, "order-15"), delay_once(proxy))

    assert repeat == ("order-15", True)
    assert len(stack.processor.commands) == 1


async def test_the_mark_that_a_late_lookup_has_left_keeps_nobody_waiting(
    tmp_path: Path, server: Server
) -> None:
    async with behind_a_proxy(tmp_path, server) as (stack, proxy):
        before = counted("tender_gateway_in_flight_waits_total")
        server.flush()
        repeat, _ = await asyncio.gather(pay(stack, "order-15"), delay_once(proxy))

    assert repeat[0] == "order-15"
    assert len(stack.processor.commands) == 2
    assert counted("tender_gateway_in_flight_waits_total") == before


async def test_a_key_that_another_shard_has_is_refused(tmp_path: Path, server: Server) -> None:
    given = {"redis_url": server.url, "redis_timeout_ms": 200, "replay_cache": True}
    async with test_shards.running_two(tmp_path, **given) as two:
        await until(lambda: metric("tender_redis_up", {"role": "replays"}) == 1)
        for bucket, processor in zip(("01", "zz"), two.processors, strict=True):
            await processor.reopen(FIRST + bucket)
            await two.pay(bucket, f"warm-up-{bucket}")
        await two.pay("01", "order-14")
        await kept(server, "order-14")

        request = requests.authorize("order-14", payer_account_id=test_shards.account("zz"))
        answer = await refusal(two.call("AuthorizePayment", request))

        assert answer.reason == "REQUEST_ID_REUSED"
        assert answer.metadata == {"fields": "payer_account_id"}
        assert len(two.processors[1].commands) == 1

        # A key of a history that is gone counts for nothing.
        await two.processors[0].reopen(SECOND)
        await two.pay("01", "another")
        await two.call("AuthorizePayment", request)
        assert len(two.processors[1].commands) == 2

"""Rates that callers are held to: before the lane, on every way in, with Redis and without."""

import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from gateway.errors import Refused
from gateway.identity import Identity
from gateway.limits import Limits
from kit.rate_limits import BadLimits, RateLimit, read
from storage.redis.rates import RateStore
from tender.v1 import account_pb2, lane_pb2, payment_pb2
from tests.cache.server import Server
from tests.gateway import conftest, requests, scripted
from tests.gateway.conftest import metric, refusal, until

SLOWLY = 0.01
"""Calls a second: no test sees the next one come free."""

TIMEOUT_SECONDS = 0.2


def written(folder: Path, *limits: dict[str, Any]) -> Path:
    path = folder / "limits.json"
    path.write_text(json.dumps(limits))
    return path


def caller(tenant_id: str = "acme", key_id: str = "till-1") -> Identity:
    return Identity(key_id, frozenset({"service"}), "", lane_pb2.Principal(tenant_id=tenant_id))


def let_in(limits: Limits, count: int, who: Identity | None = None, method: str = "") -> int:
    """Call so often; return how often that was let in."""
    done = 0
    for _ in range(count):
        try:
            limits.admit(method or "AuthorizePayment", who or caller())
        except Refused:
            continue
        done += 1
    return done


@pytest.mark.parametrize("edge", conftest.EDGES)
async def test_a_call_over_the_limit_is_refused_before_its_lane(edge: str, tmp_path: Path) -> None:
    limit = {"name": "payments", "per_second": SLOWLY, "burst": 3, "methods": ["AuthorizePayment"]}
    path = written(tmp_path, limit)
    async with conftest.running(tmp_path, gateway_edge=edge, rate_limits_file=path) as stack:
        for number in range(3):
            await stack.call("AuthorizePayment", requests.authorize(f"a-{number}"))

        answer = await refusal(stack.call("AuthorizePayment", requests.authorize("a-3")))
        other = await stack.call("VoidPayment", requests.VALID["VoidPayment"])

    assert (answer.code, answer.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    assert answer.metadata == {"limit": "payments"}
    assert 90_000 < answer.retry_ms <= 100_000
    assert other
    assert len(stack.processor.commands) == 4


@pytest.mark.parametrize("edge", conftest.EDGES)
async def test_each_command_of_a_batch_and_of_a_stream_counts(edge: str, tmp_path: Path) -> None:
    path = written(tmp_path, {"name": "all", "per_second": SLOWLY, "burst": 5})
    many = [requests.authorize(f"b-{number}") for number in range(4)]
    async with conftest.running(tmp_path, gateway_edge=edge, rate_limits_file=path) as stack:
        batch = payment_pb2.AuthorizePaymentsResponse.FromString(
            await stack.call(
                "AuthorizePayments", payment_pb2.AuthorizePaymentsRequest(requests=many)
            )
        )
        stream: Any = stack.channel.stream_stream(conftest.path_of("StreamPayments"))(
            metadata=(("authorization", f"Bearer {stack.keys['service']}"),)
        )
        commands = [payment_pb2.PaymentCommand(authorize=one) for one in many]
        message = payment_pb2.StreamPaymentsRequest(commands=commands)
        await stream.write(message.SerializeToString())
        await stream.done_writing()
        outcomes: list[Any] = []
        while (data := await stream.read()) is not grpc.aio.EOF:
            outcomes += payment_pb2.StreamPaymentsResponse.FromString(data).outcomes

    assert [one.HasField("authorized") for one in batch.outcomes] == [True] * 4
    refused = [one.error for one in outcomes if one.HasField("error")]
    assert len(outcomes) == 4
    assert len(refused) == 3
    info = error_details_pb2.ErrorInfo()
    assert refused[0].details[0].Unpack(info)
    assert (info.reason, info.metadata["limit"]) == ("RATE_LIMITED", "all")
    assert len(stack.processor.commands) == 5


async def test_reads_count_too(tmp_path: Path) -> None:
    limit = {"name": "reads", "per_second": SLOWLY, "burst": 1, "methods": ["GetAccount"]}
    path = written(tmp_path, limit)
    request = account_pb2.GetAccountRequest(account_id=scripted.ACCOUNT)
    async with conftest.running(tmp_path, rate_limits_file=path) as stack:
        await stack.call("GetAccount", request)
        answer = await refusal(stack.call("GetAccount", request))

    assert answer.reason == "RATE_LIMITED"
    assert len(stack.processor.reads) == 1


async def test_what_a_limit_counts_apart() -> None:
    def limits(**given: Any) -> Limits:
        return Limits([RateLimit(name="x", per_second=SLOWLY, burst=2, **given)], None)

    by_tenant, by_terminal = limits(), limits(per=("terminal",))
    by_method, of_one = limits(per=("method",)), limits(tenants=("acme",))

    assert let_in(by_tenant, 3) == 2
    assert let_in(by_tenant, 3, caller(key_id="till-2"), "VoidPayment") == 0
    assert let_in(by_tenant, 3, caller("other")) == 2
    assert let_in(by_terminal, 3) == let_in(by_terminal, 3, caller(key_id="till-2")) == 2
    assert let_in(by_method, 3) == let_in(by_method, 3, method="VoidPayment") == 2
    assert let_in(of_one, 3) == 2
    assert let_in(of_one, 3, caller("other")) == 3


async def test_a_call_that_one_limit_refuses_counts_under_none() -> None:
    wide = RateLimit(name="wide", per_second=SLOWLY, burst=3)
    narrow = RateLimit(name="narrow", per_second=SLOWLY, burst=1, methods=("VoidPayment",))
    limits = Limits([wide, narrow], None)

    assert let_in(limits, 10, method="VoidPayment") == 1
    assert let_in(limits, 10) == 2


async def test_calls_come_free_at_the_rate() -> None:
    limits = Limits([RateLimit(name="x", per_second=50, burst=2)], None)
    assert let_in(limits, 10) == 2
    with pytest.raises(Refused) as refused:
        limits.admit("AuthorizePayment", caller())

    assert 1 <= refused.value.retry_delay_ms <= 20
    await asyncio.sleep(refused.value.retry_delay_ms / 1_000)
    assert let_in(limits, 1) == 1


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.limits.BUCKETS_MAX", 10)
    limits = Limits([RateLimit(name="x", per_second=SLOWLY, burst=1)], None)

    for number in range(100):
        assert let_in(limits, 1, caller(f"tenant-{number}")) == 1

    assert len(limits._buckets) <= 10


class Gateways:
    """Two gateways that count together."""

    def __init__(self, url: str) -> None:
        limit = RateLimit(name="x", per_second=SLOWLY, burst=10)
        self.both = [
            Limits([limit], RateStore(url, timeout_seconds=TIMEOUT_SECONDS)) for _ in range(2)
        ]

    async def __aenter__(self) -> list[Limits]:
        self._running = [asyncio.create_task(one.run()) for one in self.both]
        await until(lambda: all(one._store and one._store._tick.is_up for one in self.both))
        return self.both

    async def __aexit__(self, *_: object) -> None:
        for running in self._running:
            running.cancel()
        await asyncio.wait(self._running)


def calls() -> float:
    return metric("tender_redis_calls_total", {"role": "rates", "outcome": "ok"})


async def test_gateways_count_together(server: Server) -> None:
    async with Gateways(server.url) as (one, other):
        before = calls()
        assert let_in(one, 6) == 6
        await until(lambda: calls() > before)
        # The first call lets the other one learn of the rest.
        assert let_in(other, 1) == 1
        await until(lambda: calls() > before + 1)

        assert let_in(other, 10) == 3
        await until(lambda: calls() > before + 2)
        assert let_in(one, 10) <= 4


async def test_a_gateway_without_redis_holds_the_limit_by_itself(server: Server) -> None:
    async with Gateways(server.url) as (one, _):
        server.kill()
        await until(lambda: one._store is not None and not one._store._tick.is_up)

        assert let_in(one, 20) == 10


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "Invalid JSON"),
        ('[{"name": "x", "per_second": 0, "burst": 1}]', "0.per_second"),
        ('[{"name": "x", "per_second": 1, "burst": 1, "per": ["city"]}]', "0.per.0"),
        ('[{"name": "X!", "per_second": 1, "burst": 1}]', "0.name"),
        (json.dumps([{"name": "x", "per_second": 1, "burst": 1}] * 2), "1.name"),
    ],
)
def test_a_file_that_does_not_fit_names_the_place(
    content: str, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "limits.json"
    path.write_text(content)

    with pytest.raises(BadLimits, match=problem):
        read(path)


async def test_a_method_that_does_not_exist_is_refused() -> None:
    limit = RateLimit(name="x", per_second=1, burst=1, methods=("PayNow",))

    with pytest.raises(BadLimits, match="PayNow"):
        Limits([limit], None)

"""The generator against a real gRPC server: what it counts, what it notices, how it keeps time."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import grpc
import pytest

from benchmarks.load import drivers
from benchmarks.load.record import percentiles
from tender.v1 import payment_pb2
from tests.benchmarks.shop import Context, Payment, Request, Shop, load, well

SHAPES: dict[str, dict[str, Any]] = {
    "unary": {},
    "batch": {"shape": "batch", "in_flight": 40, "size": 10},
    "batch beyond the windows": {"shape": "batch", "in_flight": 2_000, "size": 1_000},
    "stream": {"shape": "stream", "in_flight": 40, "size": 10},
    "stream beyond the windows": {"shape": "stream", "in_flight": 4_000, "size": 1_000},
    "open": {"shape": "open", "rate": 200.0},
    "open stream": {"shape": "open_stream", "rate": 500.0, "size": 10},
    "open stream beyond what is carried": {"shape": "open_stream", "rate": 100_000.0, "size": 100},
    "replay": {"workload": "replay"},
}


@pytest.mark.parametrize("name", SHAPES)
async def test_every_answer_is_counted_and_written_down_once(name: str, tmp_path: Path) -> None:
    found = await load(Shop(well), tmp_path, dict(SHAPES[name]))

    lines = (tmp_path / "history.tsv").read_text().splitlines()
    assert (found["errors"], found["error_kinds"]) == (0, {})
    assert 0 < found["done"] <= len(lines)
    if name != "replay":
        assert len({line.split("\t")[1] for line in lines}) == len(lines)


@pytest.mark.parametrize("name", ["unary", "open"])
async def test_a_server_that_takes_few_calls_at_a_time_gets_no_more(
    name: str, tmp_path: Path
) -> None:
    found = await load(Shop(well), tmp_path, dict(SHAPES[name]), max_concurrent_streams=1)

    assert found["errors"] == 0
    assert found["done"] > 10


async def test_a_server_that_sends_callers_away_costs_no_error(tmp_path: Path) -> None:
    fields = {"seconds": 1.5}

    found = await load(
        Shop(well), tmp_path, fields, max_connection_age_ms=200, max_connection_age_grace_ms=100
    )

    assert found["errors"] == 0
    assert all(one["rate"] > 0 for one in found["series"])


async def test_errors_are_counted_and_such_requests_are_of_unknown_fate(tmp_path: Path) -> None:
    count = itertools.count()

    async def sometimes(_request: Request, context: Context) -> None:
        if next(count) % 10 == 3:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")

    found = await load(Shop(sometimes), tmp_path, {})

    assert found["error_kinds"] == {"grpc-status 14: not now": found["errors"]}
    lines = (tmp_path / "history.tsv").read_text().splitlines()
    assert sum(line.startswith("U\t") for line in lines) == found["errors"] > 0


async def test_where_calls_are_shed_a_refusal_is_counted_apart_and_timed(tmp_path: Path) -> None:
    count = itertools.count()

    async def shed_some(_request: Request, context: Context) -> None:
        if next(count) % 10 == 3:
            await asyncio.sleep(0.02)
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no room")

    fields = {"shape": "open", "rate": 200.0, "sheds": True}
    found = await load(Shop(shed_some), tmp_path, fields)

    assert (found["errors"], found["error_kinds"]) == (0, {})
    assert 0 < found["refused"] < found["done"]
    assert percentiles(found["refusals"])["p50_ms"] >= 20
    lines = (tmp_path / "history.tsv").read_text().splitlines()
    assert sum(line.startswith("U\t") for line in lines) >= found["refused"]


async def test_a_refusal_is_an_error_where_nothing_may_be_shed(tmp_path: Path) -> None:
    async def refuse(_request: Request, context: Context) -> None:
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no room")

    found = await load(Shop(refuse), tmp_path, {"shape": "open", "rate": 50.0})

    assert found["error_kinds"] == {"grpc-status 8: no room": found["errors"]}
    assert found["errors"] > 0


async def test_another_payment_for_the_same_request_is_a_duplicate(tmp_path: Path) -> None:
    found = await load(Shop(well, forgets=True), tmp_path, {"workload": "replay"})

    assert found["errors"] > 0
    assert all(kind.startswith("wrong answer: duplicate") for kind in found["error_kinds"])


async def test_declines_are_told_apart_and_not_counted(tmp_path: Path) -> None:
    class Poor(Shop):
        def _pay(self, request: Request) -> Payment:
            paid = super()._pay(request)
            if request.amount.minor_units % 2:
                paid.state = Payment.STATE_DECLINED
                paid.decline_reason = payment_pb2.DECLINE_REASON_INSUFFICIENT_FUNDS
            return paid

    found = await load(Poor(well), tmp_path, {"warm_seconds": 0.0})

    assert found["errors"] == 0
    assert 0.3 < found["declined"] / (found["done"] + found["declined"]) < 0.7


LIES = {
    "amount": lambda paid: setattr(paid.amount, "minor_units", 1),
    "payer": lambda paid: setattr(paid, "payer_account_id", paid.merchant_id),
    "state": lambda paid: setattr(paid, "state", Payment.STATE_AUTHORIZED),
}


@pytest.mark.parametrize("shape", ["unary", "batch", "stream"])
@pytest.mark.parametrize("lie", LIES)
async def test_a_payment_that_was_not_asked_for_is_noticed(
    lie: str, shape: str, tmp_path: Path
) -> None:
    class Liar(Shop):
        def _pay(self, request: Request) -> Payment:
            paid = Payment()
            paid.CopyFrom(super()._pay(request))
            LIES[lie](paid)
            return paid

    found = await load(Liar(well), tmp_path, dict(SHAPES[shape]))

    assert found["done"] == 0
    assert found["errors"] > 0


async def test_a_stall_shows_in_every_call_that_was_due_meanwhile(tmp_path: Path) -> None:
    """A closed loop would see one slow call per connection and call the rest fast."""
    stall, start = 0.5, asyncio.get_running_loop().time()

    async def stalled(_request: Request, _context: Context) -> None:
        now = asyncio.get_running_loop().time() - start
        if 0.5 < now < 0.5 + stall:
            await asyncio.sleep(0.5 + stall - now)

    fields = {"shape": "open", "rate": 300.0, "seconds": 1.2, "warm_seconds": 0.1}
    found = await load(Shop(stalled), tmp_path, fields)

    assert found["errors"] == 0
    assert found["max_ms"] > stall * 900
    # Due evenly over the stall, so half of those waited half of it.
    assert found["p99_ms"] > stall * 800
    assert found["offered"] == pytest.approx(300 * 1.2, rel=0.25)


async def test_a_generator_that_is_held_up_itself_does_not_hide_it(tmp_path: Path) -> None:
    held_up = False

    async def blocking(_request: Request, _context: Context) -> None:
        nonlocal held_up
        if not held_up and len(shop.seen) > 60:
            held_up = True
            import time

            time.sleep(0.2)  # noqa: ASYNC251 - the generator shares this loop.

    shop = Shop(blocking)
    fields = {"shape": "open", "rate": 300.0, "seconds": 0.8}
    found = await load(shop, tmp_path, fields)

    assert found["late"] > 30
    assert found["latest_ms"] > 150
    assert found["max_ms"] > 150


def test_arrivals_are_a_schedule_of_independent_callers() -> None:
    found = drivers.arrivals(1_000, 20, seed=7)
    gaps = [after - before for before, after in itertools.pairwise(found)]
    mean = sum(gaps) / len(gaps)

    assert found == drivers.arrivals(1_000, 20, seed=7)
    assert found != drivers.arrivals(1_000, 20, seed=8)
    assert found[-1] < 20
    assert mean == pytest.approx(0.001, rel=0.05)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert deviation == pytest.approx(mean, rel=0.05)

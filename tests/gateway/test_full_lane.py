"""A lane without room: bulk waits for it, single calls are refused unread, and both get over it."""

import asyncio
import random
from collections import Counter
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from gateway import lane_client, methods, pressure, streams
from gateway.pressure import Pressure
from tender.v1 import lane_pb2, payment_pb2
from tests.gateway import bulk, conftest, requests, scripted
from tests.gateway.bulk import Stream, authorizing
from tests.gateway.conftest import Stack, metric, until

NAMES = [f"order-{number}" for number in range(1_500)]
MALFORMED = b"\xff\xff"
HINT_MS = 200


def turned_away(reason: str) -> float:
    return metric("tender_gateway_turned_away_total", {"reason": reason})


def name_of(command: lane_pb2.Command) -> str:
    request: Any = methods.BY_NUMBER[command.method].request.FromString(command.request)
    return str(request.request_id)


class Lane:
    """Has no room for some time, as the contract describes it: a refused round stays refused."""

    def __init__(self, stack: Stack, hint_ms: int = 50) -> None:
        self._stack = stack
        self._hint_ms = hint_ms
        self.is_full = True
        self.refuses: set[int] = set(lane_pb2.Method.values())
        self.decided: list[str] = []
        self._round_refused = 0
        stack.processor.script = self.script

    async def script(self, command: lane_pb2.Command, send: scripted.Send) -> None:
        at = self._stack.processor.commands.index(command)
        bulk_round = self._stack.processor.bulk_rounds[at]
        is_over = command.bulk and bulk_round <= self._round_refused
        if is_over or (self.is_full and command.method in self.refuses):
            self._round_refused = max(bulk_round * command.bulk, self._round_refused)
            full = scripted.refused(command, reason="LANE_QUEUE_FULL", retry_delay_ms=self._hint_ms)
            await send(full)
        else:
            self.decided.append(name_of(command))
            await send(scripted.echoed(command))


async def test_commands_of_a_stream_wait_for_room_and_not_their_caller(stack: Stack) -> None:
    lane = Lane(stack)
    stream = Stream(stack)
    await stream.send(*authorizing(*NAMES[:5]))
    await until(lambda: metric("tender_gateway_held_back") == 5)
    await until(lambda: len(stack.processor.commands) >= 15)

    lane.is_full = False
    outcomes = await stream.read_all(5)
    stream.call.cancel()

    assert {outcome.WhichOneof("result") for outcome in outcomes} == {"authorized"}
    assert lane.decided == NAMES[:5]
    assert metric("tender_gateway_held_back") == 0


async def test_a_batch_waits_for_room(stack: Stack) -> None:
    lane = Lane(stack)
    request = payment_pb2.AuthorizePaymentsRequest(
        requests=[requests.authorize(name) for name in NAMES[:20]]
    )
    call = asyncio.ensure_future(stack.call("AuthorizePayments", request))
    await until(lambda: metric("tender_gateway_held_back") == 20)

    lane.is_full = False
    answer = payment_pb2.AuthorizePaymentsResponse.FromString(await call)

    assert bulk.ids(answer.outcomes) == NAMES[:20]
    assert {outcome.WhichOneof("result") for outcome in answer.outcomes} == {"authorized"}


async def test_nothing_overtakes_what_waits(stack: Stack) -> None:
    lane, chance = Lane(stack), random.Random(5)
    stream = Stream(stack)

    async def flicker() -> None:
        while True:
            lane.is_full = chance.random() < 0.5
            await asyncio.sleep(chance.random() / 100)

    flickering = asyncio.create_task(flicker())
    for start in range(0, 300, 10):
        await stream.send(*authorizing(*NAMES[start : start + 10]))
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.3)
    flickering.cancel()
    lane.is_full = False
    outcomes = await stream.read_all(300)
    stream.call.cancel()

    assert Counter(bulk.ids(outcomes)) == Counter(NAMES[:300])
    assert {outcome.WhichOneof("result") for outcome in outcomes} == {"authorized"}
    assert lane.decided == NAMES[:300]
    assert len(stack.processor.commands) > 300


async def test_what_waits_is_not_sent_again_before_all_behind_it_waits_too(stack: Stack) -> None:
    lane = Lane(stack)

    async def late(command: lane_pb2.Command, send: scripted.Send) -> None:
        if name_of(command) == "second" and len(stack.processor.commands) == 2:
            await asyncio.sleep(0.4)
        await lane.script(command, send)

    stack.processor.script = late
    stream = Stream(stack)
    await stream.send(*authorizing("first", "second"))
    await until(lambda: metric("tender_gateway_held_back") == 1)
    lane.is_full = False
    await asyncio.sleep(0.2)
    await stream.send(*authorizing("third"))
    outcomes = await stream.read_all(3)
    stream.call.cancel()

    assert {outcome.WhichOneof("result") for outcome in outcomes} == {"authorized"}
    assert lane.decided == ["first", "second", "third"]


async def test_a_full_lane_slows_the_stream_down_instead_of_filling_memory(stack: Stack) -> None:
    lane = Lane(stack)
    before = metric("tender_gateway_stream_commands_total")
    stream = Stream(stack)

    async def send_all() -> None:
        for start in range(0, 1_500, 10):
            await stream.send(*authorizing(*NAMES[start : start + 10]))
        await stream.end()

    sending = asyncio.create_task(send_all())
    await asyncio.sleep(0.5)
    read = metric("tender_gateway_stream_commands_total") - before
    lane.is_full = False
    outcomes = await stream.read_all()
    await sending

    assert read <= streams.STREAM_COMMANDS_MAX
    assert Counter(bulk.ids(outcomes)) == Counter(NAMES)


async def test_a_command_that_found_no_room_until_its_deadline_is_refused_with_a_hint(
    tmp_path: Path,
) -> None:
    async with conftest.running(tmp_path, write_timeout_ms=600) as stack:
        Lane(stack)
        stream = Stream(stack)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await stream.send(*authorizing("late"))

        (outcome,) = await stream.read_all(1)
        waited = loop.time() - began
        stream.call.cancel()

    assert bulk.reason(outcome) == "LANE_QUEUE_FULL"
    assert bulk.details(outcome, error_details_pb2.RetryInfo).retry_delay.ToMilliseconds() > 0
    assert 0.4 < waited < 1.0


async def test_commands_that_wait_for_others_to_find_room_are_told_in_time(
    tmp_path: Path,
) -> None:
    async with conftest.running(tmp_path, write_timeout_ms=600, max_in_flight=8) as stack:
        Lane(stack)
        request = payment_pb2.AuthorizePaymentsRequest(
            requests=[requests.authorize(name) for name in NAMES[:20]]
        )

        answer = await stack.call("AuthorizePayments", request, timeout=5)

    outcomes = payment_pb2.AuthorizePaymentsResponse.FromString(answer).outcomes
    assert [bulk.reason(outcome) for outcome in outcomes] == ["LANE_QUEUE_FULL"] * 20


async def test_a_command_that_may_have_been_carried_out_before_stays_unknown(
    tmp_path: Path,
) -> None:
    async with conftest.running(tmp_path, write_timeout_ms=900) as stack:
        lane = Lane(stack)

        async def break_once(command: lane_pb2.Command, send: scripted.Send) -> None:
            if len(stack.processor.commands) == 1:
                stack.processor.break_streams()
                await asyncio.sleep(60)
            await lane.script(command, send)

        stack.processor.script = break_once
        stream = Stream(stack)
        await stream.send(*authorizing("late"))
        (outcome,) = await stream.read_all(1)
        stream.call.cancel()

    assert len(stack.processor.commands) > 1
    assert bulk.reason(outcome) == "OUTCOME_UNKNOWN"


async def test_a_stream_to_the_lane_that_breaks_loses_nothing_that_waits(stack: Stack) -> None:
    lane = Lane(stack)
    stream = Stream(stack)
    await stream.send(*authorizing(*NAMES[:50]))
    await until(lambda: metric("tender_gateway_held_back") == 50)

    stack.processor.break_streams()
    lane.is_full = False
    outcomes = await stream.read_all(50)
    stream.call.cancel()

    assert Counter(bulk.ids(outcomes)) == Counter(NAMES[:50])
    assert {outcome.WhichOneof("result") for outcome in outcomes} == {"authorized"}


async def test_what_waits_at_a_stop_is_answered(tmp_path: Path) -> None:
    async with conftest.running(tmp_path) as stack:
        lane = Lane(stack)
        stream = Stream(stack)
        await stream.send(*authorizing("one"))
        await until(lambda: metric("tender_gateway_held_back") == 1)

        stack.stop()
        await asyncio.sleep(0.1)
        lane.is_full = False
        (outcome,) = await stream.read_all(1)

    assert outcome.WhichOneof("result") == "authorized"


# Single calls.


async def fill(stack: Stack, name: str = "AuthorizePayment") -> Lane:
    """Let the lane refuse one call of this kind."""
    lane = Lane(stack, HINT_MS)
    request = requests.authorize("first") if name == "AuthorizePayment" else requests.VALID[name]
    answer = await conftest.refusal(stack.call(name, request))
    assert (answer.code, answer.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "LANE_QUEUE_FULL",
    )
    assert answer.retry_ms == HINT_MS
    return lane


async def open_again() -> None:
    """Wait until nothing is refused unread any more."""
    await asyncio.sleep(HINT_MS / 1_000 + 0.01)


async def test_authorizations_are_refused_unread_while_the_lane_is_full(stack: Stack) -> None:
    before = turned_away("LANE_QUEUE_FULL")
    await fill(stack)

    answer = await conftest.refusal(
        stack.call_bytes(conftest.path_of("AuthorizePayment"), MALFORMED)
    )

    assert (answer.reason, answer.retry_ms > 0) == ("LANE_QUEUE_FULL", True)
    assert len(stack.processor.commands) == 1
    assert turned_away("LANE_QUEUE_FULL") == before + 1
    await open_again()


async def test_what_finishes_or_undoes_payments_is_let_through_longer(stack: Stack) -> None:
    lane = await fill(stack)
    lane.refuses = {lane_pb2.METHOD_AUTHORIZE_PAYMENT}

    for name in ("CapturePayment", "VoidPayment", "RefundPayment", "ReversePayment"):
        await stack.call(name, requests.VALID[name])

    assert len(stack.processor.commands) == 5
    await open_again()


@pytest.mark.parametrize("name", ["CapturePayment", "ReversePayment"])
async def test_they_are_refused_unread_once_the_lane_refused_one(stack: Stack, name: str) -> None:
    await fill(stack, name)

    for path in (name, "AuthorizePayment"):
        answer = await conftest.refusal(stack.call_bytes(conftest.path_of(path), MALFORMED))
        assert answer.reason == "LANE_QUEUE_FULL"
    assert len(stack.processor.commands) == 1
    await open_again()


async def test_reads_give_way_with_authorizations(stack: Stack) -> None:
    await fill(stack)

    answer = await conftest.refusal(stack.call("GetPayment", requests.VALID["GetPayment"]))

    assert (answer.reason, answer.retry_ms > 0) == ("LANE_QUEUE_FULL", True)
    assert stack.processor.reads == []
    await open_again()
    await stack.call("GetPayment", requests.VALID["GetPayment"])


async def test_calls_get_through_again_by_themselves(stack: Stack) -> None:
    lane = await fill(stack)
    lane.is_full = False
    await open_again()

    for number in range(20):
        await stack.call("AuthorizePayment", requests.authorize(f"later-{number}"))


async def test_a_full_lane_s_refusal_of_bulk_refuses_no_single_call(stack: Stack) -> None:
    lane = Lane(stack)
    stream = Stream(stack)
    await stream.send(*authorizing(*NAMES[:5]))
    await until(lambda: metric("tender_gateway_held_back") == 5)
    lane.is_full = False

    await stack.call("AuthorizePayment", requests.authorize("single"))

    await stream.read_all(5)
    stream.call.cancel()


async def test_a_lane_with_room_turns_nobody_away(stack: Stack) -> None:
    reasons = ("LANE_QUEUE_FULL", "GATEWAY_BUSY", "TENANT_BUSY")
    before = [turned_away(reason) for reason in reasons]

    await asyncio.gather(
        *(stack.call("AuthorizePayment", requests.authorize(name)) for name in NAMES[:500])
    )

    assert [turned_away(reason) for reason in reasons] == before


def test_a_hint_however_long_shuts_for_a_short_time() -> None:
    given = Pressure()
    given.note_full(pressure.AUTHORIZE, 3_600, now=0)

    assert given.refuses(pressure.AUTHORIZE, pressure.SECONDS_MAX / 4)
    assert not given.refuses(pressure.AUTHORIZE, pressure.SECONDS_MAX)
    assert not given.refuses(lane_pb2.METHOD_CAPTURE_PAYMENT, 0)


# Shares.


async def waiting_forever(command: lane_pb2.Command, send: scripted.Send) -> None:
    await asyncio.sleep(60)


async def test_the_last_places_are_for_what_finishes_or_undoes_payments(tmp_path: Path) -> None:
    assert lane_client.AUTHORIZATIONS_SHARE * 20 == 18
    async with conftest.running(tmp_path, max_in_flight=20, drain_seconds=0.2) as stack:
        stack.processor.script = waiting_forever
        held = [
            asyncio.ensure_future(stack.call("AuthorizePayment", requests.authorize(name)))
            for name in NAMES[:18]
        ]
        await until(lambda: len(stack.processor.commands) == 18)

        answer = await conftest.refusal(stack.call("AuthorizePayment", requests.authorize("one")))
        stack.processor.script = scripted.echo
        await stack.call("CapturePayment", requests.VALID["CapturePayment"])
        for call in held:
            call.cancel()
        stack.stop()

    assert (answer.reason, answer.retry_ms > 0) == ("GATEWAY_BUSY", True)


def running_with_few_places(folder: Path) -> AbstractAsyncContextManager[Stack]:
    return conftest.running(folder, max_in_flight=20, max_in_flight_per_tenant=5, drain_seconds=0.2)


async def test_one_tenant_cannot_take_all_places(tmp_path: Path) -> None:
    async with running_with_few_places(tmp_path) as stack:
        stack.keys["other"] = stack.processor.add_key("service", tenant_id="other")
        stack.processor.script = waiting_forever
        before = turned_away("TENANT_BUSY")
        held = [
            asyncio.ensure_future(stack.call("AuthorizePayment", requests.authorize(name)))
            for name in NAMES[:5]
        ]
        await until(lambda: len(stack.processor.commands) == 5)
        stack.processor.script = scripted.echo

        answer = await conftest.refusal(stack.call("AuthorizePayment", requests.authorize("one")))
        await stack.call("AuthorizePayment", requests.authorize("one"), key="other")
        for call in held:
            call.cancel()
        stack.stop()

    assert (answer.code, answer.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TENANT_BUSY")
    assert answer.retry_ms > 0
    assert turned_away("TENANT_BUSY") == before + 1


async def test_a_tenant_s_places_come_free_with_its_answers(tmp_path: Path) -> None:
    async with running_with_few_places(tmp_path) as stack:
        for start in range(0, 20, 5):
            names = NAMES[start : start + 5]
            await asyncio.gather(
                *(stack.call("AuthorizePayment", requests.authorize(name)) for name in names)
            )


async def test_bulk_waits_for_its_tenant_s_places(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def wait(command: lane_pb2.Command, send: scripted.Send) -> None:
        await release.wait()
        await send(scripted.echoed(command))

    async with running_with_few_places(tmp_path) as stack:
        stack.processor.script = wait
        stream = Stream(stack)
        await stream.send(*authorizing(*NAMES[:12]))
        await until(lambda: len(stack.processor.commands) == 5)
        await asyncio.sleep(0.1)

        assert len(stack.processor.commands) == 5
        release.set()
        assert Counter(bulk.ids(await stream.read_all(12))) == Counter(NAMES[:12])
        stream.call.cancel()

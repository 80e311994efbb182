"""AuthorizePayments: one outcome for each request, in order, whatever becomes of the others."""

import asyncio
import random
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2

from gateway import batches, endpoint
from gateway import bulk as bulk_commands
from tender.v1 import lane_pb2, payment_pb2
from tests.gateway import bulk, conftest, requests, scripted
from tests.gateway.conftest import Stack

NAMES = [f"order-{number}" for number in range(1_000)]


async def authorize(
    stack: Stack, *given: payment_pb2.AuthorizePaymentRequest, key: str = "service"
) -> list[bulk.Outcome]:
    request = payment_pb2.AuthorizePaymentsRequest(requests=given)
    answer = await stack.call("AuthorizePayments", request, key=key)
    return list(payment_pb2.AuthorizePaymentsResponse.FromString(answer).outcomes)


async def test_a_thousand_outcomes_come_in_the_order_of_the_requests(stack: Stack) -> None:
    order = random.Random(7)

    async def late(command: lane_pb2.Command, send: scripted.Send) -> None:
        await asyncio.sleep(order.random() / 20)
        await send(scripted.echoed(command))

    stack.processor.script = late

    outcomes = await authorize(stack, *map(requests.authorize, NAMES))

    assert bulk.ids(outcomes) == NAMES
    assert [outcome.authorized.payment.description for outcome in outcomes] == NAMES
    assert all(command.bulk for command in stack.processor.commands)


async def test_requests_reach_the_lane_in_their_order_and_as_they_came(stack: Stack) -> None:
    sent = [requests.authorize(name, description="x" * 100) for name in NAMES[:50]]

    await authorize(stack, *sent)

    assert [command.request for command in stack.processor.commands] == [
        request.SerializeToString() for request in sent
    ]
    assert {command.principal.tenant_id for command in stack.processor.commands} == {"acme"}


async def test_some_may_fail_while_others_succeed(stack: Stack) -> None:
    async def refuse_one(command: lane_pb2.Command, send: scripted.Send) -> None:
        request = payment_pb2.AuthorizePaymentRequest.FromString(command.request)
        if request.request_id == "running":
            await send(scripted.refused(command, reason="REQUEST_IN_PROGRESS", retry_delay_ms=70))
        else:
            await send(scripted.echoed(command, replayed=request.request_id == "again"))

    stack.processor.script = refuse_one

    good, bad, running, again = await authorize(
        stack,
        requests.authorize("good"),
        requests.authorize("bad", amount=requests.money(0), payer_account_id="nobody"),
        requests.authorize("running"),
        requests.authorize("again"),
    )

    assert good.WhichOneof("result") == again.WhichOneof("result") == "authorized"
    assert (good.replayed, again.replayed) == (False, True)
    assert bulk.reason(bad) == "AMOUNT_OUT_OF_RANGE"
    problems = bulk.details(bad, error_details_pb2.BadRequest).field_violations
    assert {problem.field for problem in problems} == {"payer_account_id", "amount.minor_units"}
    assert bulk.reason(running) == "REQUEST_IN_PROGRESS"
    retry = bulk.details(running, error_details_pb2.RetryInfo).retry_delay
    assert retry.ToMilliseconds() == 70
    assert len(stack.processor.commands) == 3


async def test_an_outcome_s_error_is_that_of_the_single_call(stack: Stack) -> None:
    wrong = requests.authorize("wrong", amount=requests.money(-1))

    (outcome,) = await authorize(stack, wrong)
    single = await conftest.refusal(stack.call("AuthorizePayment", wrong))

    info = bulk.details(outcome, error_details_pb2.ErrorInfo)
    assert (outcome.error.code, outcome.error.message) == (single.code.value[0], single.text)
    assert (info.reason, info.domain) == (single.reason, "tender")


async def test_the_same_request_id_twice_gives_two_outcomes(stack: Stack) -> None:
    outcomes = await authorize(stack, requests.authorize("one"), requests.authorize("one"))

    assert bulk.ids(outcomes) == ["one", "one"]
    assert len(stack.processor.commands) == 2


async def test_a_merchant_s_key_authorizes_for_no_other_merchant(stack: Stack) -> None:
    own, other = await authorize(
        stack,
        requests.authorize("own"),
        requests.authorize("other", merchant_id=scripted.OTHER_MERCHANT),
        key="merchant",
    )

    assert own.WhichOneof("result") == "authorized"
    assert bulk.reason(other) == "MERCHANT_UNKNOWN"
    (command,) = stack.processor.commands
    assert command.principal.merchant_id == scripted.MERCHANT


@pytest.mark.parametrize("count", [0, bulk_commands.COMMANDS_MAX + 1])
async def test_none_and_1001_are_refused_whole(stack: Stack, count: int) -> None:
    given = [requests.authorize(str(number)) for number in range(count)]
    request = payment_pb2.AuthorizePaymentsRequest(requests=given)

    answer = await conftest.refusal(stack.call("AuthorizePayments", request))

    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
    assert answer.fields == ["requests"]
    assert stack.processor.commands == []


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff",
        b"\x0a\x02\xff\xff",
        payment_pb2.AuthorizePaymentsRequest(
            requests=[requests.authorize("first")]
        ).SerializeToString()
        + b"\x0a\x04\x0a\x02\xc3\x28",
    ],
    ids=["no message", "no request", "bad UTF-8 in the second request"],
)
async def test_what_cannot_be_read_is_refused_whole(stack: Stack, data: bytes) -> None:
    path = conftest.path_of("AuthorizePayments")

    answer = await conftest.refusal(stack.call_bytes(path, data))

    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MESSAGE_MALFORMED")
    assert stack.processor.commands == []


async def test_one_request_beyond_64_kib_fails_alone(stack: Stack) -> None:
    large = requests.authorize("large", description="x" * endpoint.MESSAGE_BYTES_MAX)

    good, refused = await authorize(stack, requests.authorize("good"), large)

    assert good.WhichOneof("result") == "authorized"
    assert bulk.reason(refused) == "MESSAGE_TOO_LARGE"


async def test_more_than_1_mib_is_refused(stack: Stack) -> None:
    path = conftest.path_of("AuthorizePayments")

    call = stack.call_bytes(path, bytes(bulk_commands.MESSAGE_BYTES_MAX + 1))

    assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert stack.processor.commands == []


async def test_a_broken_stream_to_the_lane_sends_what_is_unanswered_again(stack: Stack) -> None:
    async def break_once(command: lane_pb2.Command, send: scripted.Send) -> None:
        if len(stack.processor.commands) == 20:
            stack.processor.break_streams()
            await asyncio.sleep(60)
        await send(scripted.echoed(command))

    stack.processor.script = break_once

    outcomes = await authorize(stack, *map(requests.authorize, NAMES[:20]))

    assert bulk.ids(outcomes) == NAMES[:20]
    assert {outcome.WhichOneof("result") for outcome in outcomes} == {"authorized"}


async def test_no_answer_in_time_is_an_unknown_outcome_of_that_command(tmp_path: Path) -> None:
    async def answer_one(command: lane_pb2.Command, send: scripted.Send) -> None:
        request = payment_pb2.AuthorizePaymentRequest.FromString(command.request)
        if request.request_id == "answered":
            await send(scripted.echoed(command))

    async with conftest.running(tmp_path, write_timeout_ms=300) as stack:
        stack.processor.script = answer_one

        answered, silent = await authorize(
            stack, requests.authorize("answered"), requests.authorize("silent")
        )

    assert answered.WhichOneof("result") == "authorized"
    assert bulk.reason(silent) == "OUTCOME_UNKNOWN"


async def test_bulk_leaves_room_for_single_calls(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def wait(command: lane_pb2.Command, send: scripted.Send) -> None:
        await release.wait()
        await send(scripted.echoed(command))

    async with conftest.running(tmp_path, max_in_flight=8) as stack:
        stack.processor.script = wait
        first = asyncio.ensure_future(authorize(stack, *map(requests.authorize, NAMES[:10])))
        await conftest.until(lambda: len(stack.processor.commands) == 6)
        single = asyncio.ensure_future(stack.call("AuthorizePayment", requests.authorize("one")))
        await conftest.until(lambda: len(stack.processor.commands) == 7)
        await asyncio.sleep(0.1)

        assert len(stack.processor.commands) == 7
        release.set()
        await single
        assert bulk.ids(await first) == NAMES[:10]


async def test_more_calls_than_may_wait_for_room_are_refused_whole(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "SENDING_MAX", 0)
    request = payment_pb2.AuthorizePaymentsRequest(requests=[requests.authorize("more")])

    busy = await conftest.refusal(stack.call("AuthorizePayments", request))

    assert (busy.reason, busy.retry_ms > 0) == ("GATEWAY_BUSY", True)
    assert stack.processor.commands == []


async def test_a_call_that_waits_for_room_and_leaves_is_forgotten(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def wait(command: lane_pb2.Command, send: scripted.Send) -> None:
        await release.wait()
        await send(scripted.echoed(command))

    async with conftest.running(tmp_path, max_in_flight=8) as stack:
        stack.processor.script = wait
        request = payment_pb2.AuthorizePaymentsRequest(
            requests=[requests.authorize(name) for name in NAMES[:10]]
        )
        call = stack.call("AuthorizePayments", request)
        await conftest.until(lambda: len(stack.processor.commands) == 6)

        call.cancel()
        await asyncio.sleep(0.1)
        release.set()
        await conftest.until(lambda: conftest.metric("tender_gateway_in_flight") == 0)

        assert len(stack.processor.commands) == 6


async def test_an_unknown_reason_of_the_lane_is_an_internal_error_of_that_command(
    stack: Stack,
) -> None:
    async def refuse(command: lane_pb2.Command, send: scripted.Send) -> None:
        await send(scripted.refused(command, reason="NEW_REASON", message="4111111111111111"))

    stack.processor.script = refuse

    (outcome,) = await authorize(stack, requests.authorize("one"))

    assert bulk.reason(outcome) == "INTERNAL"
    assert "4111" not in str(outcome)

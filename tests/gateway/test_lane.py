"""What becomes of a command between the caller and the lane, whatever happens to the stream."""

import asyncio
import random
from pathlib import Path

import grpc
import pytest

from gateway import lane_stream
from kit import serving
from tender.v1 import lane_pb2, payment_pb2
from tests.gateway import conftest, requests, scripted
from tests.gateway.conftest import Stack, until


def in_flight() -> float:
    return conftest.metric("tender_gateway_in_flight")


def authorized_request_id(answer: bytes) -> str:
    return payment_pb2.AuthorizePaymentResponse.FromString(answer).payment.description


async def test_every_caller_gets_its_own_answer_however_they_are_shuffled(stack: Stack) -> None:
    order = random.Random(7)

    async def late(command: lane_pb2.Command, send: scripted.Send) -> None:
        await asyncio.sleep(order.random() / 20)
        await send(scripted.echoed(command))

    stack.processor.script = late
    names = [f"order-{number}" for number in range(256)]

    answers = await asyncio.gather(
        *(stack.call("AuthorizePayment", requests.authorize(name)) for name in names)
    )

    assert [authorized_request_id(answer) for answer in answers] == names
    assert max(stack.processor.batch_sizes) > 1
    assert in_flight() == 0


async def test_a_second_answer_to_a_command_reaches_nobody(stack: Stack) -> None:
    async def twice(command: lane_pb2.Command, send: scripted.Send) -> None:
        await send(scripted.echoed(command))
        await send(scripted.refused(command, reason="PAYMENT_STATE"))

    stack.processor.script = twice

    for number in range(20):
        answer = await stack.call("AuthorizePayment", requests.authorize(f"order-{number}"))

        assert authorized_request_id(answer) == f"order-{number}"


async def test_an_answer_to_a_command_never_sent_reaches_nobody(stack: Stack) -> None:
    async def ahead(command: lane_pb2.Command, send: scripted.Send) -> None:
        await send(lane_pb2.Outcome(correlation_id=command.correlation_id + 1, response=b"evil"))
        await send(scripted.echoed(command))

    stack.processor.script = ahead

    for number in range(20):
        answer = await stack.call("AuthorizePayment", requests.authorize(f"order-{number}"))

        assert authorized_request_id(answer) == f"order-{number}"


async def test_a_broken_stream_sends_the_same_request_again(stack: Stack) -> None:
    seen: list[bytes] = []

    async def break_the_first(command: lane_pb2.Command, send: scripted.Send) -> None:
        seen.append(command.request)
        if len(seen) == 1:
            stack.processor.break_streams()
            await asyncio.sleep(60)
        await send(scripted.echoed(command, replayed=True))

    stack.processor.script = break_the_first
    call = stack.call("AuthorizePayment", requests.authorize("order-1"))

    answer = await call

    assert authorized_request_id(answer) == "order-1"
    assert seen == [requests.authorize("order-1").SerializeToString()] * 2
    first, second = stack.processor.commands
    assert first.correlation_id == second.correlation_id
    assert second.timeout_ms < first.timeout_ms
    assert ("tender-replayed", "1") in tuple(await call.trailing_metadata())


async def test_replays_and_conflicts_are_counted_for_their_tenant_without_a_cache_too(
    stack: Stack,
) -> None:
    async def judge(command: lane_pb2.Command, send: scripted.Send) -> None:
        if len(stack.processor.commands) == 1:
            await send(scripted.echoed(command, replayed=True))
        else:
            await send(scripted.refused(command, reason="REQUEST_ID_REUSED"))

    stack.processor.script = judge
    counters = ("tender_gateway_replays_total", "tender_gateway_request_conflicts_total")
    labels = {"tenant": "acme", "source": "lane"}
    before = [conftest.metric(name, labels) for name in counters]

    await stack.call("AuthorizePayment", requests.authorize("order-1"))
    await conftest.refusal(stack.call("AuthorizePayment", requests.authorize("order-1")))

    assert [conftest.metric(name, labels) for name in counters] == [count + 1 for count in before]


@pytest.mark.parametrize(
    "reason", ["LANE_QUEUE_FULL", "DEADLINE_PASSED", "SHARD_UNAVAILABLE", "REQUEST_IN_PROGRESS"]
)
async def test_an_undecided_refusal_of_a_command_sent_twice_leaves_its_outcome_unknown(
    stack: Stack, reason: str
) -> None:
    async def broken_then_refused(command: lane_pb2.Command, send: scripted.Send) -> None:
        if len(stack.processor.commands) == 1:
            stack.processor.break_streams()
            await asyncio.sleep(60)
        await send(scripted.refused(command, reason=reason))

    stack.processor.script = broken_then_refused

    answer = await conftest.refusal(stack.call("AuthorizePayment", requests.authorize()))

    assert (answer.code, answer.reason) == (grpc.StatusCode.UNAVAILABLE, "OUTCOME_UNKNOWN")
    assert answer.retry_ms > 0


async def test_streams_that_break_all_the_time_lose_and_mix_up_nothing(stack: Stack) -> None:
    chance = random.Random(11)

    async def unreliable(command: lane_pb2.Command, send: scripted.Send) -> None:
        await asyncio.sleep(chance.random() / 100)
        if chance.random() < 0.01:
            stack.processor.break_streams()
        await send(scripted.echoed(command))

    stack.processor.script = unreliable
    names = [f"order-{number}" for number in range(400)]

    answers = await asyncio.gather(
        *(stack.call("AuthorizePayment", requests.authorize(name)) for name in names)
    )

    assert [authorized_request_id(answer) for answer in answers] == names


async def test_a_call_cancelled_at_any_moment_leaves_nothing_in_flight(stack: Stack) -> None:
    async def slow(command: lane_pb2.Command, send: scripted.Send) -> None:
        await asyncio.sleep(0.02)
        await send(scripted.echoed(command))

    stack.processor.script = slow

    async def cancel_after(milliseconds: int) -> None:
        call = stack.call("AuthorizePayment", requests.authorize(f"cancel-{milliseconds}"))
        await asyncio.sleep(milliseconds / 1_000)
        call.cancel()
        await asyncio.wait([asyncio.ensure_future(call)])

    await asyncio.gather(*(cancel_after(delay) for delay in range(51)))
    await until(lambda: in_flight() == 0)

    answer = await stack.call("AuthorizePayment", requests.authorize("after"))
    assert authorized_request_id(answer) == "after"
    # Whatever reached the lane was sent once, whole, and not withdrawn.
    ids = [command.correlation_id for command in stack.processor.commands]
    assert len(ids) == len(set(ids))


async def test_a_cancelled_call_is_carried_out_to_its_end(stack: Stack) -> None:
    decide = asyncio.Event()
    answered = asyncio.Event()

    async def wait(command: lane_pb2.Command, send: scripted.Send) -> None:
        await decide.wait()
        await send(scripted.echoed(command))
        answered.set()

    stack.processor.script = wait
    call = stack.call("AuthorizePayment", requests.authorize())
    await until(lambda: stack.processor.commands)

    call.cancel()
    await asyncio.sleep(0.05)

    assert in_flight() == 1
    decide.set()
    await answered.wait()
    await until(lambda: in_flight() == 0)


async def test_no_answer_in_time_is_an_unknown_outcome(tmp_path: Path) -> None:
    async def never(command: lane_pb2.Command, send: scripted.Send) -> None:
        await asyncio.sleep(60)

    async with conftest.running(tmp_path, write_timeout_ms=300) as stack:
        stack.processor.script = never

        answer = await conftest.refusal(
            stack.call("AuthorizePayment", requests.authorize(), timeout=None)
        )

        assert answer.reason == "OUTCOME_UNKNOWN"
        assert answer.code is grpc.StatusCode.UNAVAILABLE
        assert answer.retry_ms > 0
        assert in_flight() == 0
        assert 0 < stack.processor.commands[0].timeout_ms <= 300


async def test_the_callers_deadline_goes_along_when_it_is_the_shorter_one(stack: Stack) -> None:
    await stack.call("AuthorizePayment", requests.authorize(), timeout=3)

    (command,) = stack.processor.commands
    # gRPC rounds a deadline up on its way.
    assert 2_000 < command.timeout_ms <= 3_100


async def test_more_commands_than_the_gateway_may_carry_are_refused(tmp_path: Path) -> None:
    async with conftest.running(tmp_path, max_in_flight=5) as stack:
        release = asyncio.Event()

        async def wait(command: lane_pb2.Command, send: scripted.Send) -> None:
            await release.wait()
            await send(scripted.echoed(command))

        stack.processor.script = wait
        waiting = [
            asyncio.ensure_future(stack.call("AuthorizePayment", requests.authorize(str(n))))
            for n in range(5)
        ]
        await until(lambda: len(stack.processor.commands) == 5)

        answer = await conftest.refusal(stack.call("AuthorizePayment", requests.authorize("6")))

        assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (answer.reason, answer.retry_ms > 0) == ("GATEWAY_BUSY", True)
        release.set()
        await asyncio.gather(*waiting)


async def test_a_stream_that_says_nothing_more_is_left_for_another(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_stream, "SILENCE_SECONDS_MAX", 0.3)
    before = stack.processor.streams_opened

    async def forget_on_the_first_stream(command: lane_pb2.Command, send: scripted.Send) -> None:
        if stack.processor.streams_opened > before:
            await send(scripted.echoed(command))

    stack.processor.script = forget_on_the_first_stream

    # Callers with short deadlines hide nothing: what was sent was not answered.
    for _ in range(4):
        await stack.call("AuthorizePayment", requests.authorize("hurried"), timeout=0.1).code()
    await until(lambda: stack.processor.streams_opened > before)
    answer = await stack.call("AuthorizePayment", requests.authorize("later"))

    assert authorized_request_id(answer) == "later"


async def test_large_commands_that_waited_are_sent_in_parts(stack: Stack) -> None:
    metadata = {f"key-{number}": "x" * 500 for number in range(50)}
    stack.processor.refuses_streams = True
    stack.processor.break_streams()
    await until(lambda: conftest.metric("tender_gateway_lane_connected", {"shard": ""}) == 0)
    waiting = [
        asyncio.ensure_future(
            stack.call("AuthorizePayment", requests.authorize(f"o-{n}", metadata=metadata))
        )
        for n in range(150)
    ]
    await until(lambda: in_flight() == 150)

    stack.processor.refuses_streams = False
    answers = await asyncio.gather(*waiting)

    assert [authorized_request_id(answer) for answer in answers] == [f"o-{n}" for n in range(150)]
    sizes = stack.processor.batch_sizes
    assert max(sizes) * 25_000 < serving.RECEIVE_BYTES_MAX < sum(sizes) * 25_000


async def test_a_processor_that_is_away_makes_new_calls_fail_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_stream, "ABSENCE_SECONDS_MAX", 0.2)
    async with conftest.running(tmp_path) as stack:
        await stack.call("AuthorizePayment", requests.authorize())
        stack.processor.refuses_streams = True
        stack.processor.break_streams()
        await asyncio.sleep(0.4)

        answer = await conftest.refusal(stack.call("AuthorizePayment", requests.authorize()))

        assert answer.code is grpc.StatusCode.UNAVAILABLE
        assert (answer.reason, answer.retry_ms > 0) == ("SHARD_UNAVAILABLE", True)
        stack.processor.refuses_streams = False
        await asyncio.sleep(1.2)
        await stack.call("AuthorizePayment", requests.authorize())


async def test_a_refusal_of_the_lane_reaches_the_caller_whole(stack: Stack) -> None:
    async def refuse(command: lane_pb2.Command, send: scripted.Send) -> None:
        await send(
            scripted.refused(
                command,
                reason="PAYMENT_STATE",
                message="The payment is voided.",
                metadata={"state": "VOIDED"},
                field_problems=[lane_pb2.FieldProblem(field="payment_id", description="Voided.")],
                retry_delay_ms=70,
            )
        )

    stack.processor.script = refuse

    answer = await conftest.refusal(stack.call("CapturePayment", requests.VALID["CapturePayment"]))

    assert answer == conftest.Answer(
        grpc.StatusCode.FAILED_PRECONDITION,
        "The payment is voided.",
        "PAYMENT_STATE",
        {"state": "VOIDED"},
        ["payment_id"],
        70,
    )


async def test_an_unknown_reason_of_the_lane_is_an_internal_error(stack: Stack) -> None:
    async def refuse(command: lane_pb2.Command, send: scripted.Send) -> None:
        await send(scripted.refused(command, reason="NEW_REASON", message="4111111111111111"))

    stack.processor.script = refuse

    answer = await conftest.refusal(stack.call("AuthorizePayment", requests.authorize()))

    assert (answer.code, answer.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "4111" not in repr(answer)


async def test_an_outcome_without_a_result_is_an_internal_error(stack: Stack) -> None:
    async def empty(command: lane_pb2.Command, send: scripted.Send) -> None:
        await send(lane_pb2.Outcome(correlation_id=command.correlation_id))

    stack.processor.script = empty

    answer = await conftest.refusal(stack.call("AuthorizePayment", requests.authorize()))

    assert answer.reason == "INTERNAL"

"""StreamPayments: matched by request_id, in order where it counts, and never more than is read."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from gateway import bulk as bulk_commands
from gateway import endpoint, identity, streams, window
from tender.v1 import lane_pb2, payment_pb2
from tests.gateway import bulk, conftest, requests, scripted
from tests.gateway.bulk import Stream, authorizing
from tests.gateway.conftest import Stack, until

NAMES = [f"order-{number}" for number in range(1_000)]
WINDOW_BYTES_MAX = 8 * 1024 * 1024
Command = payment_pb2.PaymentCommand
EVERY_KIND: dict[str, Command] = {
    "authorized": Command(authorize=requests.authorize("a")),
    "captured": Command(
        capture=payment_pb2.CapturePaymentRequest(request_id="c", payment_id=scripted.PAYMENT)
    ),
    "voided": Command(
        void=payment_pb2.VoidPaymentRequest(request_id="v", payment_id=scripted.PAYMENT)
    ),
    "refunded": Command(
        refund=payment_pb2.RefundPaymentRequest(request_id="r", payment_id=scripted.PAYMENT)
    ),
    "reversed": Command(
        reverse=payment_pb2.ReversePaymentRequest(
            request_id="x",
            original_request_id="order-1",
            payer_account_id=scripted.ACCOUNT,
            merchant_id=scripted.MERCHANT,
        )
    ),
}


async def never(command: lane_pb2.Command, send: scripted.Send) -> None:
    await asyncio.sleep(60)


async def test_every_kind_of_command_gets_its_kind_of_outcome(stack: Stack) -> None:
    stream = Stream(stack)

    await stream.send(*EVERY_KIND.values())
    await stream.end()
    outcomes = await stream.read_all()

    assert [outcome.WhichOneof("result") for outcome in outcomes] == list(EVERY_KIND)
    assert bulk.ids(outcomes) == ["a", "c", "v", "r", "x"]
    assert await stream.call.code() is grpc.StatusCode.OK
    assert [command.method for command in stack.processor.commands] == [1, 2, 3, 4, 5]
    assert all(command.bulk for command in stack.processor.commands)


async def test_shuffled_outcomes_find_their_commands(stack: Stack) -> None:
    order = random.Random(7)

    async def late(command: lane_pb2.Command, send: scripted.Send) -> None:
        await asyncio.sleep(order.random() / 20)
        await send(scripted.echoed(command))

    stack.processor.script = late
    stream = Stream(stack)

    for start in range(0, 1_000, 100):
        await stream.send(*authorizing(*NAMES[start : start + 100]))
    await stream.end()
    outcomes = await stream.read_all()

    assert Counter(bulk.ids(outcomes)) == Counter(NAMES)
    assert all(o.authorized.payment.description == o.request_id for o in outcomes)
    sent = [
        payment_pb2.AuthorizePaymentRequest.FromString(command.request).request_id
        for command in stack.processor.commands
    ]
    assert sent == NAMES


async def test_streams_beside_each_other_get_their_own_outcomes(stack: Stack) -> None:
    async def use(number: int) -> tuple[list[str], list[str]]:
        stream = Stream(stack)
        names = [f"{number}-{name}" for name in NAMES[:200]]
        for start in range(0, 200, 10):
            await stream.send(*authorizing(*names[start : start + 10]))
        await stream.end()
        return names, bulk.ids(await stream.read_all())

    for names, answered in await asyncio.gather(*map(use, range(10))):
        assert Counter(answered) == Counter(names)


async def test_after_the_caller_s_end_what_is_under_way_is_answered(stack: Stack) -> None:
    release = asyncio.Event()

    async def wait(command: lane_pb2.Command, send: scripted.Send) -> None:
        await release.wait()
        await send(scripted.echoed(command))

    stack.processor.script = wait
    stream = Stream(stack)
    await stream.send(*authorizing(*NAMES[:20]))
    await stream.end()
    await until(lambda: len(stack.processor.commands) == 20)
    release.set()

    assert Counter(bulk.ids(await stream.read_all())) == Counter(NAMES[:20])
    assert await stream.call.code() is grpc.StatusCode.OK


async def test_a_refused_command_leaves_the_stream_as_it_is(stack: Stack) -> None:
    stream = Stream(stack)

    await stream.send(
        Command(authorize=requests.authorize("bad", amount=requests.money(0))),
        Command(void=payment_pb2.VoidPaymentRequest(request_id="odd", payment_id="nothing")),
        Command(authorize=requests.authorize("large", description="x" * 70_000)),
        *authorizing("good"),
    )
    found = {outcome.request_id: outcome for outcome in await stream.read_all(4)}
    await stream.send(*authorizing("later"))
    (later,) = await stream.read_all(1)
    stream.call.cancel()

    assert bulk.reason(found["bad"]) == "AMOUNT_OUT_OF_RANGE"
    assert bulk.reason(found["odd"]) == "FIELD_INVALID"
    assert bulk.reason(found["large"]) == "MESSAGE_TOO_LARGE"
    assert found["good"].WhichOneof("result") == later.WhichOneof("result") == "authorized"


async def test_a_merchant_s_key_speaks_for_no_other_merchant(stack: Stack) -> None:
    stream = Stream(stack, key="merchant")

    await stream.send(
        Command(authorize=requests.authorize("o", merchant_id=scripted.OTHER_MERCHANT))
    )
    (outcome,) = await stream.read_all(1)
    stream.call.cancel()

    assert bulk.reason(outcome) == "MERCHANT_UNKNOWN"
    assert stack.processor.commands == []


async def test_the_same_request_id_twice_in_a_message_gives_two_outcomes(stack: Stack) -> None:
    stream = Stream(stack)

    await stream.send(*authorizing("one", "one"))
    await stream.end()

    assert bulk.ids(await stream.read_all()) == ["one", "one"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "FIELD_INVALID"),
        (b"\x0a\x00", "FIELD_INVALID"),
        (b"\xff\xff", "MESSAGE_MALFORMED"),
        (b"\x0a\x04\x0a\x02\xff\xff", "MESSAGE_MALFORMED"),
        (b"\x0a\x06\x0a\x04\x0a\x02\xc3\x28", "MESSAGE_MALFORMED"),
        (b"\x0a\x02\x7a\x00", "FIELD_INVALID"),
        (b"\x0a\x04\x0a\x02\x0a\x00" * (bulk_commands.COMMANDS_MAX + 1), "FIELD_INVALID"),
    ],
    ids=["empty", "no command", "garbage", "garbage inside", "UTF-8", "unknown kind", "1001"],
)
async def test_what_cannot_be_read_ends_the_stream_and_does_nothing(
    stack: Stack, data: bytes, reason: str
) -> None:
    stream = Stream(stack)

    await stream.send_bytes(data)
    answer = await stream.refusal()

    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert stack.processor.commands == []


async def test_a_message_of_which_one_command_cannot_be_read_is_not_carried_out(
    stack: Stack,
) -> None:
    good = payment_pb2.StreamPaymentsRequest(commands=authorizing("good")).SerializeToString()
    stream = Stream(stack)

    await stream.send_bytes(good + b"\x0a\x04\x0a\x02\xff\xff")
    answer = await stream.refusal()

    assert answer.reason == "MESSAGE_MALFORMED"
    assert stack.processor.commands == []


async def test_what_was_sent_before_is_answered_before_the_stream_is_refused(
    stack: Stack,
) -> None:
    async def slow(command: lane_pb2.Command, send: scripted.Send) -> None:
        await asyncio.sleep(0.1)
        await send(scripted.echoed(command))

    stack.processor.script = slow
    stream = Stream(stack)
    await stream.send(*authorizing("good"))
    await stream.send_bytes(b"\xff\xff")

    (outcome,) = await stream.read_all(1)
    answer = await stream.refusal()

    assert outcome.request_id == "good"
    assert answer.reason == "MESSAGE_MALFORMED"


async def test_a_parser_that_merges_and_one_that_does_not_see_the_same(stack: Stack) -> None:
    """A command given twice: what is checked is what is sent on."""
    first = requests.authorize("first", metadata={"key": "value"}).SerializeToString()
    second = requests.authorize("second").SerializeToString()
    command = b"".join(b"\x0a" + bytes([len(each)]) + each for each in (first, second))
    stream = Stream(stack)

    await stream.send_bytes(b"\x0a" + bytes([len(command) | 128, len(command) >> 7]) + command)
    (outcome,) = await stream.read_all(1)
    stream.call.cancel()

    assert outcome.request_id == "second"
    assert [command.request for command in stack.processor.commands] == [second]


async def test_a_broken_stream_to_the_lane_sends_what_is_unanswered_again(stack: Stack) -> None:
    chance = random.Random(3)

    async def unreliable(command: lane_pb2.Command, send: scripted.Send) -> None:
        await asyncio.sleep(chance.random() / 50)
        if chance.random() < 0.01:
            stack.processor.break_streams()
        await send(scripted.echoed(command))

    stack.processor.script = unreliable
    stream = Stream(stack)

    for start in range(0, 400, 50):
        await stream.send(*authorizing(*NAMES[start : start + 50]))
    await stream.end()
    outcomes = await stream.read_all()

    assert Counter(bulk.ids(outcomes)) == Counter(NAMES[:400])
    assert {outcome.WhichOneof("result") for outcome in outcomes} == {"authorized"}


async def test_a_caller_that_does_not_read_is_not_read(stack: Stack) -> None:
    """What a slow reader leaves unread is bounded, whatever it goes on to send."""
    text = "x" * 8_000

    async def at_length(command: lane_pb2.Command, send: scripted.Send) -> None:
        await send(scripted.echoed(command, text=text))

    stack.processor.script = at_length
    stream = Stream(stack)

    async def send_for_ever() -> None:
        for number in itertools.count():
            names = (f"order-{number}-{index}" for index in range(100))
            await stream.call.write(
                payment_pb2.StreamPaymentsRequest(commands=authorizing(*names)).SerializeToString()
            )

    sending = asyncio.ensure_future(send_for_ever())
    held = await at_rest(lambda: len(stack.processor.commands))

    # The stream's own bound, and what fits into the windows of HTTP/2 on the way to the caller.
    assert held <= streams.STREAM_COMMANDS_MAX + 100 + WINDOW_BYTES_MAX // len(text)
    assert conftest.metric("tender_gateway_in_flight") == 0
    assert not sending.done()
    # Reading makes it go on.
    await stream.read_all(held)
    await until(lambda: len(stack.processor.commands) > held)
    sending.cancel()
    stream.call.cancel()
    await asyncio.wait([sending])
    await until(lambda: conftest.metric("tender_gateway_streams") == 0)


async def at_rest(value: Callable[[], int]) -> int:
    """Wait until a number has not changed for half a second, and return it."""
    last, since = -1, 0.0
    clock = asyncio.get_running_loop().time
    async with asyncio.timeout(conftest.CALL_SECONDS_MAX):
        while value() != last or clock() - since < 0.5:
            if value() != last:
                last, since = value(), clock()
            await asyncio.sleep(0.02)
    return last


async def test_unanswered_commands_of_a_stream_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window, "COMMANDS_MIN", 2 * streams.STREAM_COMMANDS_MAX)
    release = asyncio.Event()

    async def wait(command: lane_pb2.Command, send: scripted.Send) -> None:
        await release.wait()
        await send(scripted.echoed(command))

    async with conftest.running(tmp_path) as stack:
        stack.processor.script = wait
        stream = Stream(stack)
        messages = 30

        async def send() -> None:
            for number in range(messages):
                await stream.send(*authorizing(*(f"{number}-{name}" for name in NAMES[:100])))
            await stream.end()

        sending = asyncio.ensure_future(send())
        held = await at_rest(lambda: len(stack.processor.commands))
        release.set()
        answered = len(await stream.read_all())
        await sending

    assert held == streams.STREAM_COMMANDS_MAX
    assert answered == messages * 100


async def test_the_streams_of_a_connection_share_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "CONNECTION_COMMANDS_MAX", 100)
    release = asyncio.Event()

    async def wait(command: lane_pb2.Command, send: scripted.Send) -> None:
        await release.wait()
        await send(scripted.echoed(command))

    async with conftest.running(tmp_path) as stack:
        stack.processor.script = wait
        first, second = Stream(stack), Stream(stack)
        await first.send(*authorizing(*NAMES[:100]))
        await until(lambda: len(stack.processor.commands) == 100)
        await second.send(*authorizing("second-1"))
        await until(lambda: conftest.metric("tender_gateway_streams") == 2)
        await second.send(*authorizing("second-2"))
        held = await at_rest(lambda: len(stack.processor.commands))
        release.set()
        answered = len(await first.read_all(100))
        later = bulk.ids(await second.read_all(2))
        first.call.cancel()
        second.call.cancel()

    # A stream that was waiting for a message when there was room takes that one in.
    assert held <= 101
    assert (answered, later) == (100, ["second-1", "second-2"])


async def test_more_streams_than_there_may_be_are_refused(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "STREAMS_MAX", 1)
    first = Stream(stack)
    await first.send(*authorizing("one"))
    await first.read_all(1)

    answer = await Stream(stack).refusal()
    first.call.cancel()

    assert (answer.reason, answer.retry_ms > 0) == ("GATEWAY_BUSY", True)


async def test_a_caller_that_leaves_leaves_nothing_behind(stack: Stack) -> None:
    release = asyncio.Event()

    async def wait(command: lane_pb2.Command, send: scripted.Send) -> None:
        await release.wait()
        await send(scripted.echoed(command))

    stack.processor.script = wait
    tasks = len(asyncio.all_tasks())
    opened = [Stream(stack) for _ in range(20)]
    for number, stream in enumerate(opened):
        await stream.send(*authorizing(f"left-{number}"))
    await until(lambda: len(stack.processor.commands) == 20)

    for stream in opened:
        stream.call.cancel()
    await until(lambda: conftest.metric("tender_gateway_streams") == 0)
    release.set()

    await until(lambda: conftest.metric("tender_gateway_in_flight") == 0)
    await until(lambda: len(asyncio.all_tasks()) <= tasks)


async def test_a_stopping_gateway_answers_what_is_under_way_and_ends_its_streams(
    tmp_path: Path,
) -> None:
    release = asyncio.Event()

    async def wait(command: lane_pb2.Command, send: scripted.Send) -> None:
        await release.wait()
        await send(scripted.echoed(command))

    async with conftest.running(tmp_path) as stack:
        stack.processor.script = wait
        stream, idle = Stream(stack), Stream(stack)
        await stream.send(*authorizing(*NAMES[:10]))
        await until(lambda: len(stack.processor.commands) == 10)
        await until(lambda: conftest.metric("tender_gateway_streams") == 2)

        stack.stop()
        idle_end = await idle.refusal()
        release.set()
        outcomes = await stream.read_all(10)
        end = await stream.refusal()
        async with asyncio.timeout(3):
            await stack.stopped

    assert Counter(bulk.ids(outcomes)) == Counter(NAMES[:10])
    for answer in (idle_end, end):
        assert (answer.code, answer.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
        assert answer.retry_ms > 0


async def test_a_stream_that_is_open_for_long_is_ended_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "STREAM_SECONDS_MAX", 0.2)
    monkeypatch.setattr(streams, "KEY_CHECK_SECONDS", 0.1)
    async with conftest.running(tmp_path) as stack:
        stream = Stream(stack)
        await stream.send(*authorizing("one"))
        (outcome,) = await stream.read_all(1)

        answer = await stream.refusal()

    assert outcome.request_id == "one"
    assert answer.reason == "SHUTTING_DOWN"


@pytest.mark.parametrize("speaks", [True, False], ids=["busy", "silent"])
async def test_a_revoked_key_ends_its_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speaks: bool
) -> None:
    monkeypatch.setattr(streams, "KEY_CHECK_SECONDS", 60.0 if speaks else 0.1)
    monkeypatch.setattr(identity, "REFRESH_SECONDS", 0.1)
    monkeypatch.setattr(identity, "FRESH_SECONDS", 0.2)
    async with conftest.running(tmp_path) as stack:
        stack.keys["short"] = stack.processor.add_key("service")
        stream = Stream(stack, key="short")
        await stream.send(*authorizing("before"))
        assert bulk.ids(await stream.read_all(1)) == ["before"]

        del stack.processor.keys[stack.keys["short"].split("_")[1]]
        await asyncio.sleep(0.3)
        if speaks:
            await stream.send(*authorizing("after"))
        answer = await stream.refusal()

    assert (answer.code, answer.reason) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "CREDENTIALS_INVALID",
    )
    assert len(stack.processor.commands) == 1


async def test_no_answer_in_time_is_an_unknown_outcome_and_the_stream_goes_on(
    tmp_path: Path,
) -> None:
    async with conftest.running(tmp_path, write_timeout_ms=300) as stack:
        stack.processor.script = never
        stream = Stream(stack)
        await stream.send(*authorizing("silent"))
        (silent,) = await stream.read_all(1)

        stack.processor.script = scripted.echo
        await stream.send(*authorizing("answered"))
        (answered,) = await stream.read_all(1)
        stream.call.cancel()

    assert bulk.reason(silent) == "OUTCOME_UNKNOWN"
    assert answered.WhichOneof("result") == "authorized"
    assert 0 < stack.processor.commands[0].timeout_ms <= 300


async def test_a_processor_that_is_away_is_told_command_by_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.lane_stream.ABSENCE_SECONDS_MAX", 0.1)
    async with conftest.running(tmp_path) as stack:
        stream = Stream(stack)
        await stream.send(*authorizing("before"))
        await stream.read_all(1)
        stack.processor.refuses_streams = True
        stack.processor.break_streams()
        await asyncio.sleep(0.4)

        await stream.send(*authorizing("away"))
        (outcome,) = await stream.read_all(1)
        stream.call.cancel()

    assert bulk.reason(outcome) == "SHARD_UNAVAILABLE"


async def test_streams_wait_for_room_that_single_calls_need_not_wait_for(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def wait(command: lane_pb2.Command, send: scripted.Send) -> None:
        await release.wait()
        await send(scripted.echoed(command))

    async with conftest.running(tmp_path, max_in_flight=8) as stack:
        stack.processor.script = wait
        stream = Stream(stack)
        await stream.send(*authorizing(*NAMES[:6]))
        await until(lambda: len(stack.processor.commands) == 6)
        await stream.send(*authorizing(*NAMES[6:12]))
        single = asyncio.ensure_future(stack.call("AuthorizePayment", requests.authorize("one")))
        await until(lambda: len(stack.processor.commands) == 7)
        await asyncio.sleep(0.1)

        assert len(stack.processor.commands) == 7
        release.set()
        await single
        assert Counter(bulk.ids(await stream.read_all(12))) == Counter(NAMES[:12])
        stream.call.cancel()


async def test_commands_that_wait_for_room_at_a_stop_are_to_be_sent_again(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def wait(command: lane_pb2.Command, send: scripted.Send) -> None:
        await release.wait()
        await send(scripted.echoed(command))

    async with conftest.running(tmp_path, max_in_flight=8) as stack:
        stack.processor.script = wait
        stream = Stream(stack)
        await stream.send(*authorizing(*NAMES[:10]))
        await until(lambda: len(stack.processor.commands) == 6)

        stack.stop()
        await asyncio.sleep(0.1)
        release.set()
        outcomes = await stream.read_all(10)
        end = await stream.refusal()

    results = Counter(outcome.WhichOneof("result") for outcome in outcomes)
    assert results == {"authorized": 6, "error": 4}
    refused = [bulk.reason(outcome) for outcome in outcomes if outcome.HasField("error")]
    assert set(refused) == {end.reason} == {"SHUTTING_DOWN"}


async def test_the_text_of_an_exception_never_reaches_the_caller(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object) -> None:
        raise ValueError("SELECT pan FROM cards")

    monkeypatch.setattr("gateway.validation.validate", explode)
    stream = Stream(stack)
    await stream.send(*authorizing("one"))

    answer = await stream.refusal()

    assert (answer.code, answer.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "SELECT" not in repr(answer)


def test_a_command_has_the_size_of_a_single_call() -> None:
    assert endpoint.MESSAGE_BYTES_MAX == 64 * 1024
    assert bulk_commands.MESSAGE_BYTES_MAX == 1024 * 1024

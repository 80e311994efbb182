"""What real clients of gRPC see: the same as from grpc's own server."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest

import tender
from tender.v1 import lane_pb2, payment_pb2, payment_pb2_grpc, query_pb2
from tests.gateway import conftest, requests, scripted
from tests.gateway.conftest import Stack

AUTHORIZE = conftest.path_of("AuthorizePayment")
STREAM = conftest.path_of("StreamPayments")


def metadata(stack: Stack, key: str = "service") -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {stack.keys[key]}"),)


async def test_a_call_is_answered_and_says_whether_it_was_repeated(stack: Stack) -> None:
    async def replayed(command: lane_pb2.Command, send: scripted.Send) -> None:
        await send(scripted.echoed(command, replayed=True))

    first = stack.call("AuthorizePayment", requests.authorize("one"))
    answer = payment_pb2.AuthorizePaymentResponse.FromString(await first)
    stack.processor.script = replayed
    second = stack.call("AuthorizePayment", requests.authorize("one"))
    await second

    assert answer.payment.description == "one"
    assert list(await first.trailing_metadata()) == []
    assert list(await second.trailing_metadata()) == [("tender-replayed", "1")]


async def test_a_refusal_has_its_code_its_text_and_its_details(stack: Stack) -> None:
    request = requests.authorize()
    request.amount.minor_units = 0

    answer = await conftest.refusal(stack.call("AuthorizePayment", request))

    assert (answer.code, answer.reason, answer.fields) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "AMOUNT_OUT_OF_RANGE",
        ["amount.minor_units"],
    )


async def test_text_that_is_not_ascii_comes_back_as_it_was(stack: Stack) -> None:
    async def refuse(command: lane_pb2.Command, send: scripted.Send) -> None:
        text = "Kein Geld: 100 % weg, für €\n"
        await send(scripted.refused(command, reason="LANE_QUEUE_FULL", message=text))

    stack.processor.script = refuse

    answer = await conftest.refusal(stack.call("AuthorizePayment", requests.authorize()))

    assert answer.text == "Kein Geld: 100 % weg, für €\n"
    assert answer.retry_ms > 0


async def test_a_deadline_reaches_the_lane_and_ends_the_call(stack: Stack) -> None:
    async def never(command: lane_pb2.Command, send: scripted.Send) -> None:
        await asyncio.sleep(0.5)

    stack.processor.script = never
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stack.call("AuthorizePayment", requests.authorize(), timeout=0.3)

    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    (command,) = stack.processor.commands
    assert 0 < command.timeout_ms <= 300


async def test_a_read_past_its_deadline_is_ended(stack: Stack) -> None:
    release = asyncio.Event()

    async def wait() -> None:
        await release.wait()

    stack.processor.key_script = wait
    stack.keys["fresh"] = stack.processor.add_key("service")
    call = stack.call("AuthorizePayment", requests.authorize(), key="fresh", timeout=0.2)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    release.set()

    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert stack.processor.commands == []


async def test_a_cancelled_call_goes_on_in_the_lane(stack: Stack) -> None:
    release, done = asyncio.Event(), asyncio.Event()

    async def wait(command: lane_pb2.Command, send: scripted.Send) -> None:
        await release.wait()
        await send(scripted.echoed(command))
        done.set()

    stack.processor.script = wait
    labels = {"server": "gateway", "method": "AuthorizePayment", "code": "CANCELLED"}
    before = conftest.metric("tender_rpc_requests_total", labels)
    call = stack.call("AuthorizePayment", requests.authorize())
    await conftest.until(lambda: stack.processor.commands)
    call.cancel()
    await conftest.until(lambda: conftest.metric("tender_rpc_requests_total", labels) == before + 1)
    release.set()

    await asyncio.wait_for(done.wait(), conftest.CALL_SECONDS_MAX)
    await stack.call("AuthorizePayment", requests.authorize("after"))


async def test_metadata_that_is_binary_or_long_does_no_harm(stack: Stack) -> None:
    more: Any = (("trace-bin", bytes(range(256))), ("x-long", "v" * 4_000), ("x-percent", "%41"))

    for _ in range(3):
        await stack.call("AuthorizePayment", requests.authorize(), metadata=more)


async def test_a_revoked_key_is_refused_as_soon_as_it_is_known(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.identity.REFRESH_SECONDS", 0.1)
    monkeypatch.setattr("gateway.identity.FRESH_SECONDS", 0.2)
    text = stack.processor.add_key("service")
    stack.keys["revoked"] = text
    await stack.call("AuthorizePayment", requests.authorize(), key="revoked")
    await stack.call("AuthorizePayment", requests.authorize(), key="revoked")

    del stack.processor.keys[text.split("_")[1]]
    await asyncio.sleep(0.3)
    answer = await conftest.refusal(
        stack.call("AuthorizePayment", requests.authorize(), key="revoked")
    )

    assert answer.reason == "CREDENTIALS_INVALID"


async def test_large_messages_cross_both_ways(stack: Stack) -> None:
    async def long_answer(command: lane_pb2.Command, send: scripted.Send) -> None:
        await send(scripted.echoed(command, text="x" * 70_000))

    stack.processor.read_answer = query_pb2.ReadResponse(response=bytes(900_000))
    stack.processor.script = long_answer
    body = requests.authorize().SerializeToString()
    filled = body + b"\xa2\x06" + b"\x80\x80\x02" + bytes(32_768)

    reads = [stack.call("GetPayment", requests.VALID["GetPayment"]) for _ in range(8)]
    writes = [stack.call_bytes(AUTHORIZE, filled) for _ in range(50)]

    assert {len(answer) for answer in await asyncio.gather(*reads)} == {900_000}
    answers = await asyncio.gather(*writes)
    texts = {
        payment_pb2.AuthorizePaymentResponse.FromString(answer).payment.description
        for answer in answers
    }
    assert texts == {"x" * 70_000}


async def test_a_compressed_message_is_refused_in_words(stack: Stack) -> None:
    method: Any = stack.channel.unary_unary(AUTHORIZE)
    call = method(bytes(10_000), metadata=metadata(stack), compression=grpc.Compression.Gzip)

    answer = await conftest.refusal(call)

    assert (answer.code, answer.reason) == (
        grpc.StatusCode.UNIMPLEMENTED,
        "COMPRESSION_UNSUPPORTED",
    )


async def test_a_thousand_calls_at_once_on_one_channel(stack: Stack) -> None:
    calls = [
        stack.call("AuthorizePayment", requests.authorize(f"n{number}")) for number in range(1_000)
    ]

    answers = [
        payment_pb2.AuthorizePaymentResponse.FromString(answer).payment.description
        for answer in await asyncio.gather(*calls)
    ]

    assert answers == [f"n{number}" for number in range(1_000)]


async def test_more_calls_than_streams_wait_for_their_turn(stack: Stack) -> None:
    calls = [
        stack.call("AuthorizePayment", requests.authorize(f"n{number}")) for number in range(1_500)
    ]

    assert len(await asyncio.gather(*calls)) == 1_500


async def test_the_synchronous_client_of_grpc(stack: Stack) -> None:
    def call() -> list[str]:
        with grpc.insecure_channel(stack.address) as channel:
            stub = payment_pb2_grpc.PaymentServiceStub(channel)
            answers = [
                stub.AuthorizePayment(
                    requests.authorize(str(number)), metadata=metadata(stack), timeout=5
                )
                for number in range(20)
            ]
            return [answer.payment.description for answer in answers]

    assert await asyncio.to_thread(call) == [str(number) for number in range(20)]


async def test_the_clients_of_the_sdk(stack: Stack) -> None:
    target, key = stack.address, stack.keys["service"]
    given: Any = {
        "payer_account_id": scripted.ACCOUNT,
        "merchant_id": scripted.MERCHANT,
        "amount": tender.money("EUR", 1_050),
    }

    def sync() -> str:
        with tender.SyncClient(target, key) as client:
            return client.authorize_payment(request_id="sync", **given).payment.description

    async with tender.Client(target, key) as client:
        answer = await client.authorize_payment(request_id="async", **given)
        many = await client.payments.authorize_many([tender.commands.authorize(**given)] * 3)

    assert answer.payment.description == "async"
    assert len(many) == 3
    assert await asyncio.to_thread(sync) == "sync"


async def test_a_stream_whose_caller_reads_late_gets_everything(stack: Stack) -> None:
    count, size = 60, 100
    method: Any = stack.channel.stream_stream(STREAM)
    call = method(metadata=metadata(stack), timeout=20)

    async def write() -> None:
        for batch in range(count):
            message = payment_pb2.StreamPaymentsRequest(
                commands=[
                    payment_pb2.PaymentCommand(authorize=requests.authorize(f"{batch}-{number}"))
                    for number in range(size)
                ]
            )
            await call.write(message.SerializeToString())
        await call.done_writing()

    async def echo(command: lane_pb2.Command, send: scripted.Send) -> None:
        await send(scripted.echoed(command, text="x" * 1_000))

    stack.processor.script = echo
    writing = asyncio.create_task(write())
    await asyncio.sleep(1)
    seen: set[str] = set()
    while (message := await call.read()) is not grpc.aio.EOF:
        outcomes = payment_pb2.StreamPaymentsResponse.FromString(message).outcomes
        seen.update(outcome.request_id for outcome in outcomes)
    await writing

    assert len(seen) == count * size
    assert await call.code() is grpc.StatusCode.OK


async def test_a_stop_under_load_fails_no_call(tmp_path: Path) -> None:
    async with conftest.running(tmp_path, gateway_edge="http2", quiet_seconds=0.1) as stack:

        async def slowly(command: lane_pb2.Command, send: scripted.Send) -> None:
            await asyncio.sleep(0.05)
            await send(scripted.echoed(command))

        stack.processor.script = slowly
        failures: list[grpc.aio.AioRpcError] = []
        answered = 0
        stopping = threading.Event()

        async def load(worker: int) -> None:
            nonlocal answered
            number = 0
            while not stopping.is_set():
                number += 1
                try:
                    await stack.call("AuthorizePayment", requests.authorize(f"{worker}-{number}"))
                    answered += 1
                except grpc.aio.AioRpcError as error:
                    failures.append(error)
                    return

        workers = [asyncio.create_task(load(number)) for number in range(50)]
        await asyncio.sleep(0.5)
        stack.stop()
        await stack.stopped
        stopping.set()
        await asyncio.gather(*workers)

        # What began after the port was closed found nobody; nothing that was begun was cut off.
        assert answered > 100
        assert {error.code() for error in failures} <= {grpc.StatusCode.UNAVAILABLE}
        assert all("refused" in str(error.details()).lower() for error in failures), failures


async def test_health_and_methods_that_do_not_exist(stack: Stack) -> None:
    health = await stack.call_bytes("/grpc.health.v1.Health/Check", b"", key=None)
    for path in ("/grpc.health.v1.Health/Watch", "/no.Such/Method"):
        answer = await conftest.refusal(stack.call_bytes(path, b"", key=None))
        assert (answer.code, answer.reason) == (grpc.StatusCode.UNIMPLEMENTED, "METHOD_UNKNOWN")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stack.call_bytes("/grpc.health.v1.Health/Check", b"\x0a\x01x", key=None)

    assert health == b"\x08\x01"
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_shows_the_contract_when_it_is_asked_to(tmp_path: Path) -> None:
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
        ProtoReflectionDescriptorDatabase,
    )

    def services(address: str) -> list[str]:
        with grpc.insecure_channel(address) as channel:
            database: Any = ProtoReflectionDescriptorDatabase(channel)
            assert database.FindFileContainingSymbol("tender.v1.PaymentService").name
            return list(database.get_services())

    async with conftest.running(tmp_path, gateway_edge="http2", reflection=True) as stack:
        found = await asyncio.to_thread(services, stack.address)

    assert "tender.v1.PaymentService" in found

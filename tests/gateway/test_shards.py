"""Several shards behind one gateway: every call finds its lane, wherever that is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from deploy.servers import gateway as gateway_server
from kit import settings
from kit.shard_map import BucketRange, ShardMap
from tender.v1 import account_pb2, lane_pb2, merchant_pb2, payment_pb2, query_pb2
from tests.gateway import conftest, requests, scripted
from tests.gateway.conftest import path_of, refusal, until
from tests.gateway.scripted import ScriptedProcessor

BOTH = ShardMap(1, (BucketRange("eu", 0, 511, "s1"), BucketRange("eu", 512, 1023, "s2")))
BODY = "00000000000000000000"
FIRST, SECOND = "01", "zz"  # Buckets of the first shard and of the second.
CALL_SECONDS_MAX = 10.0


def account(bucket: str) -> str:
    return f"acc_eu_{BODY}{bucket}"


def payment(bucket: str, number: int = 0) -> str:
    return f"pay_eu_{number:020d}{bucket}"


@dataclass
class Two:
    """A gateway in front of two processors."""

    processors: tuple[ScriptedProcessor, ScriptedProcessor]
    channel: grpc.aio.Channel
    key: str

    def call(self, name: str, request: Any, timeout: float = CALL_SECONDS_MAX) -> Any:
        method: Any = self.channel.unary_unary(path_of(name))
        metadata = (("authorization", f"Bearer {self.key}"),)
        return method(request.SerializeToString(), metadata=metadata, timeout=timeout)

    async def pay(self, bucket: str, request_id: str) -> payment_pb2.AuthorizePaymentResponse:
        request = requests.authorize(request_id, payer_account_id=account(bucket))
        return payment_pb2.AuthorizePaymentResponse.FromString(
            await self.call("AuthorizePayment", request)
        )


@pytest.fixture(params=["http2", "grpc"])
async def two(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Two]:
    async with running_two(tmp_path, gateway_edge=request.param) as both:
        yield both


@asynccontextmanager
async def running_two(folder: Path, **given: Any) -> AsyncIterator[Two]:
    """Start all three; `given` are settings of the gateway."""
    processors = (ScriptedProcessor({"s1": 1}, BOTH), ScriptedProcessor({"s2": 1}, BOTH))
    async with in_front_of(processors, folder, **given) as served:
        yield served


@asynccontextmanager
async def in_front_of(
    processors: tuple[ScriptedProcessor, ScriptedProcessor], folder: Path, **given: Any
) -> AsyncIterator[Two]:
    targets = (conftest.free_address(), conftest.free_address())
    address = conftest.free_address()
    gateway = settings.GatewaySettings(
        **conftest.write_secrets(folder),
        gateway_listen=address,
        processor_targets=targets,
        metrics_listen="127.0.0.1:0",
        quiet_seconds=0,
        **given,
    )
    stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with AsyncExitStack() as stack:
        for processor, target in zip(processors, targets, strict=True):
            await stack.enter_async_context(scripted.listening(processor, target))
        serving = asyncio.create_task(gateway_server.serve(gateway, stop))
        await conftest.accepting(address)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        key = processors[0].add_key("service", "operator")
        processors[1].keys = processors[0].keys
        try:
            yield Two(processors, channel, key)
        finally:
            stop.set_result("test")
            await serving


async def test_every_call_goes_to_the_lane_of_its_bucket(two: Two) -> None:
    answers = await asyncio.gather(
        *(two.pay(bucket, f"{bucket}-{n}") for n in range(20) for bucket in (FIRST, SECOND))
    )

    assert len(answers) == 40
    for processor, shard, bucket in zip(two.processors, ("s1", "s2"), (FIRST, SECOND), strict=True):
        assert set(processor.shards) == {shard}
        assert len(processor.commands) == 20
        for command in processor.commands:
            sent = payment_pb2.AuthorizePaymentRequest.FromString(command.request)
            assert sent.payer_account_id == account(bucket)


@pytest.mark.parametrize(
    ("name", "request_of"),
    [
        ("CapturePayment", lambda b: payment_pb2.CapturePaymentRequest(payment_id=payment(b))),
        ("VoidPayment", lambda b: payment_pb2.VoidPaymentRequest(payment_id=payment(b))),
        ("RefundPayment", lambda b: payment_pb2.RefundPaymentRequest(payment_id=payment(b))),
        ("FreezeAccount", lambda b: account_pb2.FreezeAccountRequest(account_id=account(b))),
        (
            "CreateTransfer",
            lambda b: account_pb2.CreateTransferRequest(
                source_account_id="world",
                destination_account_id=account(b),
                amount=requests.money(),
            ),
        ),
        (
            "CreateTransfer",
            lambda b: account_pb2.CreateTransferRequest(
                source_account_id=account(b),
                destination_account_id=account("zy" if b == FIRST else "02"),
                amount=requests.money(),
            ),
        ),
        (
            "CreateTransfer",
            lambda b: account_pb2.CreateTransferRequest(
                source_account_id=f"sys_eu_{'s1' if b == FIRST else 's2'}_acme_fees_EUR",
                destination_account_id=account("zy" if b == FIRST else "02"),
                amount=requests.money(),
            ),
        ),
    ],
)
async def test_each_kind_of_command_is_routed_by_what_never_changes(
    two: Two, name: str, request_of: Any
) -> None:
    for index, bucket in enumerate((FIRST, SECOND)):
        request = request_of(bucket)
        request.request_id = f"{name}-{bucket}"

        await two.call(name, request)

        assert len(two.processors[index].commands) == 1
        assert sum(len(processor.commands) for processor in two.processors) == index + 1


async def test_a_batch_is_split_and_its_outcomes_keep_their_order(two: Two) -> None:
    buckets = [FIRST if n % 3 else SECOND for n in range(90)]
    batch = payment_pb2.AuthorizePaymentsRequest(
        requests=[
            requests.authorize(f"p-{n}", payer_account_id=account(bucket))
            for n, bucket in enumerate(buckets)
        ]
    )

    answer = payment_pb2.AuthorizePaymentsResponse.FromString(
        await two.call("AuthorizePayments", batch)
    )

    texts = [outcome.authorized.payment.description for outcome in answer.outcomes]
    assert texts == [f"p-{n}" for n in range(90)]
    assert [len(processor.commands) for processor in two.processors] == [60, 30]


async def test_a_stream_is_split_and_each_shard_s_commands_keep_their_order(two: Two) -> None:
    commands = [
        payment_pb2.PaymentCommand(
            authorize=requests.authorize(
                f"p-{n}", payer_account_id=account(FIRST if n % 2 else SECOND)
            )
        )
        for n in range(200)
    ]
    method: Any = two.channel.stream_stream(path_of("StreamPayments"))
    stream = method(metadata=(("authorization", f"Bearer {two.key}"),), timeout=CALL_SECONDS_MAX)
    for start in range(0, 200, 50):
        message = payment_pb2.StreamPaymentsRequest(commands=commands[start : start + 50])
        await stream.write(message.SerializeToString())
    await stream.done_writing()

    answered = [
        outcome.request_id
        async for data in stream
        for outcome in payment_pb2.StreamPaymentsResponse.FromString(data).outcomes
    ]

    assert sorted(answered) == sorted(f"p-{n}" for n in range(200))
    for processor in two.processors:
        ids = [
            payment_pb2.AuthorizePaymentRequest.FromString(one.request).request_id
            for one in processor.commands
        ]
        assert ids == sorted(ids, key=lambda text: int(text[2:]))


async def test_a_lane_that_moves_is_followed_and_what_was_unanswered_is_sent_again(
    two: Two,
) -> None:
    first, second = two.processors
    await two.pay(FIRST, "before")

    async def silent(_command: lane_pb2.Command, _send: scripted.Send) -> None:
        """Take a command and die."""

    first.script = silent
    waiting = asyncio.create_task(two.pay(FIRST, "during"))
    await until(lambda: len(first.commands) == 2)
    # The old owner still believes in its lane; the higher epoch counts.
    second.say({"s2": 1, "s1": 2})

    assert (await waiting).payment.description == "during"
    assert (await two.pay(FIRST, "after")).payment.description == "after"
    assert second.shards.count("s1") == 2


async def test_a_shard_without_a_lane_is_unavailable_to_its_own_callers_alone(two: Two) -> None:
    two.processors[0].say({})
    two.processors[0].break_streams()

    others = [two.pay(SECOND, f"other-{n}") for n in range(20)]
    waiting = two.call(
        "AuthorizePayment",
        requests.authorize("own", payer_account_id=account(FIRST)),
        timeout=CALL_SECONDS_MAX,
    )
    started = asyncio.get_running_loop().time()
    assert len(await asyncio.gather(*others)) == 20
    assert asyncio.get_running_loop().time() - started < 1.0

    assert not waiting.done()
    two.processors[0].say({"s1": 2})
    await waiting  # It waited, and was carried out once the lane was back.


async def test_a_region_that_is_not_here_is_refused_in_words(two: Two) -> None:
    elsewhere = requests.authorize("r", payer_account_id=f"acc_us_{BODY}01")
    assert (await refusal(two.call("AuthorizePayment", elsewhere))).reason == "REGION_UNKNOWN"
    opened = account_pb2.CreateAccountRequest(
        request_id="a", user_id="ada", currency_code="EUR", region="us"
    )
    answer = await refusal(two.call("CreateAccount", opened))
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REGION_UNKNOWN")
    assert not any(processor.commands for processor in two.processors)


@pytest.mark.parametrize("edge", ["http2", "grpc"])
async def test_before_any_map_is_known_nothing_is_refused_for_good_nor_kept_for_long(
    tmp_path: Path, edge: str
) -> None:
    processors = (ScriptedProcessor({}), ScriptedProcessor({}))
    for processor in processors:
        processor.refuses_streams = True
    async with in_front_of(processors, tmp_path, gateway_edge=edge) as two:
        opened = account_pb2.CreateAccountRequest(
            request_id="a", user_id="ada", currency_code="EUR", region="us"
        )
        answer = await refusal(two.call("CreateAccount", opened))
        assert (answer.code, answer.reason) == (
            grpc.StatusCode.UNAVAILABLE,
            "SHARD_UNAVAILABLE",
        )
        waiting = asyncio.create_task(refusal(two.call("AuthorizePayment", requests.authorize())))
        await until(lambda: processors[0].key_lookups or processors[1].key_lookups)
        await asyncio.sleep(0.2)
        for processor, shard in zip(processors, ("s1", "s2"), strict=True):
            processor.refuses_streams = False
            processor.say({shard: 1}, BOTH)

        async with asyncio.timeout(CALL_SECONDS_MAX / 2):
            assert (await waiting).code == grpc.StatusCode.UNAVAILABLE
        assert (await two.pay(FIRST, "after")).payment.description == "after"


async def test_a_map_that_is_not_whole_changes_nothing(two: Two) -> None:
    first, _ = two.processors
    assert first.shard_map is not None
    first.shard_map.version = 2
    del first.shard_map.ranges[0]
    first.say({"s1": 1})

    await two.pay(FIRST, "still-first")
    await two.pay(SECOND, "still-second")


async def test_a_newer_map_counts_whoever_says_it(two: Two) -> None:
    first, second = two.processors
    everything = ShardMap(
        2, (BucketRange("eu", 0, 1022, "s1"), BucketRange("eu", 1023, 1023, "s2"))
    )
    second.say({"s2": 1}, everything)
    request = requests.authorize("n", payer_account_id=account("zy"))

    async with asyncio.timeout(CALL_SECONDS_MAX):
        while not first.commands:
            await two.call("AuthorizePayment", request)


# Reads.


async def test_a_read_goes_to_the_shard_and_to_another_processor_if_the_first_is_away(
    two: Two,
) -> None:
    request = account_pb2.GetAccountRequest(account_id=account(FIRST))
    await two.call("GetAccount", request)
    assert [read.shard for read in two.processors[0].reads] == ["s1"]

    two.processors[0].read_answer = query_pb2.ReadResponse(
        refusal=lane_pb2.Refusal(reason="SHARD_UNAVAILABLE")
    )
    await two.call("GetAccount", request)

    assert [read.shard for read in two.processors[1].reads] == ["s1"]


async def test_a_payment_by_its_request_is_looked_for_everywhere(two: Two) -> None:
    unknown = query_pb2.ReadResponse(refusal=lane_pb2.Refusal(reason="PAYMENT_UNKNOWN"))
    found = payment_pb2.GetPaymentResponse(payment=payment_pb2.Payment(id=payment(SECOND)))
    two.processors[0].read_answer = unknown
    two.processors[1].read_answer = query_pb2.ReadResponse(response=found.SerializeToString())
    request = payment_pb2.GetPaymentRequest(merchant_id=scripted.MERCHANT, request_id="order-1")

    answer = payment_pb2.GetPaymentResponse.FromString(await two.call("GetPayment", request))
    assert answer.payment.id == payment(SECOND)

    two.processors[1].read_answer = unknown
    assert (await refusal(two.call("GetPayment", request))).reason == "PAYMENT_UNKNOWN"

    away = query_pb2.ReadResponse(refusal=lane_pb2.Refusal(reason="SHARD_UNAVAILABLE"))
    two.processors[1].read_answer = away
    two.processors[0].read_script = lambda read: unknown if read.shard == "s1" else away
    # Not there as far as could be seen is not the same as not there.
    assert (await refusal(two.call("GetPayment", request))).reason == "SHARD_UNAVAILABLE"


def _rows_of(shard: str) -> list[str]:
    bucket, step = (FIRST, 2) if shard == "s1" else (SECOND, 3)
    return [payment(bucket, number) for number in range(60, 0, -step)]


def _list(read: query_pb2.ReadRequest) -> query_pb2.ReadResponse:
    """Answer as a processor does: rows below an id, and a token while there are more."""
    request = payment_pb2.ListPaymentsRequest.FromString(read.request)
    before = read.before or request.page_token or "zzzz"
    rows = [row for row in _rows_of(read.shard) if row < before]
    page = payment_pb2.ListPaymentsResponse(
        payments=[payment_pb2.Payment(id=row) for row in rows[: request.page_size]],
        next_page_token=rows[request.page_size - 1] if len(rows) > request.page_size else "",
        read_token=f"{read.shard}.i.1",
    )
    return query_pb2.ReadResponse(response=page.SerializeToString())


@pytest.mark.parametrize("size", [1, 2, 7, 100])
async def test_a_list_of_all_shards_is_merged_newest_first_without_gap_or_repeat(
    two: Two, size: int
) -> None:
    for processor in two.processors:
        processor.read_script = _list
    request = payment_pb2.ListPaymentsRequest(merchant_id=scripted.MERCHANT, page_size=size)
    rows: list[str] = []
    while True:
        page = payment_pb2.ListPaymentsResponse.FromString(await two.call("ListPayments", request))
        assert len(page.payments) <= size
        rows += [row.id for row in page.payments]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token

    everything = [*_rows_of("s1"), *_rows_of("s2")]
    assert sorted(rows) == sorted(everything)
    assert [row[7:27] for row in rows] == sorted((row[7:27] for row in rows), reverse=True)


async def test_a_merged_list_refuses_the_token_of_another_list(two: Two) -> None:
    for processor in two.processors:
        processor.read_script = _list
    request = payment_pb2.ListPaymentsRequest(merchant_id=scripted.MERCHANT, page_size=2)
    page = payment_pb2.ListPaymentsResponse.FromString(await two.call("ListPayments", request))
    for token in (page.next_page_token, "AAAA", "a" * 100):
        other = payment_pb2.ListPaymentsRequest(
            merchant_id=scripted.OTHER_MERCHANT, page_token=token
        )
        assert (await refusal(two.call("ListPayments", other))).reason == "PAGE_TOKEN_INVALID"


async def test_a_merged_list_never_leaves_a_shard_out_in_silence(two: Two) -> None:
    away = query_pb2.ReadResponse(refusal=lane_pb2.Refusal(reason="SHARD_UNAVAILABLE"))
    for processor in two.processors:
        processor.read_script = lambda read: away if read.shard == "s2" else _list(read)
    request = payment_pb2.ListPaymentsRequest(merchant_id=scripted.MERCHANT)
    assert (await refusal(two.call("ListPayments", request))).reason == "SHARD_UNAVAILABLE"


# Merchants whose money settles elsewhere.


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({"kind": account_pb2.Account.KIND_MERCHANT_WALLET, "currency_code": "EUR"}, ""),
        (
            {"kind": account_pb2.Account.KIND_CONSUMER_WALLET, "currency_code": "EUR"},
            "ACCOUNT_UNKNOWN",
        ),
        (
            {"kind": account_pb2.Account.KIND_MERCHANT_WALLET, "currency_code": "USD"},
            "CURRENCY_MISMATCH",
        ),
    ],
)
async def test_a_settlement_account_on_another_shard_is_looked_at_first(
    two: Two, found: dict[str, Any], reason: str
) -> None:
    answer = account_pb2.GetAccountResponse(account=account_pb2.Account(**found))
    for processor in two.processors:
        processor.read_answer = query_pb2.ReadResponse(response=answer.SerializeToString())
    terms = requests.terms()
    terms.account_id = account(SECOND)
    request = merchant_pb2.UpdateMerchantRequest(
        request_id="m",
        merchant=merchant_pb2.Merchant(id=f"mer_eu_{BODY}{FIRST}", settlement_terms=[terms]),
        update_mask={"paths": ["settlement_terms"]},
    )

    if reason:
        assert (await refusal(two.call("UpdateMerchant", request))).reason == reason
        assert not two.processors[0].commands
    else:
        await two.call("UpdateMerchant", request)
        assert len(two.processors[0].commands) == 1
    assert [read.shard for read in two.processors[1].reads] == ["s2"]


# Buckets that are elsewhere.


def _disowns(processor: ScriptedProcessor, hint: str = "") -> None:
    async def refuse(command: lane_pb2.Command, send: scripted.Send) -> None:
        await send(
            scripted.refused(
                command, reason="BUCKET_ELSEWHERE", metadata={"shard": hint, "map_version": "1"}
            )
        )

    processor.script = refuse


async def test_a_lane_that_knows_better_than_the_map_is_believed(two: Two) -> None:
    first, second = two.processors
    _disowns(first, hint="s2")

    answers = await asyncio.gather(*(two.pay(FIRST, f"p-{n}") for n in range(20)))

    assert [one.payment.description for one in answers] == [f"p-{n}" for n in range(20)]
    assert (len(first.commands), len(second.commands)) == (20, 20)


async def test_a_command_waits_for_a_newer_map_and_goes_where_it_says(two: Two) -> None:
    first, second = two.processors
    _disowns(first)
    waiting = asyncio.create_task(two.pay(FIRST, "moving"))
    await until(lambda: len(first.commands) >= 3)
    assert not waiting.done()

    moved = ShardMap(2, (BucketRange("eu", 0, 255, "s2"), BucketRange("eu", 256, 1023, "s1")))
    second.say({"s2": 1}, moved)

    assert (await waiting).payment.description == "moving"
    assert len(second.commands) == 1


async def test_a_bucket_that_thaws_where_it_was_takes_what_waited(two: Two) -> None:
    first, _ = two.processors
    _disowns(first)
    waiting = asyncio.create_task(two.pay(FIRST, "thawing"))
    await until(lambda: len(first.commands) >= 3)

    first.script = scripted.echo

    assert (await waiting).payment.description == "thawing"


async def test_a_command_that_no_lane_takes_is_told_to_come_again_before_its_deadline(
    two: Two,
) -> None:
    for processor, hint in zip(two.processors, ("s2", "s1"), strict=True):
        _disowns(processor, hint)
    started = asyncio.get_running_loop().time()

    request = requests.authorize("lost", payer_account_id=account(FIRST))
    answer = await refusal(two.call("AuthorizePayment", request, timeout=1.0))

    assert (answer.code, answer.reason) == (grpc.StatusCode.UNAVAILABLE, "BUCKET_ELSEWHERE")
    assert asyncio.get_running_loop().time() - started < 1.0
    # It goes to and fro at a measured pace.
    assert sum(len(processor.commands) for processor in two.processors) < 40


async def test_a_batch_whose_bucket_is_elsewhere_is_answered_whole(two: Two) -> None:
    _disowns(two.processors[0], hint="s2")
    batch = payment_pb2.AuthorizePaymentsRequest(
        requests=[
            requests.authorize(f"p-{n}", payer_account_id=account(FIRST if n % 2 else SECOND))
            for n in range(60)
        ]
    )

    answer = payment_pb2.AuthorizePaymentsResponse.FromString(
        await two.call("AuthorizePayments", batch)
    )

    texts = [outcome.authorized.payment.description for outcome in answer.outcomes]
    assert texts == [f"p-{n}" for n in range(60)]

"""Both clients' bulk calls against a real server that answers, refuses and breaks as told."""

import asyncio
import itertools
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from grpc_status import rpc_status

import tender
from kit.serving import Context
from tender import commands
from tender.calls import Call
from tender.v1 import payment_pb2 as pb
from tender.v1 import payment_pb2_grpc
from tests.sdk.conftest import Fault

Code = grpc.StatusCode
SECONDS_MAX = 10.0
SHUTTING_DOWN = Fault(Code.UNAVAILABLE, "SHUTTING_DOWN", retry_delay_ms=10)
BUSY = Fault(Code.RESOURCE_EXHAUSTED, "LANE_QUEUE_FULL", retry_delay_ms=50)
FINAL = Fault(Code.FAILED_PRECONDITION, "PAYMENT_STATE", metadata={"state": "VOIDED"})
RESULTS = {
    "authorize": "authorized",
    "capture": "captured",
    "void": "voided",
    "refund": "refunded",
    "reverse": "reversed",
}
Outcomes = list[tender.Outcome[Any]]


class Server(payment_pb2_grpc.PaymentServiceServicer):
    """Answers every command, after the faults that it is told to give it first."""

    def __init__(self) -> None:
        # By request_id, one for each attempt.
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.silent: set[str] = set()
        # For whole calls, and for streams: after so many commands of the stream.
        self.call_faults: list[Fault] = []
        self.stream_faults: list[tuple[int, Fault]] = []
        self.seen: list[str] = []
        self.sizes: list[int] = []
        self.at: dict[str, list[float]] = defaultdict(list)
        self.streams = 0
        self.release: asyncio.Event | None = None

    async def AuthorizePayments(self, request: Any, context: Context) -> Message:
        self.sizes.append(len(request.requests))
        if self.call_faults:
            await context.abort_with_status(rpc_status.to_status(self.call_faults.pop(0).status()))
        outcomes = [self._outcome("authorize", each) for each in request.requests]
        return pb.AuthorizePaymentsResponse(outcomes=outcomes)

    async def StreamPayments(self, requests: Any, context: Context) -> AsyncIterator[Message]:
        self.streams += 1
        left, fault = self.stream_faults.pop(0) if self.stream_faults else (None, None)
        async for message in requests:
            self.sizes.append(len(message.commands))
            outcomes = []
            for command in message.commands:
                if left == 0:
                    break
                left = None if left is None else left - 1
                kind = command.WhichOneof("command")
                request = getattr(command, kind)
                if request.request_id not in self.silent:
                    outcomes.append(self._outcome(kind, request))
            if self.release is not None:
                await self.release.wait()
            yield pb.StreamPaymentsResponse(outcomes=reversed(outcomes))
            if left == 0 and fault is not None:
                await context.abort_with_status(rpc_status.to_status(fault.status()))

    def _outcome(self, kind: str, request: Any) -> pb.PaymentOutcome:
        self.seen.append(request.request_id)
        self.at[request.request_id].append(asyncio.get_running_loop().time())
        outcome = pb.PaymentOutcome(request_id=request.request_id)
        if self.faults[request.request_id]:
            outcome.error.CopyFrom(self.faults[request.request_id].pop(0).status())
            return outcome
        getattr(outcome, RESULTS[kind]).payment.id = request.request_id
        outcome.replayed = self.seen.count(request.request_id) > 1
        return outcome


@pytest.fixture
async def started() -> AsyncIterator[tuple[Server, str]]:
    server, grpc_server = Server(), grpc.aio.server()
    payment_pb2_grpc.add_PaymentServiceServicer_to_server(server, grpc_server)
    port = grpc_server.add_insecure_port("127.0.0.1:0")
    await grpc_server.start()
    yield server, f"127.0.0.1:{port}"
    await grpc_server.stop(None)


@pytest.fixture
def server(started: tuple[Server, str]) -> Server:
    return started[0]


Many = Callable[[Iterable[Call[Any]]], Awaitable[Outcomes]]


class Caller:
    """Either client behind one face."""

    def __init__(self, client: tender.Client | tender.SyncClient) -> None:
        self.client = client

    async def authorize_many(self, calls: Iterable[Call[Any]]) -> Outcomes:
        async with asyncio.timeout(SECONDS_MAX):
            if isinstance(self.client, tender.SyncClient):
                return await asyncio.to_thread(self.client.payments.authorize_many, calls)
            return await self.client.payments.authorize_many(calls)

    async def stream(self, calls: Iterable[Call[Any]], in_flight_max: int = 1_000) -> Outcomes:
        """Return the outcomes of all commands, in any order."""
        async with asyncio.timeout(SECONDS_MAX):
            if isinstance(self.client, tender.SyncClient):
                payments = self.client.payments
                return await asyncio.to_thread(
                    lambda: list(payments.stream(calls, in_flight_max=in_flight_max))
                )
            return await self._awaited(self.client, calls, in_flight_max)

    async def _awaited(
        self, client: tender.Client, calls: Iterable[Call[Any]], in_flight_max: int
    ) -> Outcomes:
        waiting: list[tuple[str, asyncio.Future[Any]]] = []
        async with client.payments.stream(in_flight_max=in_flight_max) as stream:
            for call in calls:
                waiting.append((str(call.request_id), await stream.submit(call)))
        found: Outcomes = []
        for request_id, future in waiting:
            error = future.exception()
            assert error is None or isinstance(error, tender.TenderError)
            answer = None if error else future.result()
            found.append(tender.Outcome(request_id, answer, error))
        return found


@pytest.fixture(params=["async", "sync"])
async def caller(
    request: pytest.FixtureRequest, started: tuple[Server, str]
) -> AsyncIterator[Caller]:
    client: tender.Client | tender.SyncClient
    if request.param == "async":
        client = tender.Client(started[1], "key_1.secret", timeout=3.0)
        yield Caller(client)
        await client.close()
    else:
        client = tender.SyncClient(started[1], "key_1.secret", timeout=3.0)
        yield Caller(client)
        client.close()


def authorizing(*request_ids: str, **more: Any) -> list[Call[Any]]:
    return [
        commands.authorize(
            payer_account_id="acc_1",
            merchant_id="mer_1",
            amount=tender.money("EUR", 1_050),
            request_id=request_id,
            **more,
        )
        for request_id in request_ids
    ]


def names(count: int) -> list[str]:
    return [f"order-{number}" for number in range(count)]


def paid(outcomes: Outcomes) -> list[str]:
    return [outcome.result().payment.id for outcome in outcomes]


async def test_many_authorizations_go_in_calls_of_a_thousand(
    caller: Caller, server: Server
) -> None:
    outcomes = await caller.authorize_many(authorizing(*names(2_300)))

    assert paid(outcomes) == names(2_300)
    assert server.sizes == [1_000, 1_000, 300]


async def test_no_authorizations_make_no_call(caller: Caller, server: Server) -> None:
    assert await caller.authorize_many([]) == []
    assert server.sizes == []


async def test_large_authorizations_go_in_calls_below_1_mib(caller: Caller, server: Server) -> None:
    outcomes = await caller.authorize_many(
        authorizing(*names(100), metadata={str(key): "x" * 500 for key in range(50)})
    )

    assert len(paid(outcomes)) == 100
    assert max(server.sizes) < 50


async def test_one_refusal_among_many_is_that_one_s(caller: Caller, server: Server) -> None:
    server.faults["order-1"] = [FINAL]

    outcomes = await caller.authorize_many(authorizing(*names(3)))

    assert [outcome.error is None for outcome in outcomes] == [True, False, True]
    with pytest.raises(tender.PaymentStateRefused) as caught:
        outcomes[1].result()
    assert caught.value.metadata == {"state": "VOIDED"}
    assert outcomes[1].answer is None


async def test_only_what_may_pass_is_sent_again_after_its_delay(
    caller: Caller, server: Server
) -> None:
    server.faults["order-1"] = [BUSY, BUSY]

    outcomes = await caller.authorize_many(authorizing(*names(3)))

    assert paid(outcomes) == names(3)
    assert server.sizes == [3, 1, 1]
    first, second, third = server.at["order-1"]
    assert min(second - first, third - second) >= 0.05


async def test_a_call_that_fails_is_repeated_whole_with_the_same_request_ids(
    caller: Caller, server: Server
) -> None:
    server.call_faults = [SHUTTING_DOWN, BUSY]

    outcomes = await caller.authorize_many(authorizing(*names(3)))

    assert paid(outcomes) == names(3)
    assert server.sizes == [3, 3, 3]


async def test_a_call_that_is_refused_refuses_each(caller: Caller, server: Server) -> None:
    server.call_faults = [Fault(Code.UNAUTHENTICATED, "CREDENTIALS_INVALID")]

    outcomes = await caller.authorize_many(authorizing(*names(2)))

    assert [type(outcome.error) for outcome in outcomes] == [tender.Unauthenticated] * 2


async def test_a_call_without_an_answer_leaves_each_outcome_unknown(
    caller: Caller, server: Server
) -> None:
    server.call_faults = [Fault(Code.UNAVAILABLE)] * 99

    outcomes = await caller.authorize_many(authorizing(*names(2), timeout=0.3))

    assert [outcome.request_id for outcome in outcomes] == names(2)
    for outcome in outcomes:
        assert isinstance(outcome.error, tender.OutcomeUnknown)
        assert outcome.error.request_id == outcome.request_id


async def test_only_authorizations_are_authorized(caller: Caller) -> None:
    with pytest.raises(TypeError):
        await caller.authorize_many([commands.void(payment_id="pay_1")])


async def test_a_stream_carries_every_kind_of_command(caller: Caller, server: Server) -> None:
    calls: list[Call[Any]] = [
        *authorizing("a"),
        commands.capture(payment_id="pay_1", request_id="c"),
        commands.void(payment_id="pay_1", request_id="v"),
        commands.refund(payment_id="pay_1", request_id="r"),
        commands.reverse(
            original_request_id="a", payer_account_id="p", merchant_id="m", request_id="x"
        ),
    ]

    outcomes = await caller.stream(calls)

    kinds = {outcome.request_id: type(outcome.result()).__name__ for outcome in outcomes}
    assert kinds == {
        "a": "AuthorizePaymentResponse",
        "c": "CapturePaymentResponse",
        "v": "VoidPaymentResponse",
        "r": "RefundPaymentResponse",
        "x": "ReversePaymentResponse",
    }
    assert server.seen == ["a", "c", "v", "r", "x"]


async def test_outcomes_find_their_commands_in_whatever_order_they_come(
    caller: Caller, server: Server
) -> None:
    outcomes = await caller.stream(authorizing(*names(3_000)))

    assert Counter(paid(outcomes)) == Counter(names(3_000))
    assert all(outcome.request_id == outcome.result().payment.id for outcome in outcomes)
    assert server.seen == names(3_000)
    assert max(server.sizes) <= 1_000


async def test_a_stream_without_commands_ends(caller: Caller) -> None:
    assert await caller.stream([]) == []


@pytest.mark.parametrize("fault", [SHUTTING_DOWN, Fault(Code.UNAVAILABLE), BUSY])
async def test_after_a_break_what_has_no_outcome_goes_over_another_stream_in_order(
    caller: Caller, server: Server, fault: Fault
) -> None:
    server.stream_faults = [(10, fault), (25, fault)]

    outcomes = await caller.stream(authorizing(*names(100)))

    assert Counter(paid(outcomes)) == Counter(names(100))
    assert server.streams >= 3
    assert list(dict.fromkeys(server.seen)) == names(100)


async def test_a_command_s_retry_hint_is_waited_for_while_others_go_on(
    caller: Caller, server: Server
) -> None:
    server.faults["order-0"] = [BUSY, BUSY]

    outcomes = await caller.stream(authorizing(*names(5)))

    assert Counter(paid(outcomes)) == Counter(names(5))
    first, second, third = server.at["order-0"]
    assert min(second - first, third - second) >= 0.05
    assert server.streams == 1


async def test_a_refusal_is_of_one_command_and_not_repeated(caller: Caller, server: Server) -> None:
    server.faults["order-1"] = [FINAL]

    outcomes = {each.request_id: each for each in await caller.stream(authorizing(*names(3)))}

    assert isinstance(outcomes["order-1"].error, tender.PaymentStateRefused)
    assert paid([outcomes["order-0"], outcomes["order-2"]]) == ["order-0", "order-2"]
    assert server.seen.count("order-1") == 1


async def test_a_command_without_an_outcome_is_unknown_when_its_time_is_over(
    caller: Caller, server: Server
) -> None:
    server.silent = {"order-0"}

    outcomes = {
        each.request_id: each
        for each in await caller.stream(
            [*authorizing("order-0", timeout=0.3), *authorizing("order-1")]
        )
    }

    error = outcomes["order-0"].error
    assert isinstance(error, tender.OutcomeUnknown)
    assert (error.request_id, error.code) == ("order-0", Code.DEADLINE_EXCEEDED)
    assert outcomes["order-1"].result().payment.id == "order-1"


async def test_a_refused_stream_refuses_what_is_under_way(caller: Caller, server: Server) -> None:
    server.stream_faults = [(0, Fault(Code.UNAUTHENTICATED, "CREDENTIALS_INVALID"))] * 9

    outcomes = await caller.stream(authorizing(*names(3)))

    assert {type(outcome.error) for outcome in outcomes} == {tender.Unauthenticated}
    assert len(outcomes) == 3


async def test_a_server_that_stays_away_leaves_outcomes_unknown(
    caller: Caller, server: Server
) -> None:
    server.stream_faults = [(0, SHUTTING_DOWN)] * 99

    outcomes = await caller.stream(authorizing("order-0", timeout=0.5))

    assert isinstance(outcomes[0].error, tender.OutcomeUnknown)


async def test_commands_taken_ahead_are_bounded(caller: Caller, server: Server) -> None:
    server.release = asyncio.Event()
    taken: list[str] = []

    def calls() -> Iterator[Call[Any]]:
        for call in authorizing(*names(500)):
            taken.append(str(call.request_id))
            yield call

    running = asyncio.create_task(caller.stream(calls(), in_flight_max=20))
    await asyncio.sleep(0.5)
    ahead = len(taken)
    server.release.set()
    outcomes = await running

    assert ahead <= 21
    assert len(outcomes) == 500


async def test_what_is_no_payment_command_is_refused_at_once(caller: Caller) -> None:
    with pytest.raises(TypeError):
        await caller.stream([tender.payments.get(payment_id="pay_1")])


async def test_a_request_id_that_is_under_way_is_refused_at_once(
    caller: Caller, server: Server
) -> None:
    server.release = asyncio.Event()
    asyncio.get_running_loop().call_later(0.3, server.release.set)

    with pytest.raises(ValueError, match="under way"):
        await caller.stream(authorizing("one", "one"))


async def test_an_iterator_that_fails_fails_the_stream_after_what_it_gave(
    started: tuple[Server, str],
) -> None:
    def calls() -> Iterator[Call[Any]]:
        yield from authorizing(*names(3))
        raise LookupError("no more")

    found: list[str] = []

    def run() -> None:
        with tender.SyncClient(started[1], "key") as client:
            for outcome in client.payments.stream(calls()):
                found.append(outcome.request_id)

    with pytest.raises(LookupError, match="no more"):
        await asyncio.to_thread(run)

    assert Counter(found) == Counter(names(3))


async def test_an_iterator_that_is_left_early_leaves_no_stream_behind(
    started: tuple[Server, str],
) -> None:
    def run() -> str:
        with tender.SyncClient(started[1], "key") as client:
            endless = (authorizing(f"order-{n}")[0] for n in itertools.count())
            stream = client.payments.stream(endless, in_flight_max=10)
            first = next(stream)
            stream.close()  # type: ignore[attr-defined]  # It is a generator.
            return first.request_id

    async with asyncio.timeout(SECONDS_MAX):
        assert (await asyncio.to_thread(run)).startswith("order-")


async def test_a_block_that_fails_does_not_wait_for_outcomes(
    started: tuple[Server, str],
) -> None:
    server, target = started
    server.silent = {"order-0"}
    waiting: list[asyncio.Future[Any]] = []
    async with tender.Client(target, "key") as client:
        stream = client.payments.stream()

        async def fail() -> None:
            async with stream:
                waiting.append(await stream.submit(authorizing("order-0")[0]))
                raise LookupError

        with pytest.raises(LookupError):
            await asyncio.wait_for(fail(), 1)

        assert isinstance(waiting[0].exception(), tender.OutcomeUnknown)
        with pytest.raises(RuntimeError):
            await stream.submit(authorizing("order-1")[0])


async def test_one_call_on_a_stream_is_awaited_like_a_single_one(
    started: tuple[Server, str],
) -> None:
    server, target = started
    server.faults["order-1"] = [FINAL]
    async with tender.Client(target, "key") as client, client.payments.stream() as stream:
        answer = await stream.call(authorizing("order-0")[0])
        with pytest.raises(tender.PaymentStateRefused):
            await stream.call(authorizing("order-1")[0])

    assert answer.payment.id == "order-0"

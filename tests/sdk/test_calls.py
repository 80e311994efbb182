"""Calls of both clients against a real server: deadlines, retries and what they raise."""

import datetime
from collections.abc import Callable
from typing import Any

import grpc
import pytest

import tender
from tender import accounts, errors, merchants, payments, requests
from tender.calls import Call
from tests.sdk.conftest import SILENCE, Caller, Fault, Script

Code = grpc.StatusCode
PAYMENT: dict[str, Any] = {
    "payer_account_id": "acc_1",
    "merchant_id": "mer_1",
    "amount": tender.money("EUR", 1050),
}
UNAVAILABLE = Fault(Code.UNAVAILABLE, "SHARD_UNAVAILABLE")
BUSY = Fault(Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", retry_delay_ms=250)
RETRIED = [
    UNAVAILABLE,
    Fault(Code.UNAVAILABLE),
    Fault(Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
    Fault(Code.ABORTED, "REQUEST_IN_PROGRESS", retry_delay_ms=10),
    Fault(Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", retry_delay_ms=10),
    Fault(Code.RESOURCE_EXHAUSTED, message="Concurrent RPC limit exceeded!"),
]
NOT_RETRIED = [
    Fault(Code.INTERNAL, "INTERNAL"),
    Fault(Code.UNKNOWN),
    Fault(Code.ABORTED, "SOMETHING_ELSE"),
    Fault(Code.DATA_LOSS),
    Fault(Code.INVALID_ARGUMENT, "FIELD_INVALID"),
    Fault(Code.FAILED_PRECONDITION, "PAYMENT_STATE"),
    Fault(Code.RESOURCE_EXHAUSTED, message="SERVER: Received message larger than max"),
    Fault(Code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE"),
]
REFUSALS = [
    (Code.INVALID_ARGUMENT, "FIELD_INVALID", tender.InvalidArgument),
    (Code.NOT_FOUND, "PAYMENT_UNKNOWN", tender.NotFound),
    (Code.UNAUTHENTICATED, "API_KEY_UNKNOWN", tender.Unauthenticated),
    (Code.PERMISSION_DENIED, "SCOPE_MISSING", tender.PermissionDenied),
    (Code.FAILED_PRECONDITION, "PAYMENT_STATE", tender.PaymentStateRefused),
    (Code.FAILED_PRECONDITION, "ACCOUNT_FROZEN", tender.PreconditionFailed),
    (Code.ALREADY_EXISTS, "REQUEST_ID_REUSED", tender.RequestIdReused),
    (Code.ALREADY_EXISTS, "MERCHANT_REFERENCE_TAKEN", tender.AlreadyExists),
    (Code.OUT_OF_RANGE, "HISTORY_MISSING", tender.Refused),
]
Connect = Callable[..., Caller]


def named(fault: Fault) -> str:
    return f"{fault.code.name}-{fault.reason or 'bare'}"


async def test_an_answer_carries_the_resource_and_its_read_token(call: Caller) -> None:
    answer = await call("authorize_payment", **PAYMENT)

    assert (answer.payment.id, answer.read_token) == ("pay_1", "t1")


async def test_a_call_carries_the_key_a_new_request_id_and_the_default_deadline(
    call: Caller, script: Script
) -> None:
    await call("authorize_payment", **PAYMENT)
    await call("authorize_payment", **PAYMENT)

    first, second = script.seen
    assert first.metadata["authorization"] == "Bearer key_1.secret"
    assert first.request.request_id < second.request.request_id
    assert 0 < first.time_remaining <= 10


@pytest.mark.parametrize("fault", RETRIED, ids=named)
async def test_a_passing_failure_is_retried_with_the_same_request(
    call: Caller, script: Script, fault: Fault
) -> None:
    script.steps = [fault, fault]

    answer = await call("authorize_payment", **PAYMENT)

    sent = [seen.request for seen in script.seen]
    assert answer.payment.id == "pay_1"
    assert len(sent) == 3
    assert sent[0].request_id
    assert sent[0] == sent[1] == sent[2]


@pytest.mark.parametrize("fault", NOT_RETRIED, ids=named)
async def test_any_other_failure_is_not_retried(call: Caller, script: Script, fault: Fault) -> None:
    script.steps = [fault]

    with pytest.raises(tender.TenderError):
        await call("authorize_payment", **PAYMENT)

    assert len(script.seen) == 1


async def test_attempts_are_bounded(connect: Connect, script: Script) -> None:
    call = connect(retry=tender.RetryPolicy(attempts_max=3, delay_first=0.01))
    script.steps = [UNAVAILABLE] * 9

    with pytest.raises(tender.OutcomeUnknown):
        await call("authorize_payment", **PAYMENT)

    assert len(script.seen) == 3


async def test_retries_end_before_the_callers_timeout(call: Caller, script: Script) -> None:
    script.steps = [UNAVAILABLE] * 99

    with pytest.raises(tender.OutcomeUnknown):
        await call("authorize_payment", **PAYMENT, timeout=0.4)

    assert script.seen[-1].at - script.seen[0].at < 0.4
    assert all(seen.time_remaining < 0.5 for seen in script.seen)


async def test_the_servers_retry_hint_is_waited_for(call: Caller, script: Script) -> None:
    script.steps = [BUSY]

    await call("authorize_payment", **PAYMENT)

    first, second = script.seen
    assert second.at - first.at >= 0.25


async def test_a_hint_past_the_timeout_ends_the_call_at_once(call: Caller, script: Script) -> None:
    script.steps = [BUSY]

    with pytest.raises(tender.Overloaded) as caught:
        await call("authorize_payment", **PAYMENT, timeout=0.2)

    assert caught.value.retry_delay == 0.25
    assert len(script.seen) == 1


async def test_a_silent_server_ends_in_an_unknown_outcome_that_names_the_request_id(
    call: Caller, script: Script
) -> None:
    script.steps = [SILENCE]

    with pytest.raises(tender.OutcomeUnknown) as caught:
        await call("authorize_payment", **PAYMENT, request_id="order-7", timeout=0.1)

    assert caught.value.request_id == "order-7"
    assert caught.value.code is Code.DEADLINE_EXCEEDED


async def test_one_silent_attempt_leaves_time_for_another(connect: Connect, script: Script) -> None:
    call = connect(retry=tender.RetryPolicy(attempt_timeout=0.2))
    script.steps = [SILENCE]

    answer = await call("authorize_payment", **PAYMENT)

    assert answer.payment.id == "pay_1"


@pytest.mark.parametrize("code", [Code.RESOURCE_EXHAUSTED, Code.UNAUTHENTICATED])
async def test_a_refusal_at_the_edge_does_not_hide_an_earlier_attempt_without_answer(
    connect: Connect, script: Script, code: grpc.StatusCode
) -> None:
    call = connect(retry=tender.RetryPolicy(attempts_max=2, delay_first=0.01))
    script.steps = [UNAVAILABLE, Fault(code, "ANY")]

    with pytest.raises(tender.OutcomeUnknown):
        await call("authorize_payment", **PAYMENT)


@pytest.mark.parametrize("code", [Code.PERMISSION_DENIED, Code.NOT_FOUND, Code.FAILED_PRECONDITION])
async def test_what_a_proxy_refuses_leaves_the_outcome_unknown(
    call: Caller, script: Script, code: grpc.StatusCode
) -> None:
    script.steps = [Fault(code)]

    with pytest.raises(tender.OutcomeUnknown):
        await call("authorize_payment", **PAYMENT)


async def test_an_internal_error_leaves_the_outcome_unknown(call: Caller, script: Script) -> None:
    script.steps = [Fault(Code.INTERNAL, "INTERNAL")]

    with pytest.raises(tender.OutcomeUnknown):
        await call("authorize_payment", **PAYMENT)


async def test_a_read_without_answer_is_unavailable_and_not_final(
    connect: Connect, script: Script
) -> None:
    call = connect(retry=tender.NO_RETRIES)
    script.steps = [UNAVAILABLE]

    with pytest.raises(tender.Unavailable) as caught:
        await call("get_payment", payment_id="pay_1")

    assert not caught.value.final


@pytest.mark.parametrize(("code", "reason", "kind"), REFUSALS, ids=[each[1] for each in REFUSALS])
async def test_a_refusal_has_its_class_and_is_final(
    call: Caller, script: Script, code: grpc.StatusCode, reason: str, kind: type[tender.Refused]
) -> None:
    script.steps = [Fault(code, reason)]

    with pytest.raises(kind) as caught:
        await call("authorize_payment", **PAYMENT)

    assert type(caught.value) is kind
    assert (caught.value.reason, caught.value.code, caught.value.final) == (reason, code, True)


async def test_a_refusal_carries_what_the_server_said(call: Caller, script: Script) -> None:
    script.steps = [
        Fault(
            Code.INVALID_ARGUMENT,
            "FIELD_INVALID",
            "A field is not valid.",
            metadata={"limit": "255"},
            violations={"description": "too long"},
        )
    ]

    with pytest.raises(tender.InvalidArgument) as caught:
        await call("authorize_payment", **PAYMENT)

    assert caught.value.message == "A field is not valid."
    assert caught.value.metadata == {"limit": "255"}
    assert caught.value.field_violations == (errors.FieldViolation("description", "too long"),)


async def test_a_list_is_followed_to_its_last_page(call: Caller, script: Script) -> None:
    page = tender.v1.payment_pb2.ListPaymentsResponse
    script.pages = {
        "": page(
            payments=[tender.Payment(id="pay_3"), tender.Payment(id="pay_2")],
            next_page_token="more",
        ),
        "more": page(payments=[tender.Payment(id="pay_1")]),
    }

    found = await call("iter_payments", merchant_id="mer_1")

    assert [payment.id for payment in found] == ["pay_3", "pay_2", "pay_1"]
    assert {seen.request.merchant_id for seen in script.seen} == {"mer_1"}


async def test_channels_are_connections_of_their_own(connect: Connect, script: Script) -> None:
    call = connect(channels=3)

    for _ in range(6):
        await call("get_payment", payment_id="pay_1")

    assert len({seen.peer for seen in script.seen}) == 3


READS: list[tuple[Callable[..., Call[Any]], dict[str, Any]]] = [
    (payments.get, {"payment_id": "pay_1"}),
    (payments.find, {"merchant_id": "mer_1", "request_id": "order-1"}),
    (payments.page, {"merchant_id": "mer_1"}),
    (accounts.get, {"account_id": "acc_1"}),
    (accounts.page, {"user_id": "ada"}),
    (accounts.transfers_page, {"account_id": "acc_1"}),
    (accounts.balance_at, {"account_id": "acc_1", "time": datetime.datetime.now(datetime.UTC)}),
    (merchants.get, {"merchant_id": "mer_1"}),
    (requests.get, {"request_id": "order-1"}),
]


@pytest.mark.parametrize(("read", "given"), READS)
def test_a_read_brings_the_token_of_an_earlier_answer(
    read: Callable[..., Call[Any]], given: dict[str, Any]
) -> None:
    with_token: Any = read(**given, read_token="s1.abc.7").request
    without: Any = read(**given).request

    assert (with_token.read_token, without.read_token) == ("s1.abc.7", "")

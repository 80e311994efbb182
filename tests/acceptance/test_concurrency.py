"""Many calls at the same instant: as if they had come one after the other."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import grpc
import pytest

import tender
from deploy.local.stack import Stack
from tender import payments
from tender.calls import Call
from tests.acceptance.conftest import api_key
from tests.acceptance.load import Recorder, new_load, open_shop

AUTHORIZE = "/tender.v1.PaymentService/AuthorizePayment"


async def test_of_fifty_refunds_at_once_exactly_the_affordable_ones_succeed(
    recorder: Recorder,
) -> None:
    shop = await open_shop(recorder, customers=1)
    paid = await recorder.surely(shop.pay(0, 1_000))
    amount = tender.money("EUR", 70)

    answers = await asyncio.gather(
        *(
            recorder.once(payments.refund(payment_id=paid.payment.id, amount=amount))
            for _ in range(50)
        ),
        return_exceptions=True,
    )

    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert {type(error) for error in refused} == {tender.PreconditionFailed}
    assert len(answers) - len(refused) == 1_000 // 70
    found = await recorder.client.get_payment(payment_id=paid.payment.id)
    assert found.payment.refunded.minor_units == 70 * (1_000 // 70)
    assert len(found.refunds) == 1_000 // 70


@pytest.mark.parametrize("captures_first", [True, False])
async def test_of_fifty_captures_and_voids_at_once_one_decides(
    recorder: Recorder, captures_first: bool
) -> None:
    shop = await open_shop(recorder, customers=1)
    held = await recorder.surely(shop.pay(0, 1_000, capture_method=tender.CAPTURE_METHOD_MANUAL))
    kinds: list[Callable[..., Call[Any]]] = [payments.capture, payments.void]
    if not captures_first:
        kinds.reverse()

    answers = await asyncio.gather(
        *(recorder.once(kinds[number % 2](payment_id=held.payment.id)) for number in range(50)),
        return_exceptions=True,
    )

    kept = [answer for answer in answers if not isinstance(answer, BaseException)]
    refused = {type(answer) for answer in answers if isinstance(answer, BaseException)}
    found = await recorder.client.get_payment(payment_id=held.payment.id)
    assert len(kept) == 1
    assert refused == {tender.PaymentStateRefused}
    assert found.payment == kept[0].payment
    assert (found.payment.captured.minor_units == 1_000) == (
        found.payment.state == tender.Payment.STATE_CAPTURED
    )


async def test_a_hundred_calls_with_one_request_id_have_one_effect_and_equal_bytes(
    recorder: Recorder, stack: Stack
) -> None:
    shop = await open_shop(recorder, customers=1)
    request = shop.pay(0, 1_000).request
    metadata = (("authorization", f"Bearer {api_key(stack.endpoints)}"),)
    operations = [recorder.history.invoke(request) for _ in range(100)]

    async with grpc.aio.insecure_channel(stack.endpoints.gateway) as channel:
        authorize: Any = channel.unary_unary(AUTHORIZE)
        data = request.SerializeToString()
        answers = await asyncio.gather(
            *(authorize(data, metadata=metadata, timeout=10) for _ in operations)
        )
    for operation, answer in zip(operations, answers, strict=True):
        operation.ok(answer)

    listed = await recorder.client.list_payments(payer_account_id=shop.customers[0])
    account = (await recorder.client.get_account(account_id=shop.customers[0])).account
    assert len(set(answers)) == 1
    assert len(listed.payments) == 1
    assert account.available.minor_units == 10_000_000 - 1_000


async def test_one_request_id_for_a_hundred_different_amounts_pays_one_of_them(
    recorder: Recorder,
) -> None:
    shop = await open_shop(recorder, customers=1)
    name = tender.new_request_id()

    answers = await asyncio.gather(
        *(recorder.once(shop.pay(0, 100 + number, request_id=name)) for number in range(100)),
        return_exceptions=True,
    )

    assert Counter(type(answer).__name__ for answer in answers) == {
        "AuthorizePaymentResponse": 1,
        "RequestIdReused": 99,
    }


async def test_a_mixed_load_without_faults_needs_no_second_asking(recorder: Recorder) -> None:
    shop = await open_shop(recorder)
    load = new_load(recorder, shop)

    async with load.running(clients=32):
        await asyncio.sleep(2)

    assert recorder.unknown == 0
    assert len(load.answered) > 100


async def test_the_last_of_the_money_is_spent_once(recorder: Recorder) -> None:
    shop = await open_shop(recorder, customers=1, funds=1_000)

    answers = await asyncio.gather(*(recorder.surely(shop.pay(0, 70)) for _ in range(50)))

    states = Counter(answer.payment.state for answer in answers)
    assert states == {
        tender.Payment.STATE_CAPTURED: 1_000 // 70,
        tender.Payment.STATE_DECLINED: 50 - 1_000 // 70,
    }

"""SubmitPayment, the event of its outcome, and GetOperation, through a whole stack."""

import asyncio
from typing import Any

import pytest

import tender
from tender import commands
from tests.intake.conftest import Office

DONE = tender.Operation.STATE_DONE
REFUSED = tender.Operation.STATE_REFUSED


async def test_a_submitted_payment_is_carried_out(office: Office) -> None:
    before = (await office.client.get_account(account_id=office.shop.customers[0])).account

    operation = await office.decided(await office.submit(cents=250))

    after = (await office.client.get_account(account_id=office.shop.customers[0])).account
    assert operation.state == DONE
    assert operation.method == "AuthorizePayment"
    assert operation.outcome.authorized.payment.state == tender.Payment.STATE_CAPTURED
    assert operation.accept_time.ToMilliseconds() <= operation.decide_time.ToMilliseconds()
    assert before.available.minor_units - after.available.minor_units == 250


async def test_many_are_carried_out_each_once(office: Office) -> None:
    ids = await asyncio.gather(*(office.submit(number, cents=1) for number in range(300)))

    operations = await asyncio.gather(*(office.decided(each) for each in ids))

    assert {operation.state for operation in operations} == {DONE}
    payments = {operation.outcome.authorized.payment.id for operation in operations}
    assert len(payments) == 300


async def test_submitted_and_called_with_one_request_id_it_is_one_payment(office: Office) -> None:
    call = office.shop.pay(1, 700, request_id=tender.new_request_id())

    submitted = await office.client.submit_payment(call)
    called = await office.client.invoke(call)
    again = await office.client.submit_payment(call)

    first = await office.decided(submitted.operation.id)
    second = await office.decided(again.operation.id)
    assert first.outcome.authorized.payment.id == called.payment.id
    assert second.outcome.authorized.payment.id == called.payment.id
    assert first.id != second.id


async def test_another_request_with_the_same_request_id_is_refused(office: Office) -> None:
    request_id = tender.new_request_id()
    await office.client.invoke(office.shop.pay(0, 10, request_id=request_id))

    operation = await office.decided(await office.submit(0, 11, request_id=request_id))

    assert operation.state == REFUSED
    assert operation.outcome.request_id == request_id
    assert "REQUEST_ID_REUSED" in str(operation.outcome.error)


async def test_a_declined_payment_is_an_answer(office: Office) -> None:
    operation = await office.decided(await office.submit(cents=10**12))

    assert operation.state == DONE
    assert operation.outcome.authorized.payment.state == tender.Payment.STATE_DECLINED


async def test_every_kind_of_command_can_be_submitted(office: Office) -> None:
    client, shop = office.client, office.shop
    manual = tender.CAPTURE_METHOD_MANUAL
    held = (await client.invoke(shop.pay(0, 100, capture_method=manual))).payment
    void = (await client.invoke(shop.pay(0, 100, capture_method=manual))).payment
    paid = shop.pay(0, 100)
    await client.invoke(paid)
    sent: list[Any] = [
        commands.capture(payment_id=held.id),
        commands.void(payment_id=void.id),
        shop.reverse(paid),
    ]

    answers = await asyncio.gather(*(client.submit_payment(call) for call in sent))
    first = [await office.decided(answer.operation.id) for answer in answers]
    refund = await client.submit_payment(commands.refund(payment_id=held.id))
    refunded = await office.decided(refund.operation.id)

    assert [operation.state for operation in (*first, refunded)] == [DONE] * 4
    assert first[0].outcome.captured.payment.state == tender.Payment.STATE_CAPTURED
    assert first[1].outcome.voided.payment.state == tender.Payment.STATE_VOIDED
    assert first[2].outcome.HasField("reversed")
    assert refunded.outcome.refunded.refund.payment_id == held.id


async def test_a_bad_payment_is_refused_at_once_as_its_own_method_does(office: Office) -> None:
    call = commands.authorize(
        payer_account_id="nobody", merchant_id="nowhere", amount=tender.money("EUR", 0)
    )

    with pytest.raises(tender.InvalidArgument) as called:
        await office.client.invoke(call)
    with pytest.raises(tender.InvalidArgument) as submitted:
        await office.client.submit_payment(call)

    assert submitted.value.reason == called.value.reason
    assert submitted.value.field_violations == called.value.field_violations


async def test_an_id_that_was_never_given_is_unknown(office: Office) -> None:
    known = await office.submit()
    invented = known[:-9] + ("0" if known[-9] != "0" else "1") + known[-8:]

    for identifier in ("", "op_", invented, known.upper(), "x" * 10_000):
        with pytest.raises(tender.NotFound) as refused:
            await office.client.get_operation(operation_id=identifier)
        assert refused.value.reason == "OPERATION_UNKNOWN"

"""Requests that are put together from bytes are the messages of the contract."""

import tender
from loadtest import commands, payloads
from loadtest.payloads import Payloads
from loadtest.world import World
from tender.v1 import payment_pb2

WORLD = World("EUR", ("acc_1", "acc_2"), ("mer_1", "mer_2"))


def test_a_request_is_that_of_the_contract() -> None:
    request_id, encoded = Payloads(WORLD).authorize(payer=1, merchant=0)

    expected = payment_pb2.AuthorizePaymentRequest(
        request_id=request_id,
        payer_account_id="acc_2",
        merchant_id="mer_1",
        amount=tender.money("EUR", payloads.PRICES[0]),
    )
    assert encoded == expected.SerializeToString(deterministic=True)


def test_request_ids_are_unique_of_one_length_and_ordered() -> None:
    one, other = Payloads(WORLD), Payloads(WORLD)

    ids = [one.new_id() for _ in range(1_000)]

    assert ids == sorted(set(ids))
    assert {len(each) for each in ids} == {len(other.new_id())}
    assert other.new_id() not in ids


def test_a_batch_and_a_message_of_a_stream_are_those_of_the_contract() -> None:
    made = Payloads(WORLD)
    requests = [made.authorize(payer=0, merchant=1) for _ in range(300)]

    batch = payment_pb2.AuthorizePaymentsRequest.FromString(
        payloads.batch(request for _, request in requests)
    )
    message = payment_pb2.StreamPaymentsRequest.FromString(
        payloads.stream_message(payloads.authorize_command(request) for _, request in requests)
    )

    request_ids = [request_id for request_id, _ in requests]
    assert [each.request_id for each in batch.requests] == request_ids
    assert [each.authorize.request_id for each in message.commands] == request_ids


def _desk() -> commands.Desk:
    made = Payloads(WORLD)
    return commands.Desk(lambda: made.authorize(0, 0), made.new_id)


def _outcome(command: payment_pb2.PaymentCommand) -> payment_pb2.PaymentOutcome:
    """What an honest server answers."""
    kind = command.WhichOneof("command") or ""
    request_id: str = getattr(command, kind).request_id
    if kind == "authorize":
        held = command.authorize.capture_method == tender.CAPTURE_METHOD_MANUAL
        state = tender.Payment.STATE_AUTHORIZED if held else tender.Payment.STATE_CAPTURED
        payment = tender.Payment(id=f"pay_{request_id}", state=state)
        authorized = payment_pb2.AuthorizePaymentResponse(payment=payment)
        return payment_pb2.PaymentOutcome(request_id=request_id, authorized=authorized)
    payment = tender.Payment(id=getattr(command, kind).payment_id)
    if kind == "capture":
        captured = payment_pb2.CapturePaymentResponse(payment=payment)
        return payment_pb2.PaymentOutcome(request_id=request_id, captured=captured)
    if kind == "void":
        voided = payment_pb2.VoidPaymentResponse(payment=payment)
        return payment_pb2.PaymentOutcome(request_id=request_id, voided=voided)
    refunded = payment_pb2.RefundPaymentResponse(payment=payment)
    return payment_pb2.PaymentOutcome(request_id=request_id, refunded=refunded)


def test_a_desk_captures_voids_and_refunds_what_it_held() -> None:
    desk, kinds = _desk(), []
    for _ in range(3):
        message = payment_pb2.StreamPaymentsRequest.FromString(desk.message(100))
        kinds.append([each.WhichOneof("command") for each in message.commands])
        desk.read(reversed([_outcome(each) for each in message.commands]))

    assert not desk.waits
    assert [len(each) for each in kinds] == [100, 100, 100]
    assert set(kinds[0]) == {"authorize"}
    assert (kinds[1].count("capture"), kinds[1].count("void")) == (7, 3)
    assert kinds[2].count("refund") == 4
    outcomes = desk.take_outcomes()
    assert (outcomes.paid, outcomes.declined, outcomes.errors) == (300, 0, {})


def test_an_outcome_that_comes_twice_or_of_nothing_is_an_error() -> None:
    desk = _desk()
    message = payment_pb2.StreamPaymentsRequest.FromString(desk.message(2))
    first = _outcome(message.commands[0])

    desk.read([first, first, payment_pb2.PaymentOutcome(request_id="never sent")])

    assert desk.take_outcomes().errors == {commands.UNEXPECTED: 2}
    assert desk.give_up() == 1


def test_outcomes_of_a_batch_must_be_complete_and_in_order() -> None:
    captured = payment_pb2.AuthorizePaymentResponse(
        payment=tender.Payment(state=tender.Payment.STATE_CAPTURED)
    )
    one, two = (
        payment_pb2.PaymentOutcome(request_id=each, authorized=captured) for each in ("1", "2")
    )

    assert commands.check_in_order(["1", "2"], [one, two]) == commands.Outcomes(paid=2)
    assert commands.check_in_order(["1", "2"], [two, one]).errors == {commands.NOT_IN_ORDER: 2}
    assert commands.check_in_order(["1", "2"], [one]).errors == {commands.NOT_IN_ORDER: 1}
    assert commands.check_in_order(["1"], [one, two]).errors == {commands.NOT_IN_ORDER: 1}

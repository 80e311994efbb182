"""The payment written by hand is, byte for byte, what the generated code writes."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from processor import answers
from processor.domain.decision import Answer
from processor.domain.fees import RefundPolicy
from processor.domain.payments import CaptureMethod, DeclineReason, Payment, State
from tender.v1 import lane_pb2, payment_pb2

amounts = st.integers(0, 2**62)
times = st.integers(0, 253_402_300_799_999_999)
texts = st.text(max_size=300)
numbers = st.integers(1, 2**62)
rows = st.builds(
    Payment,
    id=texts,
    tenant_id=texts,
    merchant_id=texts,
    payer_account_id=texts,
    settlement_account_id=texts,
    state=st.sampled_from(State),
    capture_method=st.sampled_from(CaptureMethod),
    decline_reason=st.sampled_from(DeclineReason),
    currency=st.sampled_from(["EUR", "JPY", "BHD"]),
    amount=amounts,
    captured=amounts,
    capturable=amounts,
    refunded=amounts,
    refund_pending=amounts,
    fee=amounts,
    fee_refunded=amounts,
    fee_basis_points=st.integers(0, 10_000),
    fee_fixed=amounts,
    fee_refund_policy=st.sampled_from(RefundPolicy),
    hold_expires_at=st.none() | times,
    description=texts,
    metadata=st.just("")
    | st.dictionaries(texts, texts, max_size=1).map(
        lambda pairs: msgspec.json.encode(pairs).decode()
    ),
    version=numbers,
    created_at=times,
    updated_at=times,
    payer_previous_id=texts,
)


@given(row=rows, read_token=texts)
def test_a_payment_by_hand_equals_the_generated_one(row: Payment, read_token: str) -> None:
    by_hand = answers.encode(lane_pb2.METHOD_AUTHORIZE_PAYMENT, Answer(payment=row), read_token)

    generated = payment_pb2.AuthorizePaymentResponse(
        payment=answers.payment_message(row), read_token=read_token
    )
    assert by_hand == generated.SerializeToString()


@given(rows)
def test_several_metadata_pairs_survive(row: Payment) -> None:
    pairs = {f"key-{number}": "x" * number for number in range(50)}
    row = row._replace(metadata=msgspec.json.encode(pairs).decode())

    response = payment_pb2.CapturePaymentResponse.FromString(
        answers.encode(lane_pb2.METHOD_CAPTURE_PAYMENT, Answer(payment=row), "s1.a.1")
    )

    assert response.payment == answers.payment_message(row)

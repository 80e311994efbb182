"""The domain's enums say the same words as the contract's."""

from enum import StrEnum
from typing import Any

import pytest

from processor.domain import accounts, fees, merchants, payments, transfers, view
from tender.v1 import account_pb2, lane_pb2, merchant_pb2, payment_pb2

METHODS = {name for name, _ in lane_pb2.Method.items()}

ENUMS: list[tuple[type[StrEnum], Any, str]] = [
    (payments.State, payment_pb2.Payment.State, "STATE_"),
    (payments.CaptureMethod, payment_pb2.CaptureMethod, "CAPTURE_METHOD_"),
    (payments.DeclineReason, payment_pb2.DeclineReason, "DECLINE_REASON_"),
    (payments.RefundState, payment_pb2.Refund.State, "STATE_"),
    (payments.Reversal, payment_pb2.ReversePaymentResponse.Result, "RESULT_"),
    (fees.RefundPolicy, merchant_pb2.FeeRefundPolicy, "FEE_REFUND_POLICY_"),
    (accounts.Kind, account_pb2.Account.Kind, "KIND_"),
    (accounts.State, account_pb2.Account.State, "STATE_"),
    (transfers.Reason, account_pb2.Transfer.Reason, "REASON_"),
    (transfers.State, account_pb2.Transfer.State, "STATE_"),
    (merchants.State, merchant_pb2.Merchant.State, "STATE_"),
]


@pytest.mark.parametrize(("ours", "theirs", "prefix"), ENUMS)
def test_an_enum_names_what_the_contract_names(
    ours: type[StrEnum], theirs: Any, prefix: str
) -> None:
    names = {name.removeprefix(prefix) for name, _ in theirs.items()}

    assert {value.value for value in ours} - {""} == names - {"UNSPECIFIED"}


@pytest.mark.parametrize(("ours", "theirs", "prefix"), ENUMS)
def test_an_enum_s_values_are_its_names(ours: type[StrEnum], theirs: Any, prefix: str) -> None:
    assert all(value.name == (value.value or "NONE") for value in ours)


def test_the_key_of_an_authorization_has_the_contract_s_method_name() -> None:
    assert f"METHOD_{view.AUTHORIZE}" in METHODS


def test_no_public_method_is_called_like_a_tombstone() -> None:
    assert f"METHOD_{view.TOMBSTONE}" not in METHODS


def test_capture_and_hold_limits_are_those_of_the_contract() -> None:
    assert (payments.HOLD_SECONDS_MIN, payments.HOLD_SECONDS_DEFAULT) == (60, 604_800)
    assert payments.HOLD_SECONDS_MAX == 2_678_400

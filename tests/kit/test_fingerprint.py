"""What makes two requests the same request."""

from typing import Any

import pytest
from google.protobuf import field_mask_pb2
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from kit import fingerprint
from tender.v1 import account_pb2, lane_pb2, merchant_pb2, money_pb2, payment_pb2
from tests.gateway import requests

WRITES = {
    name: lane_pb2.Method.Value(f"METHOD_{snake}")
    for name, snake in {
        "AuthorizePayment": "AUTHORIZE_PAYMENT",
        "CapturePayment": "CAPTURE_PAYMENT",
        "VoidPayment": "VOID_PAYMENT",
        "RefundPayment": "REFUND_PAYMENT",
        "ReversePayment": "REVERSE_PAYMENT",
        "CreateAccount": "CREATE_ACCOUNT",
        "FreezeAccount": "FREEZE_ACCOUNT",
        "UnfreezeAccount": "UNFREEZE_ACCOUNT",
        "CloseAccount": "CLOSE_ACCOUNT",
        "CreateTransfer": "CREATE_TRANSFER",
        "CreateMerchant": "CREATE_MERCHANT",
        "UpdateMerchant": "UPDATE_MERCHANT",
    }.items()
}
AUTHORIZE = lane_pb2.METHOD_AUTHORIZE_PAYMENT
MANUAL = payment_pb2.CAPTURE_METHOD_MANUAL
AUTOMATIC = payment_pb2.CAPTURE_METHOD_AUTOMATIC


def differing(method: int, first: Message, second: Message) -> list[str]:
    stored = fingerprint.fingerprint(method, first)
    fields = fingerprint.differing_fields(stored, method, second)
    assert bool(fields) == (stored != fingerprint.fingerprint(method, second))
    return fields


def test_every_write_has_a_row_and_no_read_has() -> None:
    assert set(fingerprint.FIELDS) == set(WRITES.values())


@pytest.mark.parametrize("name", list(WRITES))
def test_every_field_but_the_request_id_counts(name: str) -> None:
    """Change each field of the contract in turn; the fingerprint must see it."""
    method, request = WRITES[name], requests.VALID[name]
    if name == "UpdateMerchant":
        return
    for field in request.DESCRIPTOR.fields:
        other = type(request).FromString(request.SerializeToString())
        change(other, field.name)

        fields = differing(method, request, other)

        expected = [] if field.name == "request_id" else [field.name]
        if name == "AuthorizePayment" and field.name == "hold_duration_seconds":
            expected = []  # Capture is automatic.
        assert sorted({each.partition(".")[0] for each in fields}) == expected


def change(request: Any, name: str) -> None:
    value = getattr(request, name)
    match value:
        case bool():
            setattr(request, name, not value)
        case int():
            setattr(request, name, value + 2)
        case str():
            setattr(request, name, value + "x")
        case money_pb2.Money():
            value.minor_units += 1
        case _ if name == "metadata":
            value["new"] = "pair"
        case _:
            value.add(currency_code="USD")


@pytest.mark.parametrize("name", list(WRITES))
def test_the_same_request_of_another_method_differs_in_the_method(name: str) -> None:
    stored = fingerprint.fingerprint(WRITES[name], requests.VALID[name])

    for other, method in WRITES.items():
        fields = fingerprint.differing_fields(stored, method, requests.VALID[other])
        assert fields == ([] if other == name else ["method"])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"capture_method": AUTOMATIC}),
        ({}, {"hold_duration_seconds": 60}),
        ({"capture_method": MANUAL}, {"capture_method": MANUAL, "hold_duration_seconds": 604_800}),
        ({"metadata": {"a": "1", "b": "2"}}, {"metadata": {"b": "2", "a": "1"}}),
        ({"request_id": "one"}, {"request_id": "two"}),
    ],
)
def test_a_default_spelled_out_changes_nothing(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    assert differing(AUTHORIZE, requests.authorize(**first), requests.authorize(**second)) == []


@pytest.mark.parametrize(
    ("first", "second", "fields"),
    [
        ({}, {"amount": requests.money(2)}, ["amount.minor_units"]),
        (
            {},
            {"amount": requests.money(2, "USD")},
            ["amount.minor_units", "amount.currency_code"],
        ),
        (
            {"capture_method": MANUAL},
            {"capture_method": MANUAL, "hold_duration_seconds": 60},
            ["hold_duration_seconds"],
        ),
        ({}, {"capture_method": MANUAL}, ["capture_method"]),
        ({"metadata": {"a": "b"}}, {"metadata": {"ab": ""}}, ["metadata"]),
        ({"metadata": {"a": "1:b"}}, {"metadata": {"a": "", "1": "b"}}, ["metadata"]),
    ],
)
def test_what_differs_is_named(
    first: dict[str, Any], second: dict[str, Any], fields: list[str]
) -> None:
    first_request = requests.authorize(**first)

    assert differing(AUTHORIZE, first_request, requests.authorize(**second)) == fields


def test_no_amount_and_an_amount_of_nothing_are_not_the_same() -> None:
    whole = payment_pb2.CapturePaymentRequest(payment_id="p")
    nothing = payment_pb2.CapturePaymentRequest(payment_id="p", amount=money_pb2.Money())

    assert differing(lane_pb2.METHOD_CAPTURE_PAYMENT, whole, nothing) == ["amount.minor_units"]


def test_a_consumer_wallet_is_the_default_kind() -> None:
    request = account_pb2.CreateAccountRequest(user_id="u", currency_code="EUR")
    spelled_out = account_pb2.CreateAccountRequest(
        user_id="u", currency_code="EUR", kind=account_pb2.Account.KIND_CONSUMER_WALLET
    )

    assert differing(lane_pb2.METHOD_CREATE_ACCOUNT, request, spelled_out) == []


def test_the_order_of_settlement_terms_and_the_default_policy_say_nothing() -> None:
    euro, dollar = requests.terms("EUR"), requests.terms("USD")
    first = merchant_pb2.CreateMerchantRequest(reference="r", settlement_terms=[euro, dollar])
    euro.fee_schedule.refund_policy = merchant_pb2.FEE_REFUND_POLICY_KEEP
    second = merchant_pb2.CreateMerchantRequest(reference="r", settlement_terms=[dollar, euro])

    assert differing(lane_pb2.METHOD_CREATE_MERCHANT, first, second) == []


@pytest.mark.parametrize(
    ("paths", "merchant", "fields"),
    [
        (["state", "display_name"], {}, []),
        (["display_name", "state", "state"], {}, []),
        (["display_name"], {}, ["update_mask", "merchant.state"]),
        (["display_name", "state"], {"display_name": "x"}, ["merchant.display_name"]),
        (["display_name", "state"], {"id": "x"}, ["merchant.id"]),
        (["display_name", "state"], {"reference": "x", "version": 3}, []),
        (["display_name", "state"], {"settlement_terms": [requests.terms()]}, []),
        (
            ["display_name", "state", "settlement_terms"],
            {"settlement_terms": [requests.terms()]},
            ["update_mask", "merchant.settlement_terms"],
        ),
    ],
)
def test_of_an_update_only_what_the_mask_names_counts(
    paths: list[str], merchant: dict[str, Any], fields: list[str]
) -> None:
    def update(paths: list[str], merchant: dict[str, Any]) -> Message:
        given: dict[str, Any] = {"id": "m", "display_name": "n", "state": 1} | merchant
        return merchant_pb2.UpdateMerchantRequest(
            request_id="u",
            merchant=merchant_pb2.Merchant(**given),
            update_mask=field_mask_pb2.FieldMask(paths=paths),
        )

    first = update(["display_name", "state"], {})

    assert differing(lane_pb2.METHOD_UPDATE_MERCHANT, first, update(paths, merchant)) == fields


def test_a_fingerprint_of_a_later_version_is_not_guessed_at() -> None:
    stored = bytes([fingerprint.VERSION + 1]) + bytes(40)

    with pytest.raises(ValueError, match="version"):
        fingerprint.differing_fields(stored, AUTHORIZE, requests.authorize())


def test_the_first_version_never_changes() -> None:
    """Stored for 30 days and longer: a change of these bytes would refuse honest retries."""
    value = fingerprint.fingerprint(AUTHORIZE, requests.authorize(metadata={"k": "v"}))

    assert value.hex() == (
        "0101bd86bc4a3b470c62cfd3e46ea0c6aabbf67caac43a8ab3"
        "edc9505752cbb90ff083dcefb76e6e201400000000c0342059"
    )


texts = st.text(max_size=8)
pairs = st.dictionaries(texts, texts, max_size=3)


@given(texts, texts, pairs, texts, texts, pairs)
def test_no_two_different_requests_are_the_same(
    user: str, text: str, first: dict[str, str], other_user: str, other: str, second: dict[str, str]
) -> None:
    one = requests.authorize(payer_account_id=user, description=text, metadata=first)
    two = requests.authorize(payer_account_id=other_user, description=other, metadata=second)

    is_same = (user, text, first) == (other_user, other, second)
    assert (differing(AUTHORIZE, one, two) == []) == is_same


@given(
    payer=st.text(max_size=40),
    merchant=st.text(max_size=40),
    minor_units=st.integers(0, 2**62),
    currency=st.text(max_size=3),
    capture_method=st.integers(0, 9),
    hold=st.integers(0, 10**7),
    description=st.text(max_size=300),
)
def test_the_short_way_for_authorizations_gives_the_same_bytes(
    payer: str,
    merchant: str,
    minor_units: int,
    currency: str,
    capture_method: int,
    hold: int,
    description: str,
) -> None:
    request = payment_pb2.AuthorizePaymentRequest(
        request_id="r",
        payer_account_id=payer,
        merchant_id=merchant,
        amount=money_pb2.Money(currency_code=currency, minor_units=minor_units),
        capture_method=capture_method,  # type: ignore[arg-type]
        hold_duration_seconds=hold,
        description=description,
    )

    short = fingerprint.of_authorization(
        payer, merchant, minor_units, currency, capture_method, hold, description
    )

    assert short == fingerprint.fingerprint(lane_pb2.METHOD_AUTHORIZE_PAYMENT, request)

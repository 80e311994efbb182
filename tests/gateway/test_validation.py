"""What is wrong with a request, field by field."""

from typing import Any

import grpc
import pytest
from google.protobuf import field_mask_pb2, timestamp_pb2
from google.protobuf.message import Message

from gateway import errors, methods, reasons, validation
from tender.v1 import account_pb2, merchant_pb2, money_pb2, payment_pb2
from tests.gateway import conftest, requests, scripted
from tests.gateway.conftest import Stack

BY_NAME = {method.name: method for method in methods.METHODS.values()}
WORLD = "sys_eu_s1_acme_world_EUR"
CLEARING = "sys_eu_s1_acme_clearing.s2_EUR"
FIELD, AMOUNT, CURRENCY = "FIELD_INVALID", "AMOUNT_OUT_OF_RANGE", "CURRENCY_UNKNOWN"


def problems(name: str, request: Message) -> tuple[str, list[str]]:
    try:
        validation.validate(BY_NAME[name].number, request)
    except errors.Refused as refused:
        return refused.reason, [violation.field for violation in refused.violations]
    return "", []


def changed(name: str, **fields: Any) -> Message:
    request = type(requests.VALID[name])()
    request.CopyFrom(requests.VALID[name])
    for field, value in fields.items():
        request.ClearField(field)
        if value is not None:
            request.MergeFrom(type(request)(**{field: value}))
    return request


@pytest.mark.parametrize("name", list(BY_NAME))
def test_a_valid_request_has_no_violation(name: str) -> None:
    assert problems(name, requests.VALID[name]) == ("", [])


@pytest.mark.parametrize("name", [n for n, m in BY_NAME.items() if not m.is_read])
@pytest.mark.parametrize(
    "request_id", ["", "x" * 256, "ä" * 128, "a\nb", "a\x00", "a\u202eb", "\u2028", "a\tb"]
)
def test_a_request_id_that_is_not_printable_text_of_255_bytes_is_refused(
    name: str, request_id: str
) -> None:
    assert problems(name, changed(name, request_id=request_id)) == (FIELD, ["request_id"])


@pytest.mark.parametrize("request_id", ["x", "x" * 255, "ä" * 127, "order 1/é#☕"])
def test_a_request_id_may_be_any_printable_text(request_id: str) -> None:
    assert problems("VoidPayment", changed("VoidPayment", request_id=request_id)) == ("", [])


@pytest.mark.parametrize(
    ("minor_units", "currency", "reason", "fields"),
    [
        (1, "EUR", "", []),
        (10**15, "JPY", "", []),
        (0, "EUR", AMOUNT, ["amount.minor_units"]),
        (-1, "EUR", AMOUNT, ["amount.minor_units"]),
        (10**15 + 1, "EUR", AMOUNT, ["amount.minor_units"]),
        (2**63 - 1, "EUR", AMOUNT, ["amount.minor_units"]),
        (-(2**63), "EUR", AMOUNT, ["amount.minor_units"]),
        (5, "", CURRENCY, ["amount.currency_code"]),
        (5, "eur", CURRENCY, ["amount.currency_code"]),
        (5, "XXX", CURRENCY, ["amount.currency_code"]),
        (5, "XAU", CURRENCY, ["amount.currency_code"]),
        (5, "EUR\n", CURRENCY, ["amount.currency_code"]),
        (5, "ＥＵＲ", CURRENCY, ["amount.currency_code"]),  # noqa: RUF001
        (0, "ABC", AMOUNT, ["amount.minor_units", "amount.currency_code"]),
    ],
)
@pytest.mark.parametrize(
    "name", ["AuthorizePayment", "CapturePayment", "RefundPayment", "CreateTransfer"]
)
def test_amounts(
    name: str, minor_units: int, currency: str, reason: str, fields: list[str]
) -> None:
    amount = money_pb2.Money(minor_units=minor_units, currency_code=currency)

    assert problems(name, changed(name, amount=amount)) == (reason, fields)


BAD_IDS = ["", "acc", "acc_eu_1", "ACC_EU_0000000000000000000001", " ", "x" * 300, "' OR 1=1 --"]
CONTROL = "a\x07b"

CASES: list[tuple[str, dict[str, Any], str, list[str]]] = [
    *[("AuthorizePayment", {"payer_account_id": i}, FIELD, ["payer_account_id"]) for i in BAD_IDS],
    *[("AuthorizePayment", {"merchant_id": i}, FIELD, ["merchant_id"]) for i in BAD_IDS],
    *[("VoidPayment", {"payment_id": i}, FIELD, ["payment_id"]) for i in BAD_IDS],
    *[("GetAccount", {"account_id": i}, FIELD, ["account_id"]) for i in BAD_IDS],
    ("GetAccount", {"account_id": scripted.ACCOUNT + "\n"}, FIELD, ["account_id"]),
    ("GetAccount", {"account_id": scripted.PAYMENT}, FIELD, ["account_id"]),
    ("GetAccount", {"account_id": "acc_eu_000000000000000000000i"}, FIELD, ["account_id"]),
    ("GetAccount", {"account_id": WORLD}, "", []),
    ("GetAccount", {"account_id": WORLD.lower()}, FIELD, ["account_id"]),
    ("GetAccount", {"account_id": CLEARING}, "", []),
    ("GetAccount", {"account_id": CLEARING.replace(".s2", "")}, FIELD, ["account_id"]),
    ("GetAccount", {"account_id": CLEARING.replace("s2", "S2")}, FIELD, ["account_id"]),
    ("ListTransfers", {"account_id": CLEARING}, "", []),
    ("AuthorizePayment", {"amount": None}, FIELD, ["amount"]),
    ("CreateTransfer", {"amount": None}, FIELD, ["amount"]),
    ("AuthorizePayment", {"capture_method": 4}, FIELD, ["capture_method"]),
    ("AuthorizePayment", {"capture_method": 3}, "", []),
    ("AuthorizePayment", {"hold_duration_seconds": 59}, FIELD, ["hold_duration_seconds"]),
    ("AuthorizePayment", {"hold_duration_seconds": -1}, FIELD, ["hold_duration_seconds"]),
    ("AuthorizePayment", {"hold_duration_seconds": 60}, "", []),
    ("AuthorizePayment", {"hold_duration_seconds": 2_678_400}, "", []),
    ("AuthorizePayment", {"hold_duration_seconds": 2_678_401}, FIELD, ["hold_duration_seconds"]),
    ("AuthorizePayment", {"description": "x" * 256}, FIELD, ["description"]),
    ("AuthorizePayment", {"description": "☕" * 255}, "", []),
    ("AuthorizePayment", {"description": CONTROL}, FIELD, ["description"]),
    ("AuthorizePayment", {"metadata": {str(n): "" for n in range(50)}}, "", []),
    ("AuthorizePayment", {"metadata": {str(n): "" for n in range(51)}}, FIELD, ["metadata"]),
    ("AuthorizePayment", {"metadata": {"": "x"}}, FIELD, ["metadata"]),
    ("AuthorizePayment", {"metadata": {"k" * 41: "x"}}, FIELD, ["metadata"]),
    ("AuthorizePayment", {"metadata": {"k": "v" * 501}}, FIELD, ["metadata"]),
    ("AuthorizePayment", {"metadata": {CONTROL: "", "b": CONTROL}}, FIELD, ["metadata"]),
    ("RefundPayment", {"description": CONTROL}, FIELD, ["description"]),
    ("ReversePayment", {"original_request_id": ""}, FIELD, ["original_request_id"]),
    ("GetPayment", {"payment_id": ""}, FIELD, ["merchant_id", "request_id"]),
    ("GetPayment", {"request_id": "x"}, FIELD, ["request_id"]),
    ("GetPayment", {"merchant_id": scripted.MERCHANT}, FIELD, ["merchant_id"]),
    ("ListPayments", {"page_size": -1}, FIELD, ["page_size"]),
    ("ListPayments", {"page_size": 201}, FIELD, ["page_size"]),
    ("ListPayments", {"page_size": 200}, "", []),
    ("ListPayments", {"page_token": "a b"}, "PAGE_TOKEN_INVALID", ["page_token"]),
    ("ListPayments", {"page_token": "x" * 8_193}, "PAGE_TOKEN_INVALID", ["page_token"]),
    ("ListPayments", {"merchant_id": "mer"}, FIELD, ["merchant_id"]),
    ("ListPayments", {"payer_account_id": WORLD}, FIELD, ["payer_account_id"]),
    ("ListAccounts", {"user_id": "x" * 129}, FIELD, ["user_id"]),
    ("CreateAccount", {"user_id": ""}, FIELD, ["user_id"]),
    ("CreateAccount", {"user_id": "x" * 129}, FIELD, ["user_id"]),
    ("CreateAccount", {"user_id": CONTROL}, FIELD, ["user_id"]),
    ("CreateAccount", {"currency_code": "EURO"}, CURRENCY, ["currency_code"]),
    ("CreateAccount", {"kind": account_pb2.Account.KIND_WORLD}, FIELD, ["kind"]),
    ("CreateAccount", {"kind": 99}, FIELD, ["kind"]),
    ("CreateAccount", {"floor_minor_units": 1}, AMOUNT, ["floor_minor_units"]),
    ("CreateAccount", {"floor_minor_units": -(10**15) - 1}, AMOUNT, ["floor_minor_units"]),
    ("CreateAccount", {"floor_minor_units": -(10**15)}, "", []),
    ("CreateAccount", {"region": "eu"}, "", []),
    ("CreateAccount", {"region": "EU"}, FIELD, ["region"]),
    ("CreateMerchant", {"region": "e"}, FIELD, ["region"]),
    (
        "CreateTransfer",
        {"destination_account_id": scripted.ACCOUNT},
        "ACCOUNTS_EQUAL",
        ["destination_account_id"],
    ),
    ("CreateTransfer", {"source_account_id": "suspense"}, FIELD, ["source_account_id"]),
    ("CreateTransfer", {"source_account_id": ""}, FIELD, ["source_account_id"]),
    ("GetBalanceAt", {"time": None}, FIELD, ["time"]),
    ("GetBalanceAt", {"time": timestamp_pb2.Timestamp(seconds=2**62)}, FIELD, ["time"]),
    ("GetBalanceAt", {"time": timestamp_pb2.Timestamp(nanos=-1)}, FIELD, ["time"]),
    ("CreateMerchant", {"reference": ""}, FIELD, ["reference"]),
    ("CreateMerchant", {"display_name": "x" * 256}, FIELD, ["display_name"]),
    (
        "CreateMerchant",
        {"settlement_terms": [requests.terms(), requests.terms("USD", 10_001)]},
        FIELD,
        ["settlement_terms[1].fee_schedule.basis_points"],
    ),
    (
        "CreateMerchant",
        {"settlement_terms": [requests.terms(), requests.terms()]},
        FIELD,
        ["settlement_terms[1].currency_code"],
    ),
    (
        "CreateMerchant",
        {"settlement_terms": [merchant_pb2.SettlementTerms(currency_code="EUR")]},
        FIELD,
        ["settlement_terms[0].account_id"],
    ),
    ("CreateMerchant", {"settlement_terms": [requests.terms()] * 51}, FIELD, ["settlement_terms"]),
]


@pytest.mark.parametrize(("name", "fields", "reason", "paths"), CASES)
def test_fields(name: str, fields: dict[str, Any], reason: str, paths: list[str]) -> None:
    assert problems(name, changed(name, **fields)) == (reason, paths)


@pytest.mark.parametrize(
    ("paths", "merchant", "expected"),
    [
        ([], {}, ["update_mask"]),
        (["*"], {}, ["update_mask"]),
        (["balance"], {}, ["update_mask"]),
        (["tenant_id"], {}, ["update_mask"]),
        (["reference"], {}, ["update_mask"]),
        (["settlement_terms.fee_schedule"], {}, ["update_mask"]),
        (["display_name", "version"], {}, ["update_mask"]),
        (["state"], {}, ["merchant.state"]),
        (["state"], {"state": 7}, ["merchant.state"]),
        (["state"], {"state": merchant_pb2.Merchant.STATE_SUSPENDED}, []),
        (["display_name"], {"state": 7}, []),
        (["display_name"], {"display_name": CONTROL}, ["merchant.display_name"]),
        (["display_name"], {"id": "mer_1"}, ["merchant.id"]),
        (
            ["settlement_terms"],
            {"settlement_terms": [requests.terms(basis_points=-1)]},
            ["merchant.settlement_terms[0].fee_schedule.basis_points"],
        ),
    ],
)
def test_only_what_the_mask_names_is_checked_and_may_change(
    paths: list[str], merchant: dict[str, Any], expected: list[str]
) -> None:
    request = merchant_pb2.UpdateMerchantRequest(
        request_id="u",
        merchant=merchant_pb2.Merchant(**({"id": scripted.MERCHANT} | merchant)),
        update_mask=field_mask_pb2.FieldMask(paths=paths),
    )

    assert problems("UpdateMerchant", request)[1] == expected


async def test_all_violations_come_at_once_and_the_values_stay_away(stack: Stack) -> None:
    pan = "4111111111111111"
    request = payment_pb2.AuthorizePaymentRequest(
        request_id=f"{pan}\n",
        payer_account_id=pan,
        merchant_id=pan,
        amount=money_pb2.Money(minor_units=-1, currency_code=pan),
        capture_method=77,  # type: ignore[arg-type]
        hold_duration_seconds=1,
        description=pan * 30,
        metadata={pan * 3: pan},
    )

    answer = await conftest.refusal(stack.call("AuthorizePayment", request))

    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert answer.reason == "AMOUNT_OUT_OF_RANGE"
    assert answer.fields == [
        "request_id",
        "payer_account_id",
        "merchant_id",
        "amount.minor_units",
        "amount.currency_code",
        "capture_method",
        "hold_duration_seconds",
        "description",
        "metadata",
    ]
    assert pan not in repr(answer)
    assert stack.processor.commands == []


async def test_a_flood_of_violations_still_reaches_the_caller(stack: Stack) -> None:
    terms = [merchant_pb2.SettlementTerms(currency_code=str(n)) for n in range(50)]
    request = merchant_pb2.CreateMerchantRequest(reference="", settlement_terms=terms)

    answer = await conftest.refusal(stack.call("CreateMerchant", request, key="operator"))

    assert len(answer.fields) == reasons.VIOLATIONS_MAX

"""Fields that are not valid: INVALID_ARGUMENT with the path of every one of them."""

from typing import Any

import pytest
from google.protobuf import timestamp_pb2
from google.protobuf.descriptor import FieldDescriptor

from tender.v1 import account_pb2, merchant_pb2, payment_pb2
from tests.badinput import requests, wire
from tests.badinput.requests import Field
from tests.badinput.wire import Wire
from tests.badinput.world import World, money

pytestmark = pytest.mark.usefixtures("unchanged")

TEXTS = requests.fields(FieldDescriptor.TYPE_STRING)
AMOUNTS = [
    field
    for field in requests.fields(FieldDescriptor.TYPE_INT64)
    if field.path == "amount.minor_units"
]
CURRENCIES = [field for field in TEXTS if field.name == "currency_code"]
CHANGING = [method for method in wire.PATHS if not wire.is_read(method)]
ENUMS = [
    field for field in requests.fields(FieldDescriptor.TYPE_ENUM) if field.path != "merchant.state"
]
IDS = [
    field for field in TEXTS if field.name.endswith("_id") and field.name not in {"user_id"}
    if not field.name.endswith("request_id")
]  # fmt: skip
BAD_TEXTS = {
    "NUL": "a\x00b",
    "line feed": "a\nb",
    "a log line": 'a\n{"level":"info"}',
    "ANSI": "a\x1b[31mb",
    "delete": "a\x7fb",
    "C1": "a\x85b",
    "line separator": "a\u2028b",
    "right to left": "a\u202eb",
    "10,000 letters": "x" * 10_000,
}
BAD_IDS = [
    *("x", "acc", "1", "acc_eu_" + "0" * 21, "acc_eu_" + "0" * 23, "ACC_EU_" + "0" * 22),
    *("acc_eu_" + "u" * 22, "../../etc/passwd", "' OR 1=1 --", "%s", "{0}", "pay_eu_1\u0660"),
]


def with_value(field: Field, world: World, value: Any) -> Any:
    """Return a request that is valid but for one field."""
    built = list(requests.variants(field.method, world))
    request: Any = built[0]
    if field.method == "GetPayment" and field.path != "payment_id":
        request = built[1]
    paths = getattr(getattr(request, "update_mask", None), "paths", None)
    if paths is not None and field.path.startswith("merchant.") and field.name != "id":
        del paths[:]
        paths.append(field.path.split(".")[1].removesuffix("[0]"))
    requests.put(request, field.path, value)
    return request


@pytest.mark.parametrize("field", TEXTS, ids=str)
async def test_control_characters_and_long_texts_are_refused_in_every_field(
    field: Field, wire: Wire, world: World
) -> None:
    for what, text in BAD_TEXTS.items():
        refused = await wire.refused(with_value(field, world, text))

        assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", (field.path,)), what
        assert "\\n{" not in refused.status


@pytest.mark.parametrize("field", AMOUNTS, ids=str)
@pytest.mark.parametrize("amount", [0, -1, 10**15 + 1, 2**63 - 1, -(2**63)])
async def test_an_amount_out_of_range_is_refused(
    field: Field, amount: int, wire: Wire, world: World
) -> None:
    refused = await wire.refused(with_value(field, world, amount))

    assert refused.brief == ("INVALID_ARGUMENT", "AMOUNT_OUT_OF_RANGE")
    assert refused.fields == ("amount.minor_units",)


def test_every_method_that_moves_an_amount_is_among_them() -> None:
    moving = {"AuthorizePayment", "CapturePayment", "RefundPayment", "CreateTransfer"}

    assert {field.method for field in AMOUNTS} == moving


@pytest.mark.parametrize("field", CURRENCIES, ids=str)
@pytest.mark.parametrize("code", ["", "eur", "EU", "EURO", "XXX", "XAU", "BTC", "978", "EUR "])
async def test_an_unknown_currency_is_refused(
    field: Field, code: str, wire: Wire, world: World
) -> None:
    refused = await wire.refused(with_value(field, world, code))

    assert refused.brief == ("INVALID_ARGUMENT", "CURRENCY_UNKNOWN")
    assert refused.fields == (field.path,)


@pytest.mark.parametrize("method", [field.method for field in AMOUNTS])
@pytest.mark.parametrize("currency", ["USD", "JPY", "BHD"])
async def test_another_currency_than_the_account_s_is_refused(
    method: str, currency: str, wire: Wire, world: World
) -> None:
    request = with_value(Field(method, "amount.currency_code"), world, currency)

    refused = await wire.refused(request)

    assert refused.brief == ("INVALID_ARGUMENT", "CURRENCY_MISMATCH")


async def test_accounts_in_two_currencies_do_not_meet(wire: Wire, world: World) -> None:
    for request in (
        requests.transfer(world, destination_account_id=world.yen),
        requests.transfer(world, source_account_id=world.yen),
        requests.authorize(world, payer_account_id=world.yen),
    ):
        assert (await wire.refused(request)).reason == "CURRENCY_MISMATCH"


@pytest.mark.parametrize("method", CHANGING)
@pytest.mark.parametrize("request_id", ["", "x" * 256, "\u00e9" * 128, " \t ", "a\x00", "\u200e"])
async def test_a_request_id_is_1_to_255_bytes_of_printable_text(
    method: str, request_id: str, wire: Wire, world: World
) -> None:
    refused = await wire.refused(with_value(Field(method, "request_id"), world, request_id))

    assert refused.brief == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert refused.fields == ("request_id",)


@pytest.mark.parametrize("field", IDS, ids=str)
async def test_a_malformed_id_is_refused(field: Field, wire: Wire, world: World) -> None:
    for text in BAD_IDS:
        refused = await wire.refused(with_value(field, world, text))

        assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", (field.path,)), text
        assert "OR 1=1" not in refused.status


METADATA: dict[str, dict[str, str]] = {
    "51 pairs": {f"k{number}": "v" for number in range(51)},
    "an empty key": {"": "v"},
    "a key of 41": {"k" * 41: "v"},
    "a value of 501": {"k": "v" * 501},
    "control in a key": {"k\n": "v"},
    "control in a value": {"k": "v\x00"},
}


@pytest.mark.parametrize("pairs", METADATA.values(), ids=METADATA.keys())
async def test_metadata_beyond_its_bounds_is_refused(
    pairs: dict[str, str], wire: Wire, world: World
) -> None:
    refused = await wire.refused(requests.authorize(world, metadata=pairs))

    assert refused.brief == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert refused.fields == ("metadata",)


@pytest.mark.parametrize("field", ENUMS, ids=str)
async def test_a_number_that_no_enum_has_is_refused(field: Field, wire: Wire, world: World) -> None:
    for number in (-1, 99, 2**31 - 1):
        refused = await wire.refused(with_value(field, world, number))

        assert (refused.reason, refused.fields) == ("FIELD_INVALID", (field.path,))


OTHER_FIELDS: list[tuple[str, str, Any]] = [
    *(("AuthorizePayment", "hold_duration_seconds", value) for value in (59, 2_678_401, -1)),
    *((m, "page_size", 201) for m in ("ListPayments", "ListAccounts", "ListTransfers")),
    *((m, "page_size", -1) for m in ("ListPayments", "ListAccounts", "ListTransfers")),
    *(("CreateAccount", "floor_minor_units", value) for value in (1, -(10**15) - 1, -(2**63))),
    ("CreateAccount", "kind", account_pb2.Account.KIND_WORLD),
    ("CreateAccount", "kind", account_pb2.Account.KIND_FEES),
    ("UpdateMerchant", "merchant.state", merchant_pb2.Merchant.STATE_UNSPECIFIED),
    ("UpdateMerchant", "merchant.state", 99),
    *(
        (method, f"{prefix}settlement_terms[0].fee_schedule.{name}", value)
        for method, prefix in (("CreateMerchant", ""), ("UpdateMerchant", "merchant."))
        for name, value in (
            *(("basis_points", -1), ("basis_points", 10_001)),
            *(("fixed_minor_units", -1), ("fixed_minor_units", 10**9 + 1)),
        )
    ),
]


@pytest.mark.parametrize(("method", "path", "value"), OTHER_FIELDS)
async def test_a_number_out_of_its_range_is_refused(
    method: str, path: str, value: int, wire: Wire, world: World
) -> None:
    refused = await wire.refused(with_value(Field(method, path), world, value))

    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", (path,))


async def test_every_field_that_is_wrong_is_named(wire: Wire) -> None:
    refused = await wire.refused(payment_pb2.AuthorizePaymentRequest(hold_duration_seconds=1))

    assert set(refused.fields) == {
        *("request_id", "payer_account_id", "merchant_id", "amount", "hold_duration_seconds"),
    }


@pytest.mark.parametrize(
    "path", ["id", "tenant_id", "balance", "version", "fee_schedule", "create_time", "*", ""]
)
async def test_a_mask_names_only_what_may_be_changed(path: str, wire: Wire, world: World) -> None:
    refused = await wire.refused(requests.update(world, "display_name", path))

    assert (refused.reason, refused.fields) == ("FIELD_INVALID", ("update_mask",))


async def test_terms_repeat_no_currency_and_are_at_most_fifty(wire: Wire, world: World) -> None:
    term = requests.terms(world)
    twice = requests.update(world, "settlement_terms", settlement_terms=[term, term])
    many = requests.update(world, "settlement_terms", settlement_terms=[term] * 51)

    assert (await wire.refused(twice)).fields == ("merchant.settlement_terms[1].currency_code",)
    assert (await wire.refused(many)).fields == ("merchant.settlement_terms",)


@pytest.mark.parametrize("token", ["x", "AAAA", "../..", "a" * 1_025, "%00", "\u0660"])
async def test_a_page_token_that_no_page_gave_is_refused(
    token: str, wire: Wire, world: World
) -> None:
    for method in ("ListPayments", "ListAccounts", "ListTransfers"):
        refused = await wire.refused(with_value(Field(method, "page_token"), world, token))

        assert refused.brief == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")


async def test_a_page_token_of_another_list_or_tenant_is_refused(wire: Wire, world: World) -> None:
    page = await wire.ask(account_pb2.ListAccountsRequest(page_size=1))
    token = page.next_page_token
    assert token

    for request, key in (
        (account_pb2.ListAccountsRequest(user_id="payer", page_token=token), "dev"),
        (account_pb2.ListAccountsRequest(page_token=token), "other"),
        (payment_pb2.ListPaymentsRequest(page_token=token), "dev"),
        (account_pb2.ListTransfersRequest(account_id=world.payer, page_token=token), "dev"),
    ):
        assert (await wire.refused(request, key)).reason == "PAGE_TOKEN_INVALID"


async def test_a_balance_is_known_only_of_the_past(wire: Wire, world: World) -> None:
    soon = timestamp_pb2.Timestamp(seconds=requests.now().seconds + 60)
    early = timestamp_pb2.Timestamp(seconds=1)
    broken = timestamp_pb2.Timestamp(seconds=1, nanos=-1)

    def at(time: timestamp_pb2.Timestamp | None) -> account_pb2.GetBalanceAtRequest:
        return account_pb2.GetBalanceAtRequest(account_id=world.payer, time=time)

    for time in (soon, broken, None):
        refused = await wire.refused(at(time))
        assert (refused.brief, refused.fields) == (
            ("INVALID_ARGUMENT", "FIELD_INVALID"),
            ("time",),
        )
    assert (await wire.refused(at(early))).brief == ("OUT_OF_RANGE", "HISTORY_MISSING")


async def test_a_payment_is_named_in_one_way(wire: Wire, world: World) -> None:
    both = payment_pb2.GetPaymentRequest(
        payment_id=world.captured, merchant_id=world.shop, request_id=world.paid_request
    )
    half = payment_pb2.GetPaymentRequest(merchant_id=world.shop)

    assert (await wire.refused(both)).fields == ("merchant_id", "request_id")
    assert (await wire.refused(half)).fields == ("request_id",)


async def test_an_amount_must_be_given(wire: Wire, world: World) -> None:
    for request in (requests.authorize(world), requests.transfer(world)):
        request.ClearField("amount")

        assert (await wire.refused(request)).fields == ("amount",)


async def test_the_largest_amount_is_a_decline_and_no_refusal(wire: Wire, world: World) -> None:
    refused = await wire.refused(
        payment_pb2.RefundPaymentRequest(
            request_id="largest", payment_id=world.captured, amount=money(10**15)
        )
    )

    assert refused.reason == "REFUND_EXCEEDS_CAPTURED"

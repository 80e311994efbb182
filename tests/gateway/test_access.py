"""Who may do what: every public method against every kind of caller, taken from the contract."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from gateway import access, methods, validation
from kit import api_keys
from tender.v1 import account_pb2, lane_pb2, merchant_pb2, payment_pb2
from tests.gateway import conftest, requests, scripted
from tests.gateway.conftest import Stack

SERVICES = [
    payment_pb2.DESCRIPTOR.services_by_name["PaymentService"],
    account_pb2.DESCRIPTOR.services_by_name["AccountService"],
    merchant_pb2.DESCRIPTOR.services_by_name["MerchantService"],
]
PATHS = [
    f"/{service.full_name}/{method.name}" for service in SERVICES for method in service.methods
]
NAMES = [path.rpartition("/")[2] for path in PATHS]


@pytest.mark.parametrize("path", PATHS)
def test_every_method_of_the_contract_has_all_its_rules(path: str) -> None:
    route = methods.ROUTES[path]

    assert route.allowed
    assert route.allowed <= set(methods.SCOPES)
    assert route.name in requests.VALID


@pytest.mark.parametrize("method", methods.METHODS.values(), ids=lambda method: method.name)
def test_every_command_and_query_has_all_its_rules(method: methods.Method) -> None:
    assert validation.RULES[method.number]
    assert method.number in access.RULES
    assert lane_pb2.Method.Name(method.number).startswith("METHOD_")


@pytest.mark.parametrize("path", PATHS)
async def test_a_call_without_a_key_is_refused(stack: Stack, path: str) -> None:
    answer = await conftest.refusal(stack.call_bytes(path, b"", key=None))

    assert (answer.code, answer.reason) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "CREDENTIALS_MISSING",
    )


@pytest.mark.parametrize("path", PATHS)
async def test_a_call_with_a_wrong_key_is_refused(stack: Stack, path: str) -> None:
    metadata = (("authorization", f"Bearer {api_keys.generate().text}"),)

    answer = await conftest.refusal(stack.call_bytes(path, b"", key=None, metadata=metadata))

    assert (answer.code, answer.reason) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "CREDENTIALS_INVALID",
    )
    assert stack.processor.commands == []
    assert stack.processor.reads == []


@pytest.mark.parametrize("name", NAMES)
async def test_each_role_gets_exactly_what_the_table_allows(stack: Stack, name: str) -> None:
    allowed = methods.ALLOWED[name]
    for role in methods.SCOPES:
        call = stack.call(name, requests.VALID[name], key=role)
        if role in allowed:
            await call
            continue

        answer = await conftest.refusal(call)

        assert (answer.code, answer.reason) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "SCOPE_MISSING",
        )
        assert answer.metadata == {"scope": " or ".join(sorted(allowed))}
    sent = len(stack.processor.commands) + len(stack.processor.reads)
    assert sent == len(allowed)


@pytest.mark.parametrize(
    "path",
    [
        "/tender.v1.PaymentService/Nothing",
        "/tender.v1.LaneService/Execute",
        "/tender.v1.QueryService/GetApiKey",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.channelz.v1.Channelz/GetServers",
        "/",
    ],
)
async def test_a_method_without_a_rule_does_not_exist(stack: Stack, path: str) -> None:
    answer = await conftest.refusal(stack.call_bytes(path, b"", key="operator"))

    assert (answer.code, answer.reason) == (grpc.StatusCode.UNIMPLEMENTED, "METHOD_UNKNOWN")


@pytest.mark.parametrize(
    "metadata",
    [
        (("authorization", "{key}"),),
        (("authorization", "Basic {key}"),),
        (("authorization", "Bearer  {key}"),),
        (("authorization", "Bearer {key}x"),),
        (("authorization", "Bearer "),),
        (("authorization", "Bearer " + "x" * 5_000),),
        (("authorization", "Bearer {key}"), ("authorization", "Bearer {key}")),
        (("authorization", "Bearer {key}"), ("authorization", "Bearer wrong")),
        (("authorization", "Bearer {key}"), ("authorization-bin", b"x")),
        (("authorization-bin", b"Bearer {key}"),),
    ],
)
async def test_credentials_in_any_other_form_are_refused(
    stack: Stack, metadata: tuple[tuple[str, str | bytes], ...]
) -> None:
    key = stack.keys["service"]
    given = tuple(
        (name, value.format(key=key) if isinstance(value, str) else value)
        for name, value in metadata
    )

    answer = await conftest.refusal(
        stack.call("ListPayments", requests.VALID["ListPayments"], key=None, metadata=given)
    )

    assert answer.code is grpc.StatusCode.UNAUTHENTICATED
    assert key not in repr(answer)
    assert stack.processor.reads == []


async def test_the_scheme_may_be_written_in_any_case(stack: Stack) -> None:
    metadata = (("authorization", f"bearer {stack.keys['service']}"),)

    await stack.call("ListPayments", payment_pb2.ListPaymentsRequest(), key=None, metadata=metadata)


async def test_headers_that_name_a_tenant_say_nothing(stack: Stack) -> None:
    metadata = (("x-tenant-id", "evil"), ("x-user-id", "root"), ("x-forwarded-for", "::1"))

    await stack.call("AuthorizePayment", requests.authorize(), metadata=metadata)

    (command,) = stack.processor.commands
    assert command.principal == lane_pb2.Principal(tenant_id="acme")


async def test_the_principal_says_who_the_key_belongs_to(stack: Stack) -> None:
    await stack.call("FreezeAccount", requests.VALID["FreezeAccount"], key="operator")
    await stack.call("AuthorizePayment", requests.authorize(), key="merchant")

    assert [command.principal for command in stack.processor.commands] == [
        lane_pb2.Principal(tenant_id="acme", operator=True),
        lane_pb2.Principal(tenant_id="acme", merchant_id=scripted.MERCHANT),
    ]


@pytest.mark.parametrize(
    ("name", "request_message", "reason"),
    [
        (
            "AuthorizePayment",
            requests.authorize(merchant_id=scripted.OTHER_MERCHANT),
            "MERCHANT_UNKNOWN",
        ),
        (
            "ReversePayment",
            payment_pb2.ReversePaymentRequest(
                request_id="x",
                original_request_id="order-1",
                payer_account_id=scripted.ACCOUNT,
                merchant_id=scripted.OTHER_MERCHANT,
            ),
            "MERCHANT_UNKNOWN",
        ),
        (
            "GetPayment",
            payment_pb2.GetPaymentRequest(merchant_id=scripted.OTHER_MERCHANT, request_id="o"),
            "PAYMENT_UNKNOWN",
        ),
        (
            "ListPayments",
            payment_pb2.ListPaymentsRequest(merchant_id=scripted.OTHER_MERCHANT),
            "MERCHANT_UNKNOWN",
        ),
        (
            "GetMerchant",
            merchant_pb2.GetMerchantRequest(merchant_id=scripted.OTHER_MERCHANT),
            "MERCHANT_UNKNOWN",
        ),
    ],
)
async def test_another_merchant_is_as_if_unknown(
    stack: Stack, name: str, request_message: Message, reason: str
) -> None:
    answer = await conftest.refusal(stack.call(name, request_message, key="merchant"))

    assert (answer.code, answer.reason) == (grpc.StatusCode.NOT_FOUND, reason)
    assert stack.processor.commands == []
    assert stack.processor.reads == []


async def test_a_merchants_list_is_its_own(stack: Stack) -> None:
    await stack.call("ListPayments", payment_pb2.ListPaymentsRequest(page_size=3), key="merchant")

    (read,) = stack.processor.reads
    assert payment_pb2.ListPaymentsRequest.FromString(read.request) == (
        payment_pb2.ListPaymentsRequest(page_size=3, merchant_id=scripted.MERCHANT)
    )


WORLD_ID = "sys_eu_s1_acme_world_EUR"


@pytest.mark.parametrize(
    "account_id",
    [
        *("world", "fees", WORLD_ID, "sys_eu_s1_acme_fees_EUR", "sys_eu_s1_acme_suspense_EUR"),
        "sys_eu_s1_acme_clearing.s2_EUR",
    ],
)
@pytest.mark.parametrize("side", ["source_account_id", "destination_account_id"])
async def test_the_operators_accounts_need_the_operator(
    stack: Stack, account_id: str, side: str
) -> None:
    transfer = account_pb2.CreateTransferRequest.FromString(
        requests.VALID["CreateTransfer"].SerializeToString()
    )
    setattr(transfer, side, account_id)

    answer = await conftest.refusal(stack.call("CreateTransfer", transfer, key="service"))

    assert (answer.reason, answer.metadata) == ("SCOPE_MISSING", {"scope": "operator"})
    assert stack.processor.commands == []
    await stack.call("CreateTransfer", transfer, key="operator")


async def test_money_never_enters_through_a_payment(stack: Stack) -> None:
    for account_id in ("world", WORLD_ID):
        answer = await conftest.refusal(
            stack.call("AuthorizePayment", requests.authorize(payer_account_id=account_id))
        )

        assert (answer.reason, answer.fields) == ("FIELD_INVALID", ["payer_account_id"])


async def test_an_overdraft_needs_the_operator(stack: Stack) -> None:
    account = account_pb2.CreateAccountRequest(
        request_id="a", user_id="u", currency_code="EUR", floor_minor_units=-1
    )

    answer = await conftest.refusal(stack.call("CreateAccount", account, key="service"))

    assert (answer.reason, answer.metadata) == ("SCOPE_MISSING", {"scope": "operator"})
    await stack.call("CreateAccount", account, key="operator")


@pytest.mark.parametrize(
    ("scopes", "merchant_id"),
    [
        (["merchant"], ""),
        (["operator", "service"], scripted.MERCHANT),
        (["root"], ""),
        ([], ""),
        ([], scripted.MERCHANT),
    ],
)
async def test_a_key_whose_record_makes_no_sense_may_do_nothing(
    stack: Stack, scopes: list[str], merchant_id: str
) -> None:
    stack.keys["odd"] = stack.processor.add_key(*scopes, merchant_id=merchant_id)

    for name in ("AuthorizePayment", "CreateTransfer", "FreezeAccount", "GetMerchant"):
        answer = await conftest.refusal(stack.call(name, requests.VALID[name], key="odd"))

        assert answer.reason == "SCOPE_MISSING"


async def test_health_is_open_and_reflection_is_not(stack: Stack) -> None:
    path = "/grpc.health.v1.Health/Check"

    assert await stack.call_bytes(path, b"", key=None) == b"\x08\x01"
    named = b"\n\x18tender.v1.PaymentService"
    assert await stack.call_bytes(path, named, key=None) == b"\x08\x01"
    for data, code in (
        (b"\n\x04nope", grpc.StatusCode.NOT_FOUND),
        (b"\xff", grpc.StatusCode.INVALID_ARGUMENT),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stack.call_bytes(path, data, key=None)
        assert caught.value.code() is code
        assert "Error" not in (caught.value.details() or "")


async def test_reflection_shows_the_contract_when_enabled(tmp_path: Path) -> None:
    async with conftest.running(tmp_path, reflection=True) as stack:
        stream: Any = stack.channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        )()
        async with asyncio.timeout(conftest.CALL_SECONDS_MAX):
            await stream.write(b"\x3a\x00")  # list_services: ""
            answer = await stream.read()
        stream.cancel()

        assert b"tender.v1.PaymentService" in answer
        assert b"LaneService" not in answer

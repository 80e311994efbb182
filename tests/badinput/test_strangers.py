"""Ids of others: every method that takes an id answers as if there were no such thing."""

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tests.badinput import requests
from tests.badinput.requests import Field
from tests.badinput.wire import PATHS, Wire
from tests.badinput.world import World

pytestmark = pytest.mark.usefixtures("unchanged")

LISTS = {"ListPayments", "ListAccounts"}  # A filter by what is not one's own finds nothing.
NO_RESOURCE = {"request_id", "original_request_id", "user_id"}
UNKNOWN = {kind: f"{kind}_eu_{'0' * 22}" for kind in ("acc", "pay", "mer")}
ID_FIELDS = [
    field
    for field in requests.fields(FieldDescriptor.TYPE_STRING)
    if (field.name.endswith("_id") or field.name == "id") and field.name not in NO_RESOURCE
]
ANY_PAYER = {"payer_account_id"}  # A merchant is paid by everybody.
OF_A_MERCHANT = [
    Field(method, path)
    for method, path in ID_FIELDS
    if method
    in {
        *("AuthorizePayment", "CapturePayment", "VoidPayment", "RefundPayment", "ReversePayment"),
        *("GetPayment", "ListPayments", "GetAccount", "ListTransfers", "GetBalanceAt"),
        "GetMerchant",
    }
    and path not in ANY_PAYER
]


def kind_of(field: Field) -> str:
    """Return the prefix of the ids that belong there; a new kind of id fails here."""
    name = field.path if field.name == "id" else field.name
    [kind] = [kind for kind in ("account", "payment", "merchant") if kind in name]
    return kind[:3]


def with_id(field: Field, world: World, value: str) -> Message:
    """Return a request that is valid but for one id."""
    for request in requests.variants(field.method, world):
        holder = request if "." not in field.path else None
        if holder is None or getattr(holder, field.path) or field.method == "ListPayments":
            requests.put(request, field.path, value)
            return request
    raise AssertionError(f"no valid request has {field}")


def test_every_method_with_an_id_is_among_them() -> None:
    without = {"CreateAccount", "ListAccounts", "GetRequest"}

    assert {field.method for field in ID_FIELDS} == set(PATHS) - without


@pytest.mark.parametrize("field", ID_FIELDS, ids=str)
async def test_an_id_of_another_tenant_is_as_unknown(
    field: Field, wire: Wire, world: World, other: World
) -> None:
    kind = kind_of(field)
    theirs = {"acc": other.payer, "pay": other.captured, "mer": other.shop}[kind]

    answers = {}
    for value in (UNKNOWN[kind], theirs):
        answer = await wire.outcome(with_id(field, world, value))
        answers[value] = answer.replace(value, "ID")

    assert answers[theirs] == answers[UNKNOWN[kind]]
    if field.method not in LISTS:
        refused = await wire.refused(with_id(field, world, theirs))
        assert refused.code == "NOT_FOUND"
        assert refused.reason.endswith("_UNKNOWN")


@pytest.mark.parametrize("field", OF_A_MERCHANT, ids=str)
async def test_a_merchant_sees_only_its_own(field: Field, wire: Wire, world: World) -> None:
    kind = kind_of(field)
    theirs = {"acc": world.bar_wallet, "pay": world.of_bar, "mer": world.bar}[kind]

    answers = {}
    for value in (UNKNOWN[kind], theirs):
        refused = await wire.refused(with_id(field, world, value), "merchant")
        answers[value] = refused.status.replace(value, "ID")
        assert refused.code == "NOT_FOUND"

    assert answers[theirs] == answers[UNKNOWN[kind]]


async def test_a_request_id_of_another_tenant_leads_to_nothing(
    wire: Wire, world: World, other: World
) -> None:
    [_, by_request] = requests.variants("GetPayment", world)

    answers = set()
    for request_id in (other.paid_request, "unknown"):
        requests.put(by_request, "request_id", request_id)
        answers.add((await wire.refused(by_request)).status.replace(request_id, "ID"))

    assert len(answers) == 1


async def test_lists_of_a_tenant_show_nothing_of_another(
    wire: Wire, world: World, other: World
) -> None:
    for method in ("ListPayments", "ListAccounts"):
        request = type(requests.valid(method, world))()
        ours, theirs = await wire.outcome(request), await wire.outcome(request, "other")

        assert world.payer in ours
        assert other.payer in theirs
        assert other.payer not in ours
        assert world.payer not in theirs


async def test_what_a_client_says_of_itself_in_metadata_is_ignored(
    wire: Wire, world: World, other: World
) -> None:
    claims = (
        ("x-tenant-id", "other"),
        ("x-user-id", "admin"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-merchant-id", other.shop),
        ("x-scopes", "operator"),
    )
    request = with_id(Field("GetAccount", "account_id"), world, other.payer)

    plain, claiming = await wire.refused(request), await wire.refused(request, "dev", claims)

    assert claiming.status == plain.status
    freeze = requests.valid("FreezeAccount", world)
    assert (await wire.refused(freeze, "service", claims)).reason == "SCOPE_MISSING"


async def test_what_is_stored_of_a_request_is_shown_to_its_own_tenant_alone(
    wire: Wire, world: World, other: World
) -> None:
    [own] = requests.variants("GetRequest", world)
    found = await wire.ask(own)
    assert found.requests[0].authorized.payment.id

    answers = set()
    for request_id in (other.paid_request, "unknown"):
        requests.put(own, "request_id", request_id)
        refused = await wire.refused(own)
        assert (refused.code, refused.reason) == ("NOT_FOUND", "REQUEST_UNKNOWN")
        answers.add(refused.status.replace(request_id, "ID"))
    assert len(answers) == 1
    assert (await wire.refused(own, "merchant")).reason == "SCOPE_MISSING"

"""No key, a wrong key, a key without the scope: refused before anything is looked at."""

import pytest

from kit import api_keys
from tests.badinput import requests
from tests.badinput.wire import PATHS, Metadata, Wire, refusal
from tests.badinput.world import World

pytestmark = pytest.mark.usefixtures("unchanged")

# Kept here a second time, so that the gateway's table cannot be wrong all alone.
OPERATOR_ALONE = {
    *("FreezeAccount", "UnfreezeAccount", "CloseAccount", "CreateMerchant", "UpdateMerchant"),
}
NOT_THE_OPERATOR = {
    *("AuthorizePayment", "CapturePayment", "VoidPayment", "RefundPayment", "ReversePayment"),
}
NOT_A_MERCHANT = OPERATOR_ALONE | {"CreateAccount", "ListAccounts", "CreateTransfer", "GetRequest"}
REFUSED_TO = {
    "service": OPERATOR_ALONE,
    "operator": NOT_THE_OPERATOR,
    "merchant": NOT_A_MERCHANT,
}
BEARER = "Bearer {key}"
OTHER_FORMS: dict[str, Metadata] = {
    "without a scheme": (("authorization", "{key}"),),
    "another scheme": (("authorization", "Basic {key}"),),
    "two spaces": (("authorization", "Bearer  {key}"),),
    "a letter more": (("authorization", "Bearer {key}x"),),
    "only the scheme": (("authorization", "Bearer "),),
    "5,000 letters": (("authorization", "Bearer " + "x" * 5_000),),
    "twice the same": (("authorization", BEARER), ("authorization", BEARER)),
    "one right, one wrong": (("authorization", BEARER), ("authorization", "Bearer wrong")),
    "also in binary": (("authorization", BEARER), ("authorization-bin", b"Bearer {key}")),
    "only in binary": (("authorization-bin", b"Bearer {key}"),),
    "as another header": (("x-api-key", "{key}"),),
}


@pytest.mark.parametrize("method", PATHS)
async def test_no_key_and_a_wrong_key_are_refused(method: str, wire: Wire) -> None:
    wrong = (("authorization", f"Bearer {api_keys.generate().text}"),)

    none = await refusal(wire.send(method, b"", key=None))
    unknown = await refusal(wire.send(method, b"", key=None, metadata=wrong))

    assert none.brief == ("UNAUTHENTICATED", "CREDENTIALS_MISSING")
    assert unknown.brief == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")


@pytest.mark.parametrize("method", PATHS)
@pytest.mark.parametrize("role", REFUSED_TO)
async def test_a_key_without_the_scope_is_refused(method: str, role: str, wire: Wire) -> None:
    """Bytes that are no message tell who came past the door: the others are told of the door."""
    refused = await refusal(wire.send(method, b"\xff", role))

    if method in REFUSED_TO[role]:
        assert refused.brief == ("PERMISSION_DENIED", "SCOPE_MISSING")
        assert refused.metadata.keys() == {"scope"}
    else:
        assert refused.reason == "MESSAGE_MALFORMED"


@pytest.mark.parametrize("form", OTHER_FORMS)
async def test_a_key_in_any_other_form_is_refused(form: str, wire: Wire) -> None:
    key = wire.keys["dev"]
    metadata = tuple(
        (name, value.format(key=key) if isinstance(value, str) else value)
        for name, value in OTHER_FORMS[form]
    )

    refused = await refusal(wire.send("ListPayments", b"", key=None, metadata=metadata))

    assert refused.code == "UNAUTHENTICATED"
    assert key not in refused.status


async def test_a_secret_under_another_key_s_id_is_refused(wire: Wire) -> None:
    known = api_keys.parse(wire.keys["dev"])
    assert known is not None
    forged = api_keys.ApiKey(known.key_id, api_keys.generate().secret)
    metadata = (("authorization", f"Bearer {forged.text}"),)

    refused = await refusal(wire.send("ListPayments", b"", key=None, metadata=metadata))

    assert refused.brief == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")


@pytest.mark.parametrize("side", ["source_account_id", "destination_account_id"])
@pytest.mark.parametrize("account", ["world", "fees", "sys_eu_s1_dev_world_EUR"])
async def test_the_operator_s_accounts_need_the_operator(
    side: str, account: str, wire: Wire, world: World
) -> None:
    refused = await wire.refused(requests.transfer(world, **{side: account}), "service")

    assert refused.brief == ("PERMISSION_DENIED", "SCOPE_MISSING")
    assert refused.metadata == {"scope": "operator"}


async def test_an_overdraft_needs_the_operator(wire: Wire, world: World) -> None:
    overdraft = requests.valid("CreateAccount", world)
    requests.put(overdraft, "floor_minor_units", -1)

    refused = await wire.refused(overdraft, "service")

    assert refused.brief == ("PERMISSION_DENIED", "SCOPE_MISSING")

"""Seals of records and operation ids: nobody makes one up, and each is for whom it was given to."""

import pytest

from gateway.intake.commands import MERCHANT, OPERATION, PRINCIPAL, SCHEMA, SEAL, TENANT
from gateway.intake.reading import Command, Reader, Unreadable
from gateway.intake.seals import CORE_BYTES, Seals, core_of, derived, first_id_since, new_core
from tender import commands, operations
from tender.v1 import lane_pb2
from tests.intake.doubles import Given

OLD, NEW, FOREIGN = (derived(text * 8) for text in ("old key!", "new key!", "another!"))
NOW_MS = 1_790_000_000_000
CALL = commands.void(payment_id="pay_eu_01m80erkep5g3zaghphbxy", request_id="r1")
VALUE = operations.submit(CALL).request.command.SerializeToString()  # type: ignore[attr-defined]
KEY = b"pay_eu_01m80erkep5g3zaghphbxy"
PRINCIPAL_BYTES = lane_pb2.Principal(tenant_id="acme").SerializeToString()


def sealed(seals: Seals, **changed: bytes) -> Given:
    core = new_core(NOW_MS)
    headers = {
        SCHEMA: b"1",
        OPERATION: core,
        PRINCIPAL: PRINCIPAL_BYTES,
        SEAL: seals.seal(core, PRINCIPAL_BYTES, KEY, VALUE),
    }
    value, key = changed.pop("value", VALUE), changed.pop("key", KEY)
    return Given(key, value, {**headers, **changed})


def reader(*keys: bytes, tenants: frozenset[str] = frozenset()) -> Reader:
    return Reader(Seals(keys), "commands", tenants)


def read(record: Given, *keys: bytes, tenants: frozenset[str] = frozenset()) -> Command:
    found = reader(*keys, tenants=tenants)(record, 3)
    assert isinstance(found, Command), found
    return found


def test_what_was_sealed_is_read_with_its_caller() -> None:
    command = read(sealed(Seals([NEW])), NEW)

    assert command.caller.principal.tenant_id == "acme"
    assert command.accepted_ms == NOW_MS
    assert command.asked.order_key.encode() == KEY
    assert command.error == b""
    assert command.is_sealed


@pytest.mark.parametrize(
    "changed",
    [
        {"value": VALUE + b" "},
        {"key": b"another"},
        {PRINCIPAL: lane_pb2.Principal(tenant_id="emca").SerializeToString()},
        {OPERATION: new_core(NOW_MS)},
        {OPERATION: b"short"},
        {SEAL: b""},
        {SEAL: bytes(32)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_was_changed_after_it_was_sealed_is_not_taken(changed: dict[str, bytes]) -> None:
    found = reader(NEW, tenants=frozenset({"acme"}))(sealed(Seals([NEW]), **changed), 3)

    assert isinstance(found, Unreadable)
    assert found.cause == "SEAL_INVALID"


def test_keys_can_be_changed_while_commands_wait() -> None:
    record = sealed(Seals([OLD]))
    told = Seals([OLD]).operation_id(record.header(OPERATION), 3, "acme", "")

    assert read(record, NEW, OLD).operation_id == told
    assert Seals([NEW, OLD]).read_id(told, "acme", "") is not None
    assert isinstance(reader(NEW)(record, 3), Unreadable)


def test_an_id_is_known_to_its_tenant_alone() -> None:
    seals = Seals([NEW])
    given = seals.operation_id(new_core(NOW_MS), 7, "acme", "")

    known = seals.read_id(given, "acme", "")
    assert known is not None
    assert (known.partition, known.accepted_ms) == (7, NOW_MS)
    assert seals.read_id(given, "emca", "") is None
    assert Seals([FOREIGN]).read_id(given, "acme", "") is None


def test_a_merchant_s_key_sees_its_own_and_the_tenant_both() -> None:
    seals = Seals([NEW])
    own = seals.operation_id(new_core(NOW_MS), 7, "acme", "mer_1")
    of_all = seals.operation_id(new_core(NOW_MS), 7, "acme", "")

    assert seals.read_id(own, "acme", "mer_1") is not None
    assert seals.read_id(own, "acme", "") is not None
    assert seals.read_id(own, "acme", "mer_2") is None
    assert seals.read_id(of_all, "acme", "mer_1") is None


def test_one_operation_has_one_id() -> None:
    seals = Seals([NEW])
    given = seals.operation_id(new_core(NOW_MS), 7, "acme", "")
    last = "0123456789abcdefghijklmnopqrstuv".index(given[-1])

    # Four bits of the last letter say nothing.
    for bits in range(1, 16):
        other = given[:-1] + "0123456789abcdefghijklmnopqrstuv"[last ^ bits]
        assert seals.read_id(other, "acme", "") is None


def test_ids_are_in_the_order_of_time() -> None:
    seals = Seals([NEW])
    times = [NOW_MS, NOW_MS + 1, NOW_MS + 60_000]

    ids = [seals.operation_id(new_core(ms), 0, "acme", "") for ms in times]

    assert ids == sorted(ids)
    assert first_id_since(times[1]) <= ids[1]
    assert ids[0] < first_id_since(times[1])


@pytest.mark.parametrize("ms", [-5, 0, 2**60])
def test_any_time_that_somebody_else_s_record_says_can_be_written(ms: int) -> None:
    assert len(core_of(ms, "commands/1/1")) == CORE_BYTES


def test_without_a_seal_only_listed_tenants_count_and_merchants_narrow_them() -> None:
    bare = Given(KEY, VALUE, {TENANT: b"acme", MERCHANT: b"mer_1"}, timestamp=1_790_000_000.0)

    command = read(bare, NEW, tenants=frozenset({"acme"}))
    refused = reader(NEW, tenants=frozenset({"other"}))(bare, 3)

    assert command.caller.merchant_id == "mer_1"
    assert not command.is_sealed
    assert command.operation_id == read(bare, NEW, tenants=frozenset({"acme"})).operation_id
    assert isinstance(refused, Unreadable)
    assert refused.cause == "TENANT_NOT_ALLOWED"


def test_an_empty_tenant_is_nobody_s() -> None:
    refused = reader(NEW, tenants=frozenset({"acme"}))(Given(KEY, VALUE, {}), 3)

    assert isinstance(refused, Unreadable)
    assert refused.cause == "TENANT_NOT_ALLOWED"

"""Bad payment commands over a stream: the errors are those of the single calls, to the letter."""

from typing import Any, Final

import grpc
import pytest
from google.protobuf.message import Message

from tender.v1 import payment_pb2
from tests.badinput import requests, test_fields
from tests.badinput.wire import AUTHORIZE_PAYMENTS, STREAM_PAYMENTS, Wire, read_status
from tests.badinput.world import World

KINDS: Final = {
    "AuthorizePayment": "authorize",
    "CapturePayment": "capture",
    "VoidPayment": "void",
    "RefundPayment": "refund",
    "ReversePayment": "reverse",
}
NOT_ITSELF: Final = "request_id"  # What it is matched by is another test's.


def bad(kind: str, world: World) -> list[Message]:
    """Return requests of a method, each with one field that is not valid."""
    found: list[Message] = []
    for fields, values in (
        (test_fields.TEXTS, [*test_fields.BAD_TEXTS.values(), "4111 1111 1111 1111"]),
        (test_fields.IDS, test_fields.BAD_IDS),
        (test_fields.AMOUNTS, [0, -1, 10**15 + 1]),
        (test_fields.CURRENCIES, ["", "eur", "XXX"]),
        (test_fields.ENUMS, [99]),
    ):
        found += [
            test_fields.with_value(field, world, value)
            for field in fields
            if field.method == kind and field.path != NOT_ITSELF
            for value in values
        ]
    return found


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("kind", KINDS)
async def test_a_bad_command_of_a_stream_gets_the_error_of_its_single_call(
    kind: str, wire: Wire, world: World
) -> None:
    given = bad(kind, world)
    commands: list[payment_pb2.PaymentCommand] = []
    for request in given:
        one: Any = {KINDS[kind]: request}
        commands.append(payment_pb2.PaymentCommand(**one))

    outcomes = await wire.over_a_stream(commands)

    assert len(given) > 10
    for request, outcome in zip(given, outcomes, strict=True):
        if outcome.WhichOneof("result") == "error":
            assert read_status(outcome.error) == await wire.refused(request)
        else:
            # Not every value is bad in every field: then the single call takes it too.
            await wire.ask(request)


@pytest.mark.usefixtures("unchanged")
async def test_a_stranger_s_payments_are_as_if_unknown_over_a_stream(
    wire: Wire, world: World
) -> None:
    command = payment_pb2.PaymentCommand(
        void=payment_pb2.VoidPaymentRequest(
            request_id="stranger-1", payment_id="pay_eu_" + "0" * 22
        )
    )

    (outcome,) = await wire.over_a_stream([command])

    assert read_status(outcome.error).brief == ("NOT_FOUND", "PAYMENT_UNKNOWN")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("path", [AUTHORIZE_PAYMENTS, STREAM_PAYMENTS])
@pytest.mark.parametrize("data", [b"\xff\xff", b"\x0a\x02\xff\xff", b"\xa3\x06" * 3_000])
async def test_what_cannot_be_read_is_refused_whole(path: str, data: bytes, wire: Wire) -> None:
    method: Any = wire.channel.unary_unary(path)
    call = method(data, metadata=(("authorization", f"Bearer {wire.keys['dev']}"),), timeout=5)

    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_every_kind_of_command_is_among_them() -> None:
    fields = payment_pb2.PaymentCommand.DESCRIPTOR.fields

    assert {field.name for field in fields} == set(KINDS.values())
    assert set(KINDS) <= set(requests._VARIANTS)

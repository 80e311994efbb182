"""Card numbers where none belongs: refused in every free text, and found nowhere afterwards (I12).

Only numbers as card brands issue them count: a known prefix, its length, and a right last digit.
"""

import asyncio
import re
import urllib.request
from typing import Any, Final

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from deploy.local.stack import Stack
from tests.badinput import requests
from tests.badinput.conftest import Books
from tests.badinput.requests import Field
from tests.badinput.test_fields import with_value
from tests.badinput.wire import PATHS, Wire
from tests.badinput.world import World, unique

FREE_TEXT: Final = {
    *("request_id", "original_request_id", "user_id", "description", "display_name", "reference"),
}
FIELDS: Final = [
    field for field in requests.fields(FieldDescriptor.TYPE_STRING) if field.name in FREE_TEXT
]
CARDS: Final = {
    "Visa": "4111111111111111",
    "Mastercard": "5555555555554444",
    "Mastercard 2": "2223003122003222",
    "Amex": "378282246310005",
    "Discover": "6011111111111117",
    "with spaces": "4242 4242 4242 4242",
    "with dashes": "4000-0566-5566-5556",
    "within a text": "card 4012888888881881, thanks",
    "behind a number": "paid 10 5105 1051 0510 5100",
    "behind a date": "2026-11-21 4222 2222 2222 2220",
}
NO_CARDS: Final = {
    "a wrong last digit": "4929111111111111",
    "a prefix of no brand": "8111111111111117",
    "an order number of the day": "20261121000000011",
    "a time in milliseconds": "1795234567890",
    "twelve digits": "492911111116",
    "twenty digits": "49291111111111111119",
    "other separators": "4111_1111_1111_1111",
    "a UUID": "01930f5a-4111-7111-8111-111111111111",
}


def digits(text: str) -> str:
    return re.sub(r"[ -]", "", text)


CANARIES: Final = [re.sub(r"\D", "", card)[-16:] for card in CARDS.values()]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("field", FIELDS, ids=str)
async def test_a_card_number_is_refused_in_every_free_text(
    field: Field, wire: Wire, world: World
) -> None:
    for what, card in CARDS.items():
        refused = await wire.refused(with_value(field, world, card))

        assert refused.brief == ("INVALID_ARGUMENT", "FIELD_INVALID"), what
        assert refused.fields == (field.path,), what
        assert "card number" in refused.status
        assert digits(card) not in digits(refused.status)


@pytest.mark.usefixtures("unchanged")
async def test_a_card_number_is_refused_in_metadata(wire: Wire, world: World) -> None:
    for card in CARDS.values():
        for pairs in ({"k": card}, {card: "v"}):
            refused = await wire.refused(requests.authorize(world, metadata=pairs))

            assert (refused.reason, refused.fields) == ("FIELD_INVALID", ("metadata",))
            assert digits(card) not in digits(refused.status)


@pytest.mark.parametrize("text", NO_CARDS.values(), ids=NO_CARDS.keys())
async def test_other_numbers_are_no_card_numbers(text: str, wire: Wire, world: World) -> None:
    request = requests.authorize(
        world, request_id=f"{unique()} {text}", description=text, metadata={text: text}
    )

    assert (await wire.ask(request)).payment.description == text


async def test_card_numbers_are_found_nowhere_afterwards(
    wire: Wire, world: World, real_stack: Stack, books: Books
) -> None:
    """The rows, the logs and the metrics of everything, also when no rule stopped the call."""
    for field in FIELDS:
        for card in CARDS.values():
            await wire.outcome(with_value(field, world, card))
    await with_card_in_headers(wire, real_stack, requests.valid("GetAccount", world))

    endpoints = real_stack.endpoints
    places = {name: real_stack.log(name).read_text() for name in real_stack.names()}
    for address in (endpoints.gateway_metrics, endpoints.processor_metrics):
        places[address] = await asyncio.to_thread(page, f"http://{address}/metrics")
    places |= await all_rows(books)

    assert {"gateway", "processor", "postgres", "journal", "payments", "requests"} <= set(places)
    found = [
        (where, card) for where, text in places.items() for card in CANARIES if card in digits(text)
    ]
    assert found == []


async def with_card_in_headers(wire: Wire, stack: Stack, request: Message) -> None:
    """Call with card numbers where only software has a say."""
    name = CARDS["Visa"]
    options = [("grpc.primary_user_agent", name), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(stack.endpoints.gateway, options=options) as channel:
        await Wire(channel, wire.keys).ask(request)
        for metadata in ((("x-card", name),), (("authorization", f"Bearer {name}"),)):
            method: Any = channel.unary_unary(PATHS["GetAccount"])
            call = method(request.SerializeToString(), metadata=metadata, timeout=5)
            assert (await call.code()) is grpc.StatusCode.UNAUTHENTICATED


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())


async def all_rows(books: Books) -> dict[str, str]:
    """Return every table's rows as text, bytes read as letters."""
    connection = await books.connection()
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {
        table: "\n".join(
            value.decode("latin-1") if isinstance(value, bytes) else str(value)
            for row in await connection.fetch(f"SELECT * FROM {table}")
            for value in row.values()
        )
        for (table,) in tables
    }

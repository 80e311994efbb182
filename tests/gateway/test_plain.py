"""The quick look at payment commands says yes only to what the table of rules says yes to."""

import random
from typing import Any

import pytest

from gateway import methods, plain, validation
from gateway.errors import Refused, Violation
from tests.gateway import requests

PAN = "4111 1111 1111 1111"
NAMES = [methods.BY_NUMBER[number].name for number in plain.CHECKS]
TEXTS = [
    *("", "x", "x" * 255, "x" * 256, "order\n1", "ünï", "ü" * 127, "ü" * 128, "\u2028", "a\x7fb"),
    *(PAN, PAN.replace(" ", ""), PAN.replace(" ", "-"), f"order {PAN}!", "4111111111111112"),
    *("1234567890123", "0000 0000 0000 0", "req_0193f2a1b3c4b5ed8038ae633c9735c2", "\u0661" * 16),
    *("acc_eu_0000000000000000000001", "pay_eu_0000000000000000000001", "world", "acc_eu_1\n"),
    *("mer_eu_0000000000000000000001", "mer_eu_0000000000000000000001\n", "EUR", "eur", "XXX"),
]
NUMBERS = [-(2**63), -1, 0, 1, 2, 3, 4, 60, 10**15, 10**15 + 1, 2**31 - 1]


def problems(name: str, request: Any) -> list[Violation]:
    """Return what the table alone finds."""
    found: list[Violation] = []
    for rule in validation.RULES[methods.METHODS[methods.BY_NAME[name].path].number]:
        rule(request, found)
    return found


def altered(name: str, chance: random.Random) -> Any:
    request: Any = type(requests.VALID[name])()
    request.CopyFrom(requests.VALID[name])
    for _ in range(chance.randint(0, 2)):
        field = chance.choice(list(request.DESCRIPTOR.fields))
        if field.name == "metadata":
            request.metadata[chance.choice(TEXTS)] = chance.choice(TEXTS)
        elif field.name == "amount":
            request.amount.minor_units = chance.choice(NUMBERS)
            request.amount.currency_code = chance.choice(["EUR", "JPY", "", "eur", "XXX"])
        elif field.type == field.TYPE_STRING:
            setattr(request, field.name, chance.choice(TEXTS))
        elif field.type == field.TYPE_BOOL:
            setattr(request, field.name, True)
        elif field.type == field.TYPE_ENUM:
            setattr(request, field.name, chance.choice([0, 1, 2, 3, 4, 99]))
        else:
            setattr(request, field.name, chance.choice(NUMBERS))
    return request


@pytest.mark.parametrize("name", NAMES)
def test_what_is_plainly_valid_breaks_no_rule(name: str) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    number = methods.METHODS[methods.BY_NAME[name].path].number
    passed = 0
    for _ in range(3_000):
        request = altered(name, chance)
        if plain.CHECKS[number](request):
            passed += 1
            assert problems(name, request) == [], (seed, request)

    assert passed > 300


@pytest.mark.parametrize("name", NAMES)
def test_a_usual_request_is_plainly_valid(name: str) -> None:
    number = methods.METHODS[methods.BY_NAME[name].path].number

    assert plain.CHECKS[number](requests.VALID[name])


@pytest.mark.parametrize("name", NAMES)
def test_whatever_the_quick_look_says_the_verdict_is_the_table_s(name: str) -> None:
    chance = random.Random(5)
    number = methods.METHODS[methods.BY_NAME[name].path].number
    for _ in range(500):
        request = altered(name, chance)
        expected = bool(problems(name, request))
        try:
            validation.validate(number, request)
        except Refused:
            assert expected, request
        else:
            assert not expected, request

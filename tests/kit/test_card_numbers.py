"""What looks like a card number, and what only is a long number."""

import random
import uuid

import pytest

from kit import card_numbers


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111111",
        "4111 1111 1111 1111",
        "card 4111-1111-1111-1111, thanks",
        "378282246310005",
        "6011111111111117",
        "2223003122003222",
        "30569309025904",
        "3530111333300000",
        "paid 10 4111 1111 1111 1111 today",
        "3782 822463 10005",
    ],
)
def test_a_card_number_is_found(text: str) -> None:
    assert card_numbers.looks_like_one(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "order-42",
        "4111111111111112",
        "411111111111",
        "41111111111111111111111",
        "1795233043384730",
        "2026112100000006",
        "0000000000000000",
        "pay_eu_01m7y41xmcdrtqsjxda9se",
        "a4111111111111111",
        "4111-1111-1111-111111111111",
    ],
)
def test_other_numbers_are_not(text: str) -> None:
    assert not card_numbers.looks_like_one(text)


def test_random_identifiers_are_not_taken_for_card_numbers() -> None:
    chance = random.Random(20261121)

    for _ in range(100_000):
        identifier = uuid.UUID(int=chance.getrandbits(128), version=4)
        assert not card_numbers.looks_like_one(str(identifier)), identifier
        assert not card_numbers.looks_like_one(f"req_{identifier.hex}"), identifier

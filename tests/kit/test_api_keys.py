"""API keys: what is one, what is not, and what is stored of it."""

import re

import pytest

from kit import api_keys

PEPPER = bytes(range(32))


def test_a_key_survives_its_text() -> None:
    key = api_keys.generate()

    assert api_keys.parse(key.text) == key
    assert re.fullmatch(r"tdr_[0-9a-z]{12}_[0-9a-z]{39}", key.text)
    assert len(key.text) == api_keys.TEXT_LENGTH


def test_any_one_mistyped_letter_is_noticed() -> None:
    text = api_keys.generate().text

    for position in range(4, len(text)):
        other = "0" if text[position] != "0" else "1"
        assert api_keys.parse(text[:position] + other + text[position + 1 :]) is None


@pytest.mark.parametrize(
    "text", ["", "tdr_", "tdr__", "x" * 56, "tdr_" + "0" * 12 + "_" + "0" * 39 + "\n", "tdr_é_é"]
)
def test_what_cannot_be_a_key_is_none(text: str) -> None:
    assert api_keys.parse(text) is None


def test_only_the_right_secret_and_pepper_match() -> None:
    key, other = api_keys.generate(), api_keys.generate()
    stored = api_keys.secret_hash(PEPPER, key.secret)

    assert api_keys.matches(PEPPER, key.secret, stored)
    assert not api_keys.matches(PEPPER, other.secret, stored)
    assert not api_keys.matches(bytes(32), key.secret, stored)
    assert not api_keys.matches(PEPPER, key.secret, b"")
    assert key.secret.encode() not in stored


def test_a_key_does_not_show_its_secret() -> None:
    key = api_keys.generate()

    assert key.secret not in repr(key) + str([key])


@pytest.mark.parametrize("text", ["", "00", "zz" * 16, "hunter2"])
def test_a_pepper_that_is_short_or_no_hex_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ValueError, match="a pepper") as caught:
        api_keys.pepper_from_hex(text)

    assert not text or text not in str(caught.value)

"""Amounts as people write them."""

import iso4217
import pytest

import tender
from tender import amounts

WRITTEN = [
    ("10.50 EUR", "EUR", 1050),
    ("EUR 10.50", "EUR", 1050),
    ("10 EUR", "EUR", 1000),
    ("0.05 EUR", "EUR", 5),
    ("-0.05 EUR", "EUR", -5),
    ("1050 JPY", "JPY", 1050),
    ("1.050 BHD", "BHD", 1050),
    ("10000000000000.00 EUR", "EUR", 10**15),
]
WRONG = [
    "10.50",
    "EUR",
    "10.5 EUR",
    "10.505 EUR",
    "10.5 JPY",
    "1e3 EUR",
    "1,000 EUR",
    "+1 EUR",
    "٣ EUR",
    "10 eur",
    "10 EURO",
    "",
    "1 2 EUR",
    "99999999999999999999 EUR",
]


@pytest.mark.parametrize(("text", "code", "minor_units"), WRITTEN)
def test_an_amount_is_read_exactly(text: str, code: str, minor_units: int) -> None:
    assert tender.money.parse(text) == tender.money(code, minor_units)


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        tender.money.parse(text)


@pytest.mark.parametrize(("text", "code", "minor_units"), WRITTEN)
def test_text_is_read_back_as_the_same_amount(text: str, code: str, minor_units: int) -> None:
    amount = tender.money(code, minor_units)

    assert tender.money.parse(tender.money.text(amount)) == amount


def test_decimals_are_those_of_iso_4217() -> None:
    listed = {each.code: each.exponent for each in iso4217.Currency if each.exponent is not None}

    assert {code: amounts.decimals(code) for code in listed} == listed

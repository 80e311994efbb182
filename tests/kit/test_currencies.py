"""The list of currencies against the one that others keep."""

import iso4217

from kit import currencies


def test_the_list_is_iso_4217_without_what_is_no_money() -> None:
    assert {
        currency.code: currency.exponent
        for currency in iso4217.Currency
        if currency.exponent is not None
    } == currencies.EXPONENTS


def test_metals_and_test_codes_are_no_money() -> None:
    assert not {"XTS", "XXX", "XAU", "XAG", "XDR"} & set(currencies.EXPONENTS)
    assert [currencies.EXPONENTS[code] for code in ("JPY", "EUR", "BHD")] == [0, 2, 3]

"""Amounts of money as people write them, and as the contract carries them."""

import re

from tender.v1.money_pb2 import Money

# ISO 4217 currencies whose smallest unit is not a hundredth; all others have two decimals.
NOT_HUNDREDTHS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
DECIMALS = {code: places for places, codes in NOT_HUNDREDTHS.items() for code in codes.split()}
DECIMALS_DEFAULT = 2

AMOUNT = re.compile(r"(?P<sign>-?)(?P<whole>\d{1,19})(?:\.(?P<part>\d{1,4}))?", re.ASCII)
CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)


def decimals(currency_code: str) -> int:
    """How many decimals amounts of a currency are written with."""
    return DECIMALS.get(currency_code, DECIMALS_DEFAULT)


class Amounts:
    """`money("EUR", 1050)` in minor units, `money.parse("10.50 EUR")` and `money.text(amount)`."""

    def __call__(self, currency_code: str, minor_units: int) -> Money:
        return Money(currency_code=currency_code, minor_units=minor_units)

    def parse(self, text: str) -> Money:
        """Reads "10.50 EUR", "EUR 10.50", "1050 JPY" or "1.050 BHD", exactly: nothing is rounded.

        Decimals may be left out altogether ("10 EUR"), or written as many as the currency has.
        """
        words = text.split()
        if len(words) != 2:
            raise ValueError(f"{text!r} is not an amount and a currency, as in '10.50 EUR'")
        number, code = words if CURRENCY.fullmatch(words[1]) else reversed(words)
        if not CURRENCY.fullmatch(code):
            raise ValueError(f"{text!r} names no currency; write its three letters, as in 'EUR'")
        found = AMOUNT.fullmatch(number)
        if not found:
            raise ValueError(f"{number!r} is not a number such as 10 or 10.50")
        places, part = decimals(code), found["part"]
        if part is not None and len(part) != places:
            written = f"{places} decimals" if places else "no decimals"
            raise ValueError(f"{code} is written with {written}, not as {number}")
        minor_units = int(found["whole"] + (part or "0" * places))
        return self(code, -minor_units if found["sign"] else minor_units)

    def text(self, amount: Money) -> str:
        """Writes an amount as `parse` reads it: "10.50 EUR"."""
        places = decimals(amount.currency_code)
        sign = "-" if amount.minor_units < 0 else ""
        digits = str(abs(amount.minor_units)).zfill(places + 1)
        number = f"{digits[:-places]}.{digits[-places:]}" if places else digits
        return f"{sign}{number} {amount.currency_code}"


money = Amounts()

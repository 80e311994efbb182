"""Amounts and times as people of a language write them."""

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_datetime
from babel.numbers import NumberPattern, parse_pattern

from kit import currencies

_TOUCHING: Final = re.compile(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")


@dataclass(frozen=True, slots=True)
class Amount:
    """Money in a template."""

    currency_code: str
    minor_units: int


@lru_cache(maxsize=256)
def locale_of(language: str) -> Locale:
    """Return what is known of a language, or of the nearest that something is known of."""
    parts = language.split("-")
    while parts:
        try:
            return Locale.parse("_".join(parts))
        except (UnknownLocaleError, ValueError):
            parts.pop()
    return Locale("en")


def written(amount: Amount, language: str) -> str:
    """Return an amount with its currency and as many decimals as ISO 4217 gives that.

    Not as many as CLDR shows: that leaves out decimals which are not used in shops any more, and
    what was paid is told to the last unit.
    """
    locale = locale_of(language)
    exponent = currencies.EXPONENTS[amount.currency_code]
    value = Decimal(amount.minor_units).scaleb(-exponent)
    text: str = _pattern(locale, exponent).apply(
        value, locale, currency=amount.currency_code, currency_digits=False
    )
    # As CLDR asks for where a currency is written in letters (currencySpacing).
    return _TOUCHING.sub("\N{NO-BREAK SPACE}", text)


@lru_cache(maxsize=1_000)
def _pattern(locale: Locale, exponent: int) -> NumberPattern:
    pattern = parse_pattern(locale.currency_formats["standard"].pattern)
    pattern.frac_prec = (exponent, exponent)
    return pattern


def moment(at: datetime, language: str, zone: ZoneInfo) -> str:
    """Return a time as a wall clock there shows it, with the name of the zone."""
    locale = locale_of(language)
    local = at.astimezone(zone)
    date = format_datetime(local, "medium", tzinfo=zone, locale=locale)
    return f"{date} {local.tzname() or ''}".rstrip()

"""Languages, amounts, addresses and what a template may hold."""

import itertools
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from iso4217 import Currency

from kit import currencies
from services.notifications import addresses, defaults, engine, languages, money, samples, templates
from services.notifications.addresses import BadAddress
from services.notifications.engine import Broken, Reader
from services.notifications.kinds import BY_TYPE, OF_EVENT, Channel
from services.notifications.money import Amount
from services.notifications.templates import Parts, Template
from tests.services.notifications.makers import event_types

READER = Reader("en", ZoneInfo("UTC"))
NARROW, WIDE = "\N{NARROW NO-BREAK SPACE}", "\N{NO-BREAK SPACE}"


def filled(source: str, values: Mapping[str, Any], *, as_html: bool = False) -> str:
    return engine.fill_in(source, values, READER, as_html=as_html)


@pytest.mark.parametrize(
    ("tag", "tried"),
    [
        ("de-AT", ("de-AT", "de", "en")),
        ("zh-Hant-TW", ("zh-Hant-TW", "zh-Hant", "zh", "en")),
        ("en-GB", ("en-GB", "en")),
        ("en", ("en",)),
    ],
)
def test_languages_fall_back_to_wider_ones_and_then_to_english(
    tag: str, tried: tuple[str, ...]
) -> None:
    assert languages.chain(tag) == tried


@pytest.mark.parametrize(
    ("tag", "normal"),
    [("DE-at", "de-AT"), ("zh-hant-tw", "zh-Hant-TW"), ("de", "de"), ("es-419", "es-419")],
)
def test_languages_are_written_in_one_way(tag: str, normal: str) -> None:
    assert languages.normal(tag) == normal


@pytest.mark.parametrize("tag", ["", "d", "german", "de_AT", "de-AT-x-private", "de\n"])
def test_what_is_no_language_is_none(tag: str) -> None:
    assert languages.normal(tag) is None


@pytest.mark.parametrize(
    ("amount", "language", "text"),
    [
        (Amount("EUR", 123_450), "en", "€1,234.50"),
        (Amount("EUR", 123_450), "de", f"1.234,50{WIDE}€"),
        (Amount("EUR", 123_450), "de-AT", f"€{WIDE}1.234,50"),
        (Amount("JPY", 1_234), "en", "¥1,234"),
        (Amount("BHD", 1_234), "en", f"BHD{WIDE}1.234"),
        # In shops nobody counts its cents any more, and CLDR leaves them out.
        (Amount("COP", 1_234_56), "en", f"COP{WIDE}1,234.56"),
        (Amount("EUR", -5), "en", "-€0.05"),
    ],
)
def test_amounts_are_written_as_the_language_does(amount: Amount, language: str, text: str) -> None:
    assert money.written(amount, language) == text


@pytest.mark.parametrize("code", sorted(currencies.EXPONENTS))
def test_every_currency_is_shown_to_its_last_unit(code: str) -> None:
    text = money.written(Amount(code, 1_234_567), "en")

    digits = "".join(it for it in text if it.isdigit())
    exponent = Currency(code).exponent or 0
    assert digits == "1234567"
    assert len(text.rpartition(".")[2]) == exponent if exponent else "." not in text


def test_a_language_that_nobody_knows_anything_of_is_written_as_english() -> None:
    assert money.written(Amount("EUR", 100), "xx-YY") == "€1.00"


@pytest.mark.parametrize(
    ("address", "stored"),
    [("Anna@Example.com", "Anna@example.com"), ("a.b+c@example.com", "a.b+c@example.com")],
)
def test_addresses_are_stored_as_they_are_sent_to(address: str, stored: str) -> None:
    assert addresses.email(address) == stored


@pytest.mark.parametrize(
    "address",
    [
        "",
        "anna",
        "anna@",
        "@example.com",
        "anna@example.com\r\nBcc: b@example.com",
        "anna@example.com\nBcc: b@example.com",
        "anna@exa mple.com",
        '"anna\\\r\n"@example.com',
        "anna@example.com, ben@example.com",
        "Anna <anna@example.com>",
        "a" * 250 + "@example.com",
        "änna@example.com",
    ],
)
def test_what_is_no_address_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(BadAddress) as refused:
        addresses.email(address)
    assert not address or address not in str(refused.value)


@pytest.mark.parametrize(
    "number", ["0660123456", "+0660123456", "+43", "+4366012345678901", "+43x"]
)
def test_what_is_no_number_is_refused(number: str) -> None:
    with pytest.raises(BadAddress):
        addresses.phone(number)


def test_a_number_is_stored_without_what_makes_it_readable() -> None:
    assert addresses.phone("+43 (660) 123-45-67") == "+436601234567"


@pytest.mark.parametrize(
    ("channel", "address", "shown"),
    [
        (Channel.EMAIL, "anna@example.com", "a***@example.com"),
        (Channel.SMS, "+436601234567", "+43***67"),
        (Channel.PUSH, "0123456789abcdef", "***cdef"),
        (Channel.PUSH, "0123", "***"),
    ],
)
def test_of_addresses_little_is_shown(channel: Channel, address: str, shown: str) -> None:
    assert addresses.masked(channel, address) == shown


def test_what_others_wrote_is_text_in_html_and_as_it_is_in_text() -> None:
    values = {"name": "<script>x</script>"}

    assert filled("{{ name }}", values, as_html=True) == "&lt;script&gt;x&lt;/script&gt;"
    assert filled("{{ name }}", values) == "<script>x</script>"


def test_a_value_is_never_taken_for_a_template() -> None:
    assert filled("{{ name }}", {"name": "{{ 7 }}{% for"}) == "{{ 7 }}{% for"


@pytest.mark.parametrize(
    "source",
    [
        "{{ unknown }}",
        "{{ payment.unknown }}",
        "{{ 'a' * 1000000000 }}",
        "{{ 2 ** 99999999 }}",
        "{{ range(10) }}",
        "{{ payment.__class__ }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ payment.items() }}",
        "{{ payment['id'].upper() }}",
        "{% for a in range(9) %}x{% endfor %}",
        "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
        "{% include 'secret' %}",
        "{% import 'os' as os %}",
        "{% extends 'base' %}",
        "{% set x = 1 %}",
        "{% filter upper %}x{% endfilter %}",
        "{% call f() %}{% endcall %}",
        "{{ 'x' | center(1000000000) }}",
        "{{ name | join(name | join(name | join(name))) }}",
        "{{ '%999999999d' | format(1) }}",
        "{{ payment | attr('id') }}",
        "{{ payment | tojson }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{% for a in list recursive %}{{ loop(a) }}{% endfor %}",
        "{{ list[name] }}",
        "{{ unclosed",
        "{% if x %}",
        "{{ the reader }}",
        "{{ name | money }}",
        "{{ name | time }}",
        "{% for a in list %}" * 3 + "x" + "{% endfor %}" * 3,
        "x" * (engine.SOURCE_LENGTH_MAX + 1),
        "{{ " + "(" * 3_000 + ")" * 3_000 + " }}",
    ],
)
def test_what_a_message_does_not_need_is_broken(source: str) -> None:
    values = {"payment": {"id": "pay_1"}, "list": [1, 2], "name": "secret text"}

    with pytest.raises(Broken) as broken:
        filled(source, values)
    assert "secret text" not in str(broken.value)


def test_a_message_may_not_get_too_long() -> None:
    values = {"list": list(range(1_000)), "text": "x" * 1_000}

    with pytest.raises(Broken, match="longer than"):
        filled("{% for it in list %}{{ text }}{% endfor %}", values)


def test_a_message_may_not_take_too_long() -> None:
    ticks = itertools.count(0, 1)

    with pytest.raises(Broken, match="takes longer"):
        engine.fill_in(
            "{% for it in list %}{{ it }}{% endfor %}",
            {"list": list(range(100))},
            READER,
            as_html=False,
            clock=lambda: float(next(ticks)),
        )


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\v", "\x85", "\u2028", "\u2029", "\0"])
def test_a_subject_is_one_line_whatever_it_shows(end: str) -> None:
    parts = Parts("Hello {{ name }}", "x")

    made = templates.fill_in(
        parts, Channel.EMAIL, {"name": f"you{end}Bcc: someone@example.com"}, READER
    )

    assert made.subject == "Hello you Bcc: someone@example.com"


def test_every_event_of_payments_is_known_here() -> None:
    assert set(OF_EVENT) == event_types()


def test_every_message_has_its_words_in_every_language_on_every_channel() -> None:
    there = {(it.type, it.channel, it.language) for it in defaults.load()}

    assert there == set(itertools.product(BY_TYPE, Channel, defaults.LANGUAGES))


@pytest.mark.parametrize("template", defaults.load(), ids=lambda it: f"{it.language}-{it.type}")
def test_what_comes_with_tender_is_fit_for_every_sample(template: Template) -> None:
    made = templates.try_out(template)

    assert "None" not in made.text + made.subject
    # The shop of the first sample is called <Harbour>.
    assert "<Harbour>" not in made.html
    assert template.channel is not Channel.SMS or len(made.text) <= 320


def test_a_template_has_to_be_fit_for_all_samples_of_its_type() -> None:
    # Refunds may have been told with another event of the same commit.
    parts = Parts("x", "{{ refunds[0].amount | money }}")

    with pytest.raises(Broken, match="text"):
        templates.try_out(Template("payment_refunded.payer", Channel.PUSH, "en", 1, parts))


def test_samples_are_of_every_type() -> None:
    assert set(samples.OF_TYPE) == set(BY_TYPE)

"""What is decided without a database or a network: URLs, addresses, schedule, filters, bodies."""

import datetime
import ipaddress
import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from services.webhooks import addresses, bodies, catalogue, ids, schedule, sealing, signing, urls
from services.webhooks.catalogue import Filter, Happened
from services.webhooks.schedule import DeadRules, Result
from tests.services.webhooks.conftest import KEYS, MERCHANT, OTHER_MERCHANT, event

NOW = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)
PRODUCTION = urls.Rules()
DEVELOPMENT = urls.Rules(allow_loopback=True)


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("https://example.com", 443),
        ("https://hooks.example.com/a/b?c=d&e=%20", 443),
        ("https://hooks.example.com:8443/", 8443),
        ("HTTPS://Hooks.Example.COM/", 443),
        ("https://xn--bcher-kva.example.com/", 443),
    ],
)
def test_a_public_name_by_https_is_taken(url: str, port: int) -> None:
    assert urls.checked(url, PRODUCTION).port == port


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("", urls.NOT_A_URL),
        ("example.com", urls.NOT_A_URL),
        ("https://example.com/#part", urls.NOT_A_URL),
        ("https://example.com/ a", urls.NOT_A_URL),
        ("https://example.com/\r\nHost: x", urls.NOT_A_URL),
        ("https://exämple.com/", urls.NOT_A_NAME),
        ("https://example.com\\@127.0.0.1/", urls.NOT_A_URL),
        ("https://example.com/" + "a" * 2_048, urls.NOT_A_URL),
        ("http://example.com/", urls.NOT_HTTPS),
        ("ftp://example.com/", urls.NOT_HTTPS),
        ("file:///etc/passwd", urls.NOT_HTTPS),
        ("https://user:secret@example.com/", urls.CREDENTIALS),
        ("https://user@example.com/", urls.CREDENTIALS),
        ("https://@example.com/", urls.CREDENTIALS),
        ("https://127.0.0.1/", urls.NOT_A_NAME),
        ("https://8.8.8.8/", urls.NOT_A_NAME),
        ("https://2130706433/", urls.NOT_A_NAME),
        ("https://0x7f.1/", urls.NOT_A_NAME),
        ("https://127.1/", urls.NOT_A_NAME),
        ("https://0177.0.0.1/", urls.NOT_A_NAME),
        ("https://[::1]/", urls.NOT_A_NAME),
        ("https://[::ffff:10.0.0.1]/", urls.NOT_A_NAME),
        ("https://localhost/", urls.NOT_A_NAME),
        ("https://api.localhost/", urls.NOT_A_NAME),
        ("https://metadata.google.internal/", urls.NOT_A_NAME),
        ("https://printer.local/", urls.NOT_A_NAME),
        ("https://intranet/", urls.NOT_A_NAME),
        ("https://example.com./", urls.NOT_A_NAME),
        ("https://example..com/", urls.NOT_A_NAME),
        ("https://-example.com/", urls.NOT_A_NAME),
        ("https://exa%6dple.com/", urls.NOT_A_NAME),
        ("https:///", urls.NOT_A_NAME),
        ("https://example.com:22/", urls.PORT),
        ("https://example.com:0/", urls.PORT),
        ("https://example.com:99999/", urls.PORT),
        ("https://example.com:5432/", urls.PORT),
    ],
)
def test_any_other_url_is_refused_with_its_cause(url: str, cause: str) -> None:
    with pytest.raises(urls.BadUrl) as refused:
        urls.checked(url, PRODUCTION)

    assert refused.value.cause == cause


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000/", "http://localhost/", "https://[::1]:1/"])
def test_this_machine_is_taken_where_developers_are_and_nowhere_else(url: str) -> None:
    urls.checked(url, DEVELOPMENT)
    with pytest.raises(urls.BadUrl):
        urls.checked(url, PRODUCTION)


@pytest.mark.parametrize("url", ["http://example.com/", "http://10.0.0.1/", "http://a@localhost/"])
def test_a_developer_may_do_nothing_else(url: str) -> None:
    with pytest.raises(urls.BadUrl):
        urls.checked(url, DEVELOPMENT)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.215.14", "2606:4700::1111", "2a00::1"])
def test_public_addresses_may_be_connected_to(address: str) -> None:
    assert addresses.is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.0.1"),
        *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1"),
        *("192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1"),
        *("240.0.0.1", "255.255.255.255", "192.88.99.1", "168.63.129.16"),
        *("::", "::1", "::ffff:8.8.8.8", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::808:808"),
        *("64:ff9b:1::a00:1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1"),
        *("5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1"),
        *("", "localhost", "1.2.3", "0x7f000001"),
    ],
)
def test_all_other_addresses_may_not(address: str) -> None:
    assert not addresses.is_public(address)


@given(st.ip_addresses())
def test_what_python_calls_private_is_never_public_here(address: object) -> None:
    found = str(address)
    parsed = ipaddress.ip_address(found)
    if not parsed.is_global or parsed.is_multicast or parsed.is_private:
        assert not addresses.is_public(found)


def test_sixteen_tries_fit_into_a_day_whatever_the_jitter() -> None:
    longest = sum(schedule.delay_seconds(tries, 1.0) for tries in range(1, schedule.TRIES_MAX))
    shortest = sum(schedule.delay_seconds(tries, 0.0) for tries in range(1, schedule.TRIES_MAX))

    assert longest < schedule.AGE_MAX.total_seconds()
    assert shortest > 17 * 3_600


def test_delays_grow_to_their_bound() -> None:
    delays = [schedule.delay_seconds(tries, 0.5) for tries in range(1, schedule.TRIES_MAX)]

    assert delays[0] == schedule.DELAY_SECONDS_FIRST
    assert delays[-1] == schedule.DELAY_SECONDS_MAX
    assert all(before <= after for before, after in pairwise(delays))


@given(st.integers(1, 1_000), st.floats(0, 1))
def test_a_delay_is_bounded_for_any_number_of_tries(tries: int, fraction: float) -> None:
    assert 0 < schedule.delay_seconds(tries, fraction) <= 1.1 * schedule.DELAY_SECONDS_MAX


@pytest.mark.parametrize(
    ("result", "tries", "state", "cause"),
    [
        (Result(200, "", 0.1), 1, "delivered", ""),
        (Result(200, "", 0.1), 16, "delivered", ""),
        (Result(500, "STATUS", 0.1), 15, "pending", ""),
        (Result(500, "STATUS", 0.1), 16, "failed", schedule.TRIES_EXHAUSTED),
        (Result(0, "TIMEOUT", 0.1), 1, "pending", ""),
        (Result(410, "STATUS", 0.1), 1, "failed", schedule.ENDPOINT_GONE),
    ],
)
def test_what_becomes_of_a_delivery(result: Result, tries: int, state: str, cause: str) -> None:
    verdict = schedule.judged(result, tries, 0.5)

    assert (verdict.state, verdict.cause) == (state, cause)
    assert verdict.is_gone == (cause == schedule.ENDPOINT_GONE)


def test_a_receiver_that_asks_for_time_has_it_within_bounds() -> None:
    asked = schedule.judged(Result(503, "STATUS", 0.1, 600.0), 1, 0.5)
    for_ever = schedule.judged(Result(429, "STATUS", 0.1, 999_999.0), 1, 0.5)
    not_asked = schedule.judged(Result(500, "STATUS", 0.1, 600.0), 1, 0.5)

    assert asked.delay_seconds == 600.0
    assert for_ever.delay_seconds == schedule.DELAY_SECONDS_MAX
    assert not_asked.delay_seconds == schedule.DELAY_SECONDS_FIRST


def test_an_endpoint_is_dead_after_days_and_failures_and_not_after_one_of_them() -> None:
    rules = DeadRules(days=5, failures=20)
    long, short = NOW - datetime.timedelta(days=5), NOW - datetime.timedelta(days=4)

    assert schedule.is_dead(long, 20, NOW, rules)
    assert not schedule.is_dead(long, 19, NOW, rules)
    assert not schedule.is_dead(short, 1_000, NOW, rules)


@pytest.mark.parametrize(
    ("merchant_id", "types", "happened", "is_wanted"),
    [
        (MERCHANT, (), Happened("dev", MERCHANT, "payment_captured"), True),
        (MERCHANT, (), Happened("dev", OTHER_MERCHANT, "payment_captured"), False),
        (MERCHANT, (), Happened("other", MERCHANT, "payment_captured"), False),
        (MERCHANT, (), Happened("dev", "", "payment_reversed_before_arrival"), False),
        (MERCHANT, ("payment_voided",), Happened("dev", MERCHANT, "payment_captured"), False),
        (MERCHANT, ("payment_voided",), Happened("dev", MERCHANT, "payment_voided"), True),
        ("", (), Happened("dev", OTHER_MERCHANT, "refund_failed"), True),
        ("", (), Happened("dev", "", "payment_reversed_before_arrival"), True),
        ("", (), Happened("other", MERCHANT, "payment_captured"), False),
        ("", (), Happened("dev", "", "account_updated"), False),
        ("", ("account_updated",), Happened("dev", "", "account_updated"), True),
    ],
)
def test_who_hears_of_what(
    merchant_id: str, types: tuple[str, ...], happened: Happened, is_wanted: bool
) -> None:
    one = Filter("whe_1", "dev", merchant_id, frozenset(types))

    assert catalogue.wants(one, happened) is is_wanted


def test_a_merchant_may_name_what_is_told_of_its_payments_alone() -> None:
    everything = tuple(catalogue.TYPES)

    assert set(catalogue.allowed_types(MERCHANT, everything)) < set(catalogue.TYPES["payments"])
    assert "account_updated" in catalogue.allowed_types("", everything)
    assert "account_updated" not in catalogue.allowed_types("", ["payments"])


def test_the_document_of_an_event() -> None:
    happened = event(7, type="payment_refunded")
    happened.create_time.FromJsonString("2026-11-22T10:00:00.5Z")
    payment = happened.payment.payment
    payment.state = payment.STATE_CAPTURED
    payment.metadata.update({"b": "2", "a": "ü"})
    refund = happened.payment.refunds.add()
    refund.id = "ref_1"
    refund.amount.currency_code = "EUR"
    refund.amount.minor_units = 10**15

    document = json.loads(bodies.body(happened))

    assert {name: document[name] for name in document if name != "data"} == {
        "id": "s1.abc.7.0",
        "type": "payment_refunded",
        "timestamp": "2026-11-22T10:00:00.500000Z",
        "entity_id": "pay_1",
        "version": 7,
    }
    told = document["data"]["payment"]
    assert told["state"] == "CAPTURED"
    assert told["capture_method"] is None
    assert told["amount"] == {"currency_code": "EUR", "minor_units": 1_050}
    assert told["metadata"] == {"a": "ü", "b": "2"}
    assert document["data"]["refunds"][0]["amount"]["minor_units"] == 10**15


def test_a_document_is_the_same_bytes_every_time() -> None:
    happened = event(7)
    again = type(happened).FromString(happened.SerializeToString())
    happened.payment.payment.metadata.update({"b": "2", "a": "1"})
    again.payment.payment.metadata.update({"a": "1", "b": "2"})

    assert bodies.body(happened) == bodies.body(again)


def test_of_a_payment_that_never_came_its_request_is_told() -> None:
    happened = event(7, type="payment_reversed_before_arrival", payment="req-1")

    assert json.loads(bodies.body(happened))["data"] == {"request_id": "req-1"}


def test_each_field_of_the_contract_is_told_or_left_out_by_name() -> None:
    for message in bodies._MESSAGES:
        name = message.DESCRIPTOR.name
        named = {*bodies.FIELDS[name], *bodies.LEFT_OUT.get(name, ())}
        assert named == set(message.DESCRIPTOR.fields_by_name), name


def test_each_secret_signs_and_only_those() -> None:
    secrets = [signing.new_secret(), signing.new_secret()]
    now = datetime.datetime.now(datetime.UTC)

    headers = signing.headers("evt_1", '{"a":1}', secrets, now)

    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in secrets:
        Webhook(secret).verify('{"a":1}', headers)
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(signing.new_secret()).verify('{"a":1}', headers)
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(secrets[0]).verify('{"a":2}', headers)


def test_a_sealed_secret_opens_at_its_place_alone() -> None:
    sealed = KEYS.seal("whsec_abc", "whe_1/1")

    assert b"abc" not in sealed.content
    assert KEYS.open(sealed, "whe_1/1") == "whsec_abc"
    for place in ("whe_2/1", "whe_1/2"):
        with pytest.raises(sealing.Unreadable):
            KEYS.open(sealed, place)
    with pytest.raises(sealing.Unreadable):
        KEYS.open(sealed._replace(content=sealed.content[:-1] + b"x"), "whe_1/1")


def test_the_place_of_a_secret_names_endpoint_and_number() -> None:
    places = {
        sealing.place_of(endpoint, number) for endpoint in ("whe_1", "whe_2") for number in (1, 2)
    }

    assert len(places) == 4


def test_a_new_key_in_front_encrypts_and_the_old_one_still_opens() -> None:
    both = sealing.Keys.parse(["two:" + "22" * 32, "one:" + "11" * 32], "test")

    assert both.open(KEYS.seal("whsec_abc", "here"), "here") == "whsec_abc"
    assert both.seal("whsec_abc", "here").key_id == "two"
    with pytest.raises(sealing.Unreadable, match="no key two"):
        KEYS.open(both.seal("whsec_abc", "here"), "here")


@pytest.mark.parametrize(
    "lines", [[], ["short"], ["a:" + "1" * 63], ["a:" + "1" * 64] * 2, ["A:" + "1" * 64]]
)
def test_keys_that_do_not_fit_are_refused_without_being_shown(lines: list[str]) -> None:
    with pytest.raises(sealing.BadKeys) as refused:
        sealing.Keys.parse(lines, "the file")

    assert "1" * 10 not in str(refused.value)


def test_a_key_without_a_name_is_the_first() -> None:
    assert sealing.Keys.parse(["ab" * 32], "test").current == "first"


def test_ids_made_together_are_in_their_order() -> None:
    made = [ids.new(ids.DELIVERY, index) for index in range(1_000)]

    assert sorted(made) == made
    assert len(set(made)) == 1_000

"""What is read of a delivery: an event, or why there is none; never an exception."""

from hypothesis import given
from hypothesis import strategies as some

from processor.consumers.delivery import (
    MALFORMED,
    UNKNOWN_TYPE,
    UNKNOWN_VERSION,
    Delivery,
    Headers,
    Partition,
    Readable,
    Unreadable,
)
from tender.v1 import event_pb2
from tests.consumers.events import READ, event, sent


def delivered(value: bytes | None, headers: Headers = ()) -> Delivery:
    return Delivery(Partition("payments", 0), 7, b"pay_1", value, headers, 0.0)


def cause_of(value: bytes | None, headers: Headers = ()) -> str:
    read = READ(delivered(value, headers))
    assert isinstance(read, Unreadable)
    return read.cause


def test_an_event_is_read_with_its_id_and_when_it_was_decided() -> None:
    told = event(5)
    told.create_time.FromMilliseconds(1_500)
    _, value, headers = sent(told)

    read = READ(delivered(value, headers))

    assert read == Readable("s1.abc.5.0", told, 1.5)


def test_an_event_without_headers_is_read_too() -> None:
    assert isinstance(READ(delivered(event(5).SerializeToString())), Readable)


def test_nothing_at_all_is_malformed() -> None:
    assert cause_of(None) == cause_of(b"") == MALFORMED


def test_bytes_that_are_no_event_are_malformed() -> None:
    assert cause_of(b"\xff\xfe{not protobuf}") == MALFORMED


def test_an_event_without_an_id_is_malformed() -> None:
    nameless = event(5)
    nameless.id = ""

    assert cause_of(nameless.SerializeToString()) == MALFORMED


def test_an_id_longer_than_the_inbox_takes_is_malformed() -> None:
    long = event(5)
    long.id = "x" * 256

    assert cause_of(long.SerializeToString()) == MALFORMED


def test_an_id_that_postgres_cannot_store_is_malformed() -> None:
    odd = event(5)
    odd.id = "s1\0"

    assert cause_of(odd.SerializeToString()) == MALFORMED


def test_a_later_schema_version_is_told_by_the_event() -> None:
    assert cause_of(event(5, schema_version=2).SerializeToString()) == UNKNOWN_VERSION


def test_a_later_schema_version_is_told_by_the_header_before_anything_is_parsed() -> None:
    assert cause_of(b"of another time", [("schema-version", b"2")]) == UNKNOWN_VERSION


def test_a_schema_version_that_is_no_number_is_not_known() -> None:
    value = event(5).SerializeToString()

    for text in (b"", b"+1", b" 1", b"one", "\u0661".encode()):
        assert cause_of(value, [("schema-version", text)]) == UNKNOWN_VERSION


def test_a_type_of_a_later_version_of_tender_is_not_skipped() -> None:
    assert cause_of(event(5, type="payment_disputed").SerializeToString()) == UNKNOWN_TYPE


def test_what_is_told_of_an_unreadable_record_shows_nothing_of_it() -> None:
    secret = event(5, type="4111111111111111")

    read = READ(delivered(secret.SerializeToString()))

    assert isinstance(read, Unreadable)
    assert "4111" not in read.text


@given(some.binary(max_size=200), some.binary(max_size=8))
def test_no_bytes_whatever_raise_anything(value: bytes, version: bytes) -> None:
    for headers in ((), [("schema-version", version)]):
        assert isinstance(READ(delivered(value, headers)), Readable | Unreadable)


@given(some.binary(max_size=40), some.integers(0, 60))
def test_no_event_that_was_damaged_raises_anything(noise: bytes, at: int) -> None:
    whole = event(5).SerializeToString()

    read = READ(delivered(whole[:at] + noise + whole[at:]))

    assert isinstance(read, Readable | Unreadable)


def test_events_of_this_version_are_of_the_type_that_readers_give() -> None:
    read = READ(delivered(event(5).SerializeToString()))

    assert isinstance(read, Readable)
    assert isinstance(read.message, event_pb2.Event)

"""Dead letters: stored and read again as they were, and gone from the list once decided."""

import random

from hypothesis import given
from hypothesis import strategies as some

from processor.consumers import letters
from processor.consumers.delivery import Delivery, Headers, Partition
from processor.consumers.letters import Letter, Mark

NAMES = some.text("abcdefgh-", min_size=1, max_size=12)
VALUES = some.none() | some.binary(max_size=30)
HEADERS = some.lists(some.tuples(NAMES, VALUES), max_size=4)
# Whole microseconds, as they are written.
TIMES = some.integers(0, 4_000_000_000_000_000).map(lambda at: at / 1e6)


def letter(offset: int = 7, *, last_at: float = 100.0, consumer: str = "webhooks") -> Letter:
    delivery = Delivery(Partition("payments", 3), offset, b"pay_1", b"value", (), 5.0)
    return Letter(consumer, "MALFORMED", "no event", 1, 50.0, last_at, delivery)


def stored(letter: Letter) -> Delivery:
    """Return a letter as Kafka has it, somewhere in its topic."""
    return letter.delivery._replace(
        partition=Partition("payments.dlq", 0), offset=0, headers=letters.headers(letter)
    )


def mark(id: str, at: float) -> Mark:
    return Mark(id, letters.REPLAYED, "ada@till", "", at)


@given(NAMES, some.text(max_size=40), TIMES, TIMES, VALUES, VALUES, HEADERS, some.booleans())
def test_a_letter_is_read_as_it_was_written(
    consumer: str,
    text: str,
    first_at: float,
    last_at: float,
    key: bytes | None,
    value: bytes | None,
    headers: Headers,
    without_value: bool,
) -> None:
    kept = [one for one in headers if not one[0].startswith(letters.OWN_PREFIX)]
    delivery = Delivery(Partition("p.payments", 3), 7, key, value, kept, 5.0)
    written = Letter(consumer, "MALFORMED", text, 2, first_at, last_at, delivery, without_value)

    read = letters.parse(stored(written))

    assert isinstance(read, Letter)
    assert abs(read.first_at - first_at) < 1e-5
    assert abs(read.last_at - last_at) < 1e-5
    assert read._replace(first_at=0.0, last_at=0.0) == written._replace(first_at=0.0, last_at=0.0)


def test_a_mark_is_read_as_it_was_written() -> None:
    written = Mark("webhooks/payments/3/7", letters.DROPPED, "ada@till", "a test", 1_000.5)
    record = Delivery(
        Partition("payments.dlq", 1), 9, b"k", b"", letters.mark_headers(written), 0.0
    )

    assert letters.parse(record) == written


def test_headers_of_an_earlier_parking_are_not_kept() -> None:
    again = letter()
    again = again._replace(delivery=stored(again)._replace(partition=Partition("payments", 1)))

    names = [name for name, _ in letters.headers(again)]

    assert len(names) == len(set(names))


@given(HEADERS)
def test_what_somebody_else_wrote_is_no_letter_and_raises_nothing(headers: Headers) -> None:
    odd = [*headers, ("dlq-topic", b"payments"), ("dlq-partition", b"three")]

    assert letters.parse(Delivery(Partition("payments.dlq", 0), 0, None, None, odd, 0.0)) is None


def test_a_letter_that_was_parked_twice_is_one() -> None:
    twice = [letter(last_at=100.0), letter(last_at=101.0)]

    assert list(letters.outstanding(twice).values()) == [twice[1]]


def test_letters_of_two_consumers_are_two() -> None:
    assert len(letters.outstanding([letter(), letter(consumer="reports")])) == 2


def test_a_letter_that_was_decided_is_gone() -> None:
    assert letters.outstanding([letter(last_at=100.0), mark(letter().id, 200.0)]) == {}


def test_a_letter_that_was_parked_after_the_decision_waits_again() -> None:
    again = letter(last_at=300.0)

    assert letters.outstanding([again, mark(again.id, 200.0)]) == {again.id: again}


@given(some.lists(some.tuples(some.integers(0, 3), some.integers(1, 9), some.booleans())))
def test_the_order_of_records_says_nothing(made: list[tuple[int, int, bool]]) -> None:
    records = [
        mark(letter(offset).id, float(at)) if is_mark else letter(offset, last_at=float(at))
        for offset, at, is_mark in made
    ]
    shuffled = random.Random(7).sample(records, len(records))

    assert letters.outstanding(records) == letters.outstanding(shuffled)


def test_decisions_are_told_with_their_letters_the_newest_first() -> None:
    first, second = letter(1), letter(2)
    unkept = mark(letter(3).id, 400.0)
    marks = [mark(first.id, 200.0), mark(second.id, 300.0)]

    assert letters.decided([marks[0], first, second, unkept, marks[1]]) == [
        (second, marks[1]),
        (first, marks[0]),
    ]


def test_long_texts_are_cut() -> None:
    long = letter()._replace(text="x" * 10_000)

    assert max(len(value or b"") for _, value in letters.headers(long)) <= letters.TEXT_LENGTH_MAX

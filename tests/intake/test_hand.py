"""What is in hand: offsets pass only what is done, and keys go one at a time."""

from gateway.intake.hand import Hand, Item
from gateway.intake.reading import Command, Reader
from gateway.intake.seals import Seals, derived
from gateway.intake.window import COMMANDS_MIN, Window
from tender import commands, operations
from tests.intake.doubles import Given

READ = Reader(Seals([derived("key" * 8)]), "commands", frozenset({"acme"}))


def item(offset: int, *, partition: str = "p", payment: str = "a") -> Item[str]:
    body = "01m80erkep5g3zaghphbx"
    call = commands.void(payment_id=f"pay_eu_{body}{payment}", request_id=f"r{offset}")
    value = operations.submit(call).request.command.SerializeToString()  # type: ignore[attr-defined]
    record = Given(b"k", value, {"tenant": b"acme"}, offset, partition)
    read = READ(record, 0)
    assert isinstance(read, Command)
    return Item(record, read)


def positions(hand: Hand[str]) -> dict[str, int]:
    return {place: one.delivery.offset for place, one in hand.advance().items()}


def test_a_position_passes_what_is_done_up_to_the_first_that_is_not() -> None:
    hand: Hand[str] = Hand()
    items = [item(offset) for offset in (5, 6, 9)]
    hand.add(items)

    hand.done(items[1])
    first = positions(hand)
    hand.done(items[0])
    second = positions(hand)
    third = positions(hand)
    hand.done(items[2])

    assert (first, second, third, positions(hand)) == ({}, {"p": 6}, {}, {"p": 9})
    assert (hand.count, hand.size) == (0, 0)


def test_of_a_partition_that_is_gone_nothing_counts_any_more() -> None:
    hand: Hand[str] = Hand()
    gone, here = item(1, partition="gone"), item(1, partition="here")
    hand.add([gone, here])

    hand.drop({"gone"})
    hand.done(gone)
    hand.done(here)

    assert positions(hand) == {"here": 1}
    assert (hand.count, hand.size) == (0, 0)


def test_of_one_key_one_goes_at_a_time_and_others_beside_it() -> None:
    hand: Hand[str] = Hand()
    first, second, third, other = item(1), item(2), item(3), item(4, payment="b")
    hand.add([first, second, third, other])

    began = [hand.begin(each) for each in (first, second, third, other)]
    following = hand.end(first)
    hand.drop({"p"})
    last = hand.end(second)

    assert began == [True, False, False, True]
    assert following is second
    assert last is None


def test_the_oldest_is_that_of_all_partitions() -> None:
    hand: Hand[str] = Hand()
    items = [item(1), item(2, partition="q")]
    assert hand.oldest_ms() == 0

    hand.add(items)

    assert hand.oldest_ms() == 0  # The records say no time.
    hand.done(items[0])
    hand.advance()
    assert hand.count == 1


def fill(window: Window, seconds: float, rounds: int) -> None:
    """Let rounds of answers come after so many seconds each."""
    now = 0.0
    for _ in range(rounds):
        while window.room:
            window.sent()
        now += seconds
        for _ in range(window.under_way):
            window.answered(seconds, now)


def test_a_window_grows_while_answers_come_soon_and_shrinks_while_they_come_late() -> None:
    window = Window(2_000)

    fill(window, 0.02, 300)
    most = window.commands
    fill(window, 1.0, 100)

    assert most == 2_000
    assert window.commands == COMMANDS_MIN


def test_a_window_that_is_not_filled_says_nothing() -> None:
    window = Window(2_000)
    before = window.commands

    for number in range(100):
        window.sent()
        window.answered(0.001, number * 1.0)

    assert window.commands == before
    assert Window(5).commands == 5

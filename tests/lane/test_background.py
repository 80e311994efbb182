"""Background commands: behind all others, few at a time beside them, and in nobody's room."""

import asyncio
import time

import pytest

from processor import background, waiting
from processor.background import Background
from processor.cache import Cache
from processor.domain import commands
from processor.domain.commands import Principal
from processor.domain.needs import Place
from processor.entries import QUEUE_FULL, Entry, Reply
from processor.ports import Loaded
from processor.waiting import WaitingRoom
from tests.lane.harness import Caller, authorize, unique

CALLERS = 200
BACKGROUND = 1_500
PAYERS = 100


class Told:
    """What entries were replied."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []

    def entry(self, number: int, *, background: bool = False, size: int = 100) -> Entry:
        command = commands.Void(Principal("t", "", False), f"r{number}", f"pay_{number}")
        return Entry(command, self.replies.append, size=size, background=background)


def room(told: Told) -> WaitingRoom:
    made = WaitingRoom(
        Cache(10_000), Place("eu", "s1", None), lambda: 0, commands_max=20_000, bytes_max=1 << 20
    )
    return made


@pytest.fixture
def told() -> Told:
    return Told()


def ready(made: WaitingRoom) -> None:
    """Let all that waits for loads go on: nothing is found."""
    while items := made.wanted(10_000):
        made.loaded(items, Loaded(dict.fromkeys(items), {}))


def test_others_are_taken_first_and_of_the_background_no_more_than_allowed(told: Told) -> None:
    made = room(told)
    for number in range(10):
        made.admit(told.entry(number, background=True))
    for number in range(10, 15):
        made.admit(told.entry(number))
    ready(made)

    first = made.take(300, 1 << 20, 3)
    second = made.take(300, 1 << 20)
    third = made.take(4, 1 << 20, 300)

    assert [entry.background for entry in first] == [False] * 5 + [True] * 3
    assert second == []
    assert len(third) == 4
    assert made.has_background
    assert not made.has_urgent


def test_the_background_takes_no_room_from_others(told: Told) -> None:
    made = room(told)
    for number in range(waiting.BACKGROUND_COMMANDS_MAX + 5):
        made.admit(told.entry(number, background=True))
    refused = len(told.replies)

    for number in range(10_000, 11_600):
        made.admit(told.entry(number))

    assert told.replies[:refused] == [QUEUE_FULL] * 5
    assert len(told.replies) == refused
    assert made.background_count == waiting.BACKGROUND_COMMANDS_MAX


def test_a_large_background_leaves_the_bytes_of_others_alone(told: Told) -> None:
    made = room(told)
    large = waiting.BACKGROUND_BYTES_MAX // 10
    for number in range(11):
        made.admit(told.entry(number, background=True, size=large))

    made.admit(told.entry(100, size=1 << 20))

    assert told.replies == [QUEUE_FULL]


def test_one_that_a_caller_waits_for_goes_with_the_others(told: Told) -> None:
    made = room(told)
    for number in range(5):
        made.admit(told.entry(number, background=True))
    ready(made)

    made.admit(told.entry(3))
    taken = made.take(300, 1 << 20)

    assert [entry.request_key for entry in taken] == [("t", "r3")]
    made.leave(taken[0])
    ready(made)
    assert [entry.background for entry in made.take(300, 1 << 20)] == [False]
    assert made.background_count == 4


def test_without_callers_the_background_has_it_all() -> None:
    share = Background()

    assert share.room(0, now=100.0) is None
    share.applied(300, 0.01, now=100.01)
    assert share.room(0, now=100.02) is None


def test_beside_callers_it_takes_few_and_then_pauses() -> None:
    share = Background()
    share.caller_seen(100.0)
    pause = 0.002 * background.PAUSE_SHARE

    assert share.room(0, now=100.0) == background.COMMANDS_BESIDE_MAX
    assert share.room(background.COMMANDS_BESIDE_MAX, now=100.0) == 0
    assert share.seconds_left(100.0) == 0.0
    share.applied(background.COMMANDS_BESIDE_MAX, 0.002, now=100.01)
    assert share.room(0, now=100.01 + pause / 2) == 0
    assert 0.0 < share.seconds_left(100.01 + pause / 2) <= pause / 2 + 1e-9
    assert share.room(0, now=100.011 + pause) == background.COMMANDS_BESIDE_MAX
    assert share.room(0, now=100.0 + background.CALLERS_SECONDS) is None


def test_a_slow_disk_makes_pauses_longer_but_not_without_end() -> None:
    share = Background()

    share.applied(1, 60.0, now=100.0)
    share.caller_seen(100.0 + background.PAUSE_SECONDS_MAX)

    assert share.room(0, now=100.0 + background.PAUSE_SECONDS_MAX)


def batches(told: Told, made: WaitingRoom, callers_per_batch: int) -> list[tuple[int, int]]:
    """Let batches take what waits, until no background is left; return what each had of both.

    A batch takes 1 ms and 0.1 ms per command, of a clock that nothing else moves.
    """
    share, now, number, taken = Background(), 100.0, 100_000, []
    while made.background_count:
        for _ in range(callers_per_batch):
            number += 1
            made.admit(told.entry(number))
        ready(made)
        room = share.room(0, now)
        entries = made.take(300, 1 << 20, 300 if room is None else room)
        behind = sum(entry.background for entry in entries)
        if len(entries) > behind:
            share.caller_seen(now)
        seconds = 0.001 + 0.0001 * len(entries)
        now += seconds
        share.applied(behind, seconds, now)
        for entry in entries:
            made.leave(entry)
        taken.append((len(entries) - behind, behind))
    return taken


def test_of_a_spike_few_callers_meet_any_and_none_waits_for_another_batch(told: Told) -> None:
    made = room(told)
    for number in range(BACKGROUND):
        made.admit(told.entry(number, background=True))

    taken = batches(told, made, callers_per_batch=5)

    # Before the first caller is seen it may take all.
    rest = taken[1:]
    assert all(callers == 5 for callers, _ in taken)
    assert max(behind for _, behind in rest) <= background.COMMANDS_BESIDE_MAX
    with_any = sum(1 for _, behind in rest if behind)
    assert with_any / len(rest) < 1 / background.PAUSE_SHARE
    assert sum(behind for _, behind in taken) == BACKGROUND


def test_a_spike_without_callers_goes_in_whole_batches(told: Told) -> None:
    made = room(told)
    for number in range(BACKGROUND):
        made.admit(told.entry(number, background=True))

    assert batches(told, made, callers_per_batch=0) == [(0, 300)] * (BACKGROUND // 300)


async def test_callers_are_answered_while_a_spike_of_the_background_drains(
    caller: Caller,
) -> None:
    payer = await caller.account(unique(), funds=1_000_000)
    others = [await caller.account(unique(), funds=1_000_000) for _ in range(PAYERS)]
    merchant = await caller.merchant(unique())
    spike = [
        caller.send(authorize(others[number % PAYERS], merchant, 1), background=True)
        for number in range(BACKGROUND)
    ]

    answered_behind = []
    for _ in range(CALLERS):
        reply = await asyncio.wait_for(caller.send(authorize(payer, merchant, 1)), 30)
        assert not reply.reason
        answered_behind.append(sum(not future.done() for future in spike))
        if not answered_behind[-1]:
            break
    replies = await asyncio.wait_for(asyncio.gather(*spike), 60)

    assert not any(reply.reason for reply in replies)
    # A caller of whom the queue thought as of any other would have come behind all of it.
    assert answered_behind[0] > BACKGROUND // 2


async def test_the_background_ends_though_callers_never_pause(caller: Caller) -> None:
    payer = await caller.account(unique(), funds=1_000_000)
    merchant = await caller.merchant(unique())
    spike = asyncio.gather(
        *(caller.send(authorize(payer, merchant, 1), background=True) for _ in range(300))
    )

    stop_by = time.monotonic() + 60
    while not spike.done():
        assert time.monotonic() < stop_by
        await asyncio.gather(*(caller.send(authorize(payer, merchant, 1)) for _ in range(5)))

    assert not any(reply.reason for reply in spike.result())

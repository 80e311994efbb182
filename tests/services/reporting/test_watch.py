"""Up to when everything is taken in, by what brokers say."""

import asyncio

from processor.consumers.delivery import Partition
from services.reporting.watch import Away, Completeness, Look, Watch

ONE, TWO = Partition("payments", 0), Partition("payments", 1)


def test_nothing_is_known_before_each_partition_was_read_to_an_end_that_was_seen() -> None:
    found = Completeness()
    assert found.complete_at == 0.0

    found.add(Look({ONE: 5, TWO: 3}, {ONE: 5, TWO: 1}), 100.0)
    assert found.complete_at == 0.0

    found.add(Look({ONE: 5, TWO: 9}, {ONE: 5, TWO: 3}), 102.0)
    assert found.complete_at == 100.0


def test_a_partition_with_constant_traffic_is_complete_up_to_an_earlier_end() -> None:
    found = Completeness()
    for second in range(10):
        found.add(Look({ONE: 10 * second + 10}, {ONE: 10 * second}), float(second))

    assert found.complete_at == 8.0


def test_one_that_stands_still_holds_all_back() -> None:
    found = Completeness()
    found.add(Look({ONE: 5, TWO: 3}, {ONE: 5, TWO: 3}), 100.0)
    for second in range(101, 110):
        found.add(Look({ONE: second, TWO: 4}, {ONE: second, TWO: 3}), float(second))

    assert found.complete_at == 100.0


def test_partitions_that_are_gone_count_no_more() -> None:
    found = Completeness()
    found.add(Look({ONE: 5, TWO: 3}, {ONE: 5, TWO: 1}), 100.0)
    found.add(Look({ONE: 5}, {ONE: 5}), 101.0)

    assert found.complete_at == 101.0


class Moody:
    """Brokers that answer every second time."""

    def __init__(self) -> None:
        self.asked = 0
        self.enough = asyncio.Event()

    async def look(self) -> Look:
        self.asked += 1
        if self.asked == 5:
            self.enough.set()
        if self.asked % 2:
            raise Away("no answer")
        return Look({ONE: 1}, {ONE: 1})


async def test_it_goes_on_when_brokers_do_not_answer() -> None:
    brokers = Moody()
    watch = Watch(brokers, seconds=0.001)
    task = asyncio.create_task(watch.run())
    await asyncio.wait_for(brokers.enough.wait(), 10)
    task.cancel()

    assert watch.complete_at > 0.0

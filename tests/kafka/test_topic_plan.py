"""What topics lack of what they are to be."""

import pytest

from kit.topics import Topic
from storage.kafka.topic_plan import Change, Found, State, compare

TOPIC = Topic(
    "payments", "What happened.", "payment", 12, {"cleanup.policy": "delete", "retention.ms": "7"}
)
RIGHT = {"cleanup.policy": "delete", "retention.ms": "7", "segment.bytes": "1"}


def test_a_topic_that_is_not_there_is_missing() -> None:
    (finding,) = compare([TOPIC], {"others": Found(1, {})})

    assert finding.state is State.MISSING
    assert (finding.partitions_lacking, finding.changes) == (0, ())


@pytest.mark.parametrize("partitions", [12, 13])
def test_what_is_not_named_is_the_brokers_own_and_more_partitions_do_no_harm(
    partitions: int,
) -> None:
    (finding,) = compare([TOPIC], {"payments": Found(partitions, RIGHT)})

    assert finding.state is State.RIGHT


def test_partitions_that_are_lacking_are_counted() -> None:
    (finding,) = compare([TOPIC], {"payments": Found(5, RIGHT)})

    assert finding.state is State.DIFFERENT
    assert finding.partitions_lacking == 7


@pytest.mark.parametrize(
    ("there", "is_now"), [({**RIGHT, "retention.ms": "8"}, "8"), ({"cleanup.policy": "delete"}, "")]
)
def test_a_property_with_another_value_is_a_change(there: dict[str, str], is_now: str) -> None:
    (finding,) = compare([TOPIC], {"payments": Found(12, there)})

    assert finding.state is State.DIFFERENT
    assert finding.changes == (Change("retention.ms", is_now, "7"),)


def test_a_configuration_that_is_not_shown_is_not_judged() -> None:
    (finding,) = compare([TOPIC], {"payments": Found(12, None)})

    assert finding.state is State.RIGHT
    assert finding.is_hidden

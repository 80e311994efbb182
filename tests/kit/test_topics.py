"""The file of topics: what it makes, and what is refused."""

from pathlib import Path

import pytest

from deploy import topics as of_this_version
from kit import topics

WANTED = {
    *("payments", "transfers", "accounts", "merchants", "notifications"),
    *("risk.requests", "risk.verdicts", "commands", "command-outcomes"),
    *("acquirer.requests", "acquirer.responses"),
}
FILE = """
[topics.payments]
says = "What happened."
key = "payment"
partitions = 12
retention_days = 30
consumed = true

[topics."risk.requests"]
says = "What is asked."
key = "payment"
partitions = 3
compaction_lag_hours = 24
consumed = false

[dead_letters]
partitions = 1
retention_days = 2
"""


def read(folder: Path, text: str, prefix: str = "") -> tuple[topics.Topic, ...]:
    path = folder / "topics.toml"
    path.write_text(text)
    return topics.read(path, prefix)


def test_a_topic_has_its_dead_letters_behind_it_if_it_is_consumed(tmp_path: Path) -> None:
    payments, dead, requests = read(tmp_path, FILE)

    assert (payments.name, payments.partitions) == ("payments", 12)
    assert payments.configuration == {"cleanup.policy": "delete", "retention.ms": "2592000000"}
    assert (dead.name, dead.partitions) == (topics.dead_letters("payments"), 1)
    assert dead.configuration == {"cleanup.policy": "delete", "retention.ms": "172800000"}
    assert requests.name == "risk.requests"
    assert requests.configuration == {
        "cleanup.policy": "compact",
        "min.compaction.lag.ms": "86400000",
    }


def test_a_prefix_goes_before_every_name(tmp_path: Path) -> None:
    names = [topic.name for topic in read(tmp_path, FILE, "staging.")]

    assert names == ["staging.payments", "staging.payments.dlq", "staging.risk.requests"]


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("partitions = 12", "partitions = 0", r"topics.payments: .*partitions"),
        ("partitions = 12", "partitions = '12'", "Expected `int`"),
        ("partitions = 12", "partitons = 12", "unknown field `partitons`"),
        ("consumed = true", "", "consumed"),
        ("retention_days = 30", "", "either retention_days or compaction_lag_hours"),
        ("retention_days = 30", "retention_days = 1\ncompaction_lag_hours = 1", "either"),
        ('says = "What happened."', "says = ''", "says"),
        ("[topics.payments]", "[topics.Payments]", "regex"),
        ("[topics.payments]", "[topics.a_b]", "regex"),
        ('[topics."risk.requests"]', '[topics."payments.dlq"]', "dead letters of another one"),
        ("[dead_letters]", "[dead]", "unknown field `dead`"),
        ("[dead_letters]", "[dead_letters", "topics.toml"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_the_place(
    before: str, after: str, named: str, tmp_path: Path
) -> None:
    assert before in FILE

    with pytest.raises(topics.BadTopics, match=named):
        read(tmp_path, FILE.replace(before, after, 1))


@pytest.mark.parametrize("prefix", ["A", "a_", "a\n", "x" * 65])
def test_a_prefix_that_does_not_fit_is_refused(prefix: str, tmp_path: Path) -> None:
    with pytest.raises(topics.BadTopics, match="prefix"):
        read(tmp_path, FILE, prefix)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(topics.BadTopics, match="nowhere"):
        topics.read(tmp_path / "nowhere")


def test_this_version_has_every_topic_and_the_dead_letters_of_each() -> None:
    names = {topic.name for topic in of_this_version.read()}

    assert names == WANTED | {topics.dead_letters(name) for name in WANTED}


def test_after_images_are_kept_for_ever_and_all_else_ends() -> None:
    policies = {
        topic.name: topic.configuration["cleanup.policy"] for topic in of_this_version.read()
    }

    compacted = {name for name, policy in policies.items() if policy == "compact"}
    assert compacted == {"accounts", "merchants"}
    assert set(policies.values()) == {"compact", "delete"}

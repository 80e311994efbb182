"""Which dead letters a command means, and how they are found."""

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local.commands import calling, reports
from kit import topics
from processor.consumers import letters
from processor.consumers.letters import Letter, Mark, QueueAway

if TYPE_CHECKING:
    from storage.kafka.dead_letters import DeadLetters

RECORDS_MAX = 200_000
"""Letters and marks of a topic that are looked at together, about 1 kB each."""
TOGETHER_MAX = 500
"""Letters replayed or marked with one wait for the brokers."""
PARTS_PER_SECOND = 10
CLIENT_ID = "tender-dlq"
LATE_SECONDS_MAX = 1.0
ID_PARTS = 4


@dataclass(frozen=True)
class Choice:
    """Which letters are meant: those named, or all that fit."""

    ids: Sequence[str] = ()
    topics: Sequence[str] = ()
    consumer: str | None = None
    cause: str | None = None
    everything: bool = False

    def require_something(self) -> None:
        """Raise Problem unless letters are named or chosen: nobody means all by naming nothing."""
        is_chosen = bool(self.topics or self.consumer or self.cause or self.everything)
        if not self.ids and not is_chosen:
            raise reports.Problem(
                "Which letters? Name them, or choose by --topic, --consumer, --cause or --all.",
                exit_code=reports.EXIT_USAGE,
            )
        if self.ids and is_chosen:
            raise reports.Problem(
                "Letters are named or chosen, not both.", exit_code=reports.EXIT_USAGE
            )

    def means(self, letter: Letter) -> bool:
        """Say whether a letter is among them."""
        return (
            (not self.ids or letter.id in self.ids)
            and self.consumer in (None, letter.consumer)
            and self.cause in (None, letter.cause)
        )


@dataclass(frozen=True)
class Queue:
    """The dead-letter queue of a cluster, with the prefix of its topics."""

    letters: "DeadLetters"
    prefix: str

    def decided(self, choice: Choice) -> list[tuple[Letter, Mark]]:
        """Return what was decided about the letters meant, the newest decision first."""
        found: list[tuple[Letter, Mark]] = []
        for topic in self._topics(choice):
            with explained():
                pairs = letters.decided(_bounded(self.letters.read(topic)))
            found += [pair for pair in pairs if choice.means(pair[0])]
        return sorted(found, key=lambda pair: (-pair[1].at, pair[1].id))

    def find(self, choice: Choice) -> list[Letter]:
        """Return the letters meant that wait for a decision, the oldest first."""
        found: list[Letter] = []
        for topic in self._topics(choice):
            with explained():
                waiting = letters.outstanding(_bounded(self.letters.read(topic)))
            found += filter(choice.means, waiting.values())
        if missing := sorted(set(choice.ids) - {letter.id for letter in found}):
            raise reports.Problem(
                f"No letter {missing[0]} waits for a decision.",
                "It was replayed or dropped, or its retention ended; `tender dlq list --letters`"
                " shows those that wait.",
            )
        return sorted(found, key=lambda letter: letter.first_at)

    def _topics(self, choice: Choice) -> Sequence[str]:
        """Return the topics to look at, by their whole names."""
        with explained():
            known = self.letters.topics()
        if choice.ids:
            wanted = {_topic_of(one) for one in choice.ids}
            return [topic for topic in known if topic in wanted]
        for name in choice.topics:
            if self.prefix + name not in known:
                raise reports.Problem(
                    f"There is no topic {topics.dead_letters(self.prefix + name)}.",
                    f"There are letters of {', '.join(known) or 'no topic'}.",
                    reports.EXIT_USAGE,
                )
        return [self.prefix + name for name in choice.topics] or known


def connect(
    bootstrap: str | None, security_file: Path | None, prefix: str, data_dir: Path
) -> Queue:
    """Return the queue of the brokers that are named, else of the running stack."""
    # They and their driver take long to import, which no other command shall wait for.
    from kit.settings import BadSettings
    from storage.kafka import config
    from storage.kafka.dead_letters import DeadLetters

    address = bootstrap or calling.find_endpoints(data_dir).kafka_bootstrap
    try:
        configuration = config.common(address, CLIENT_ID, security_file)
    except BadSettings as bad:
        raise reports.Problem(str(bad), exit_code=reports.EXIT_USAGE) from None
    return Queue(DeadLetters(configuration, prefix), prefix)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Tells what Kafka refused, or that there is none."""
    try:
        yield
    except QueueAway as away:
        raise reports.Problem(
            f"Kafka does not do it: {away}",
            "Check --bootstrap and --security-file, and whether the brokers run.",
        ) from None


def parts(chosen: Sequence[Letter], count: int = TOGETHER_MAX) -> Iterator[Sequence[Letter]]:
    """Yield letters, some together."""
    for start in range(0, len(chosen), count):
        yield chosen[start : start + count]


def paced(chosen: Sequence[Letter], rate: float) -> Iterator[Sequence[Letter]]:
    """Yield letters at a rate a second; the higher it is the more of them together."""
    count = max(1, min(int(rate / PARTS_PER_SECOND), TOGETHER_MAX))
    due = time.monotonic()
    for part in parts(chosen, count):
        time.sleep(max(due - time.monotonic(), 0.0))
        # What was missed for long is not made up for all at once.
        due = max(due, time.monotonic() - LATE_SECONDS_MAX) + len(part) / rate
        yield part


def _topic_of(letter_id: str) -> str:
    found = letter_id.split("/")
    if len(found) != ID_PARTS or not all(found):
        raise reports.Problem(
            f"{letter_id} is no letter: they are named CONSUMER/TOPIC/PARTITION/OFFSET.",
            "`tender dlq list --letters` shows them.",
            reports.EXIT_USAGE,
        )
    return found[1]


def _bounded(records: Iterable[Letter | Mark]) -> Iterator[Letter | Mark]:
    """Yield what is in a topic, unless that is more than fits into memory."""
    for count, record in enumerate(records):
        if count == RECORDS_MAX:
            raise reports.Problem(
                f"A topic has more than {RECORDS_MAX:,} letters and marks.",
                "Mend what fills it first; the metric tender_consumer_parked_total names it.",
            )
        yield record

"""Kafka's topics: what they are to be, what they are, and making them so."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from deploy import topics as file_of_topics
from deploy.local.commands import calling, output, reports
from deploy.local.commands.brokers import Bootstrap, Prefix, SecurityFile
from deploy.local.commands.calling import DATA_DIR_DEFAULT, DataDir
from deploy.local.commands.output import Output
from kit.topics import BadTopics, Topic
from storage.kafka.topic_plan import BrokersAway, Done, Finding, Seen, State

if TYPE_CHECKING:
    from storage.kafka.topic_admin import TopicAdmin

app = typer.Typer(no_args_is_help=True, help="Make Kafka's topics, and see what they are.")

CLIENT_ID = "tender-topics"
COLOURS = {State.MISSING: "red", State.DIFFERENT: "yellow", State.RIGHT: "green"}
MOCK = (
    "The embedded broker makes each topic when it is first used, and keeps nothing: there is "
    "nothing to apply. `tender up --kafka apache` starts Apache Kafka."
)
DAY_MS = 86_400_000

File = Annotated[
    Path, typer.Option(help="What the topics are to be.", show_default="the file of this version")
]


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Tells what does not fit, or why no broker answers."""
    try:
        yield
    except BadTopics as bad:
        raise reports.Problem(str(bad), exit_code=reports.EXIT_USAGE) from None
    except BrokersAway as away:
        hint = "Check --bootstrap and --security-file, and whether the brokers run."
        raise reports.Problem(f"Kafka does not answer: {away}", hint) from None


@dataclass(frozen=True)
class Whom:
    """A cluster, and the topics that it is to have."""

    bootstrap: str
    admin: "TopicAdmin"
    topics: Sequence[Topic]

    def look(self) -> Seen:
        return self.admin.look(self.topics)


def _whom(
    bootstrap: str | None, security_file: Path | None, prefix: str, file: Path, data_dir: Path
) -> Whom:
    # They and their driver take long to import, which no other command shall wait for.
    from kit.settings import BadSettings
    from storage.kafka import config
    from storage.kafka.topic_admin import TopicAdmin

    topics = file_of_topics.read(prefix, file)
    address = bootstrap or calling.find_endpoints(data_dir).kafka_bootstrap
    try:
        configuration = config.common(address, CLIENT_ID, security_file)
    except BadSettings as bad:
        raise reports.Problem(str(bad), exit_code=reports.EXIT_USAGE) from None
    return Whom(address, TopicAdmin(configuration), topics)


@calling.local(app, "list", "tender topics list", "tender topics list --prefix staging. --json")
def list_topics(printer: Output, prefix: Prefix = "", file: File = file_of_topics.FILE) -> None:
    """Show what the topics are to be, and what is sent in each; asks no broker."""
    with explained():
        topics = file_of_topics.read(prefix, file)
    if printer.as_json:
        printer.json({"topics": [_described(topic) for topic in topics]})
    rows = [
        (each.name, str(each.partitions), _kept(each), escape(each.key), escape(each.says))
        for each in topics
    ]
    printer.show(output.table(("topic", "=partitions", "kept", "key", "what"), rows))


@calling.local(
    app,
    "check",
    "tender topics check",
    "tender topics check --bootstrap kafka:9092 --security-file kafka.toml",
)
def check(
    printer: Output,
    bootstrap: Bootstrap = None,
    security_file: SecurityFile = None,
    prefix: Prefix = "",
    file: File = file_of_topics.FILE,
    data_dir: DataDir = DATA_DIR_DEFAULT,
) -> None:
    """Compare the topics with the file; exit code 1 if one is missing or different."""
    with explained():
        whom = _whom(bootstrap, security_file, prefix, file, data_dir)
        seen = whom.look()
    _show(printer, whom, seen, ())
    if not seen.is_mock and any(each.state is not State.RIGHT for each in seen.findings):
        raise typer.Exit(reports.EXIT_REFUSED)


@calling.local(
    app,
    "apply",
    "tender topics apply",
    "tender topics apply --dry-run",
    "tender topics apply --alter",
    "tender topics apply --bootstrap kafka:9092 --security-file kafka.toml --prefix staging.",
)
def apply(
    printer: Output,
    bootstrap: Bootstrap = None,
    security_file: SecurityFile = None,
    prefix: Prefix = "",
    file: File = file_of_topics.FILE,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done; change nothing.")
    ] = False,
    alter: Annotated[
        bool,
        typer.Option(
            "--alter",
            help="Also change topics that are there: add partitions, set what is configured "
            "otherwise. More partitions move keys to other ones.",
        ),
    ] = False,
    data_dir: DataDir = DATA_DIR_DEFAULT,
) -> None:
    """Make the topics that are missing, after showing what is there.

    Without an administrator's rights it says what is missing, for whoever has them. Exit code 1
    unless all are there afterwards, and with --alter are as the file says.
    """
    with explained():
        whom = _whom(bootstrap, security_file, prefix, file, data_dir)
        seen = whom.look()
        if not printer.as_json:
            _show(printer, whom, seen, ())
        idle = dry_run or seen.is_mock
        done = () if idle else whom.admin.apply(seen.findings, alter=alter)
    if printer.as_json:
        _show(printer, whom, seen, done)
    _tell(printer, seen, done, alter=alter, dry_run=dry_run)
    if any(each.refused for each in done):
        raise typer.Exit(reports.EXIT_REFUSED)


def _show(printer: Output, whom: Whom, seen: Seen, done: Sequence[Done]) -> None:
    """The plan: every topic with its state, and what is not as wanted."""
    if printer.as_json:
        by_name = {each.finding.topic.name: each for each in done}
        printer.json(
            {
                "bootstrap": whom.bootstrap,
                "embedded": seen.is_mock,
                "topics": [
                    _described(each.topic) | _compared(each) | _became(by_name.get(each.topic.name))
                    for each in seen.findings
                ],
            }
        )
        return
    if seen.is_mock:
        printer.say(MOCK)
        return
    rows = [
        (
            each.topic.name,
            f"[{COLOURS[each.state]}]{each.state}[/]",
            str(each.topic.partitions),
            escape(_differences(each)),
        )
        for each in seen.findings
    ]
    printer.show(output.table(("topic", "state", "=partitions", ""), rows))


def _tell(printer: Output, seen: Seen, done: Sequence[Done], *, alter: bool, dry_run: bool) -> None:
    """What was done, what was not allowed, and what is left."""
    for each in done:
        for did in each.did:
            printer.say(f"{each.finding.topic.name}: {did}")
        if each.refused:
            printer.say(f"[red]{each.finding.topic.name}: {escape(each.refused)}[/]")
    refused = [each.finding for each in done if each.refused]
    if refused:
        printer.say("\nFor whoever has the rights:")
        for finding in refused:
            printer.say(escape(_wanted(finding.topic)))
    different = [each for each in seen.findings if each.state is State.DIFFERENT]
    if different and not alter and not seen.is_mock:
        printer.say("What is different stays so without --alter.")
    if dry_run and not seen.is_mock:
        printer.say("Nothing was changed.")


def _differences(finding: Finding) -> str:
    if finding.found is None:
        return ""
    parts = [f"{each.name} is {each.is_now}, not {each.to_be}" for each in finding.changes]
    if finding.found.partitions != finding.topic.partitions:
        parts.insert(0, f"has {finding.found.partitions} partitions")
    if finding.is_hidden:
        parts.append("its configuration is not shown to us")
    return "; ".join(parts)


def _wanted(topic: Topic) -> str:
    properties = " ".join(f"{name}={value}" for name, value in topic.configuration.items())
    return f"{topic.name} partitions={topic.partitions} {properties}"


def _kept(topic: Topic) -> str:
    retention = topic.configuration.get("retention.ms")
    return "last of each key" if retention is None else f"{int(retention) // DAY_MS} days"


def _described(topic: Topic) -> dict[str, Any]:
    return {
        "name": topic.name,
        "says": topic.says,
        "key": topic.key,
        "partitions": topic.partitions,
        "configuration": dict(topic.configuration),
    }


def _compared(finding: Finding) -> dict[str, Any]:
    return {
        "state": finding.state.value,
        "partitionsFound": finding.found.partitions if finding.found else None,
        "configurationShown": finding.found is not None and not finding.is_hidden,
        "changes": {each.name: [each.is_now, each.to_be] for each in finding.changes},
    }


def _became(done: Done | None) -> dict[str, Any]:
    return {} if done is None else {"did": list(done.did), "refused": done.refused}

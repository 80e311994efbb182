"""The dead-letter queue: what consumers could not handle, and what is decided about it."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from deploy.local.commands import calling, dlq_choice, dlq_pages, output, reports
from deploy.local.commands.brokers import Bootstrap, Prefix, SecurityFile
from deploy.local.commands.calling import DATA_DIR_DEFAULT, DataDir
from deploy.local.commands.dlq_choice import Choice
from deploy.local.commands.output import Output
from processor.consumers import letters
from processor.consumers.letters import Letter, Mark

app = typer.Typer(
    no_args_is_help=True, help="List, show, replay and drop what consumers could not handle."
)

RATE_DEFAULT = 50.0

Topics = Annotated[
    list[str] | None, typer.Option("--topic", help="Only of this one, as payments; repeatable.")
]
OfConsumer = Annotated[str | None, typer.Option("--consumer", help="Only of this consumer.")]
Cause = Annotated[str | None, typer.Option(help="Only with this cause, as MALFORMED.")]
Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID]...", help="Letters, as list --letters shows them."),
]
All = Annotated[bool, typer.Option("--all", help="All that wait for a decision.")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most this many, the oldest first.")]
By = Annotated[
    str | None,
    typer.Option(envvar="TENDER_OPERATOR", help="Who decides; else the login and the machine."),
]


@calling.local(
    app,
    "list",
    "tender dlq list",
    "tender dlq list --topic payments --letters",
    "tender dlq list --decided --limit 20",
    "tender dlq list --json",
)
def list_letters(
    printer: Output,
    topics: Topics = None,
    consumer: OfConsumer = None,
    cause: Cause = None,
    each: Annotated[
        bool, typer.Option("--letters", help="Each letter, and not only how many.")
    ] = False,
    decided: Annotated[
        bool,
        typer.Option(
            "--decided", help="What was replayed or dropped, by whom and why, newest first."
        ),
    ] = False,
    limit: Limit = None,
    bootstrap: Bootstrap = None,
    security_file: SecurityFile = None,
    prefix: Prefix = "",
    data_dir: DataDir = DATA_DIR_DEFAULT,
) -> None:
    """List what waits for a decision, by topic, consumer and cause; or what was decided."""
    if each and decided:
        raise typer.BadParameter("--letters are those that wait, --decided those that do not")
    queue = dlq_choice.connect(bootstrap, security_file, prefix, data_dir)
    choice = Choice(topics=topics or (), consumer=consumer, cause=cause)
    if decided:
        _show_decisions(printer, queue.decided(choice)[:limit])
        return
    found = queue.find(choice)
    groups = dlq_pages.grouped(found)
    shown = found[:limit] if each else []
    if printer.as_json:
        content: dict[str, Any] = {"groups": [group.as_dict() for group in groups]}
        if each:
            content["letters"] = [dlq_pages.letter_dict(letter) for letter in shown]
        printer.json(content)
    if not found:
        printer.say("No dead letters.")
    elif each:
        printer.show(output.table(dlq_pages.LETTER_COLUMNS, map(dlq_pages.letter_row, shown)))
    else:
        printer.show(output.table(dlq_pages.GROUP_COLUMNS, [group.row() for group in groups]))


def _show_decisions(printer: Output, found: Sequence[tuple[Letter, Mark]]) -> None:
    if printer.as_json:
        printer.json({"decisions": [dlq_pages.decision_dict(*pair) for pair in found]})
    elif found:
        rows = [dlq_pages.decision_row(*pair) for pair in found]
        printer.show(output.table(dlq_pages.DECISION_COLUMNS, rows))
    else:
        printer.say("Nothing was decided.")


@calling.local(app, "show", "tender dlq show notifications/payments/3/1042")
def show(
    printer: Output,
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="As list --letters shows it.")],
    bootstrap: Bootstrap = None,
    security_file: SecurityFile = None,
    prefix: Prefix = "",
    data_dir: DataDir = DATA_DIR_DEFAULT,
) -> None:
    """Show a letter: why it is here, where it was, and its event; card numbers are masked."""
    queue = dlq_choice.connect(bootstrap, security_file, prefix, data_dir)
    [letter] = queue.find(Choice(ids=(letter_id,)))
    if printer.as_json:
        printer.json(dlq_pages.letter_dict(letter) | dlq_pages.content(letter))
    printer.show(output.grid(dlq_pages.letter_page(letter)))


@calling.local(
    app,
    "replay",
    "tender dlq replay notifications/payments/3/1042",
    "tender dlq replay --topic payments --cause TEMPLATE_MISSING --rate 20",
    "tender dlq replay --all --limit 1000",
)
def replay(
    printer: Output,
    letter_ids: Ids = None,
    topics: Topics = None,
    consumer: OfConsumer = None,
    cause: Cause = None,
    everything: All = False,
    rate: Annotated[
        float, typer.Option(min=0.1, max=10_000, help="Letters a second.")
    ] = RATE_DEFAULT,
    limit: Limit = None,
    by: By = None,
    bootstrap: Bootstrap = None,
    security_file: SecurityFile = None,
    prefix: Prefix = "",
    data_dir: DataDir = DATA_DIR_DEFAULT,
) -> None:
    """Put letters back into their topics as they were, once what was wrong is mended.

    All consumers of a topic get them; those that had handled them know their ids. A letter that
    fails again is parked again, as another one. Who replayed it and when is kept in the queue.
    """
    choice = Choice(letter_ids or (), topics or (), consumer, cause, everything)
    choice.require_something()
    queue = dlq_choice.connect(bootstrap, security_file, prefix, data_dir)
    chosen = queue.find(choice)[:limit]
    cut = [letter for letter in chosen if letter.without_value]
    whole = [letter for letter in chosen if not letter.without_value]
    by, done = by or dlq_pages.operator(), 0
    with dlq_choice.explained():
        for part in dlq_choice.paced(whole, rate):
            # In this order: what dies in between is replayed again, and has no second effect.
            queue.letters.replay(part)
            queue.letters.mark(part, letters.REPLAYED, by, "")
            done += len(part)
            printer.say(f"replayed {done:,} of {len(whole):,}")
    if printer.as_json:
        left = [letter.id for letter in cut]
        printer.json({"replayed": done, "leftWithoutValue": left, "by": by})
    if not chosen:
        printer.say("No dead letters to replay.")
    if cut:
        raise reports.Problem(
            f"{len(cut)} letters were too large to be kept with their events, {cut[0].id} first;"
            " these are not replayed.",
            "Their events are still where the ids say, for as long as their topic is kept."
            " `tender dlq drop` takes them off the list.",
        )


@calling.local(
    app,
    "drop",
    "tender dlq drop notifications/payments/3/1042 --reason 'a test of ours'",
    "tender dlq drop --topic payments --cause MALFORMED --reason 'sent by hand, INC-7'",
)
def drop(
    printer: Output,
    reason: Annotated[str, typer.Option(help="Why nobody has to handle them.")],
    letter_ids: Ids = None,
    topics: Topics = None,
    consumer: OfConsumer = None,
    cause: Cause = None,
    everything: All = False,
    limit: Limit = None,
    by: By = None,
    bootstrap: Bootstrap = None,
    security_file: SecurityFile = None,
    prefix: Prefix = "",
    data_dir: DataDir = DATA_DIR_DEFAULT,
) -> None:
    """Decide that letters need not be handled; they are listed no more.

    Kafka keeps them until the queue's retention ends. Who dropped them, when and why is kept too.
    """
    if not reason.strip():
        raise reports.Problem("A reason is needed.", exit_code=reports.EXIT_USAGE)
    choice = Choice(letter_ids or (), topics or (), consumer, cause, everything)
    choice.require_something()
    queue = dlq_choice.connect(bootstrap, security_file, prefix, data_dir)
    chosen = queue.find(choice)[:limit]
    by, done = by or dlq_pages.operator(), 0
    with dlq_choice.explained():
        for part in dlq_choice.parts(chosen):
            queue.letters.mark(part, letters.DROPPED, by, reason)
            done += len(part)
            printer.say(f"dropped {done:,} of {len(chosen):,}")
    if printer.as_json:
        printer.json({"dropped": done, "by": by, "reason": reason})
    if not chosen:
        printer.say("No dead letters to drop.")

"""The words of messages."""

import itertools
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.markup import escape

from deploy.local.commands import calling, output
from deploy.local.commands.calling import Session
from deploy.local.commands.notification_names import (
    CHANNELS,
    ChannelName,
    TypeName,
    channel_name,
)
from deploy.local.commands.reports import Problem
from tender.v1 import notification_pb2 as pb

app = typer.Typer(no_args_is_help=True, help="The words of messages.")

COLUMNS: Final = ("type", "channel", "language", "version", "whose", "since")

Language = Annotated[str, typer.Argument(metavar="LANGUAGE", help="Such as de or de-AT.")]
Subject = Annotated[str, typer.Option(help="Template of the subject or title, in one line.")]
Text = Annotated[
    typer.FileText | None,
    typer.Option("--text", metavar="FILE", help="Template of the text; - for the input."),
]
Html = Annotated[
    Path | None,
    typer.Option("--html", exists=True, dir_okay=False, help="Template of the HTML part."),
]
Sample = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=TEXT", help="Tried with, for types that services ask for; repeatable."
    ),
]
SampleAmount = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=AMOUNT", help="As in limit='10.50 EUR'; repeatable."),
]


@calling.command(
    app,
    "list",
    "tender notifications templates list",
    "tender notifications templates list payment_captured.payer --json",
)
def list_(
    session: Session,
    type_name: Annotated[str, typer.Argument(metavar="[TYPE]", help="Only of this type.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 200,
) -> None:
    """List the newest version of each template."""
    found = session.client.iter_notification_templates(type=type_name, page_size=min(limit, 200))
    templates = list(itertools.islice(found, limit))
    if session.output.as_json:
        session.output.json({"templates": [output.as_dict(it) for it in templates]})
    else:
        session.output.show(output.table(COLUMNS, map(_row, templates)))


@calling.command(app, "show", "tender notifications templates show login_code email en")
def show(
    session: Session,
    type_name: TypeName,
    channel: ChannelName,
    language: Annotated[str, typer.Argument(metavar="[LANGUAGE]")] = "en",
) -> None:
    """Show the words of a template's newest version, as they were put."""
    found = session.client.iter_notification_templates(type=type_name)
    for it in found:
        if (it.channel, it.language) == (CHANNELS[channel], language):
            session.output.one(it, str(it.version), _rows(it) + _words(it))
            return
    raise Problem(
        "There is no such template.",
        f"`tender notifications templates list {type_name}` shows those there are.",
    )


@calling.command(
    app,
    "put",
    "tender notifications templates put payment_captured.payer email en "
    "--subject 'Paid: {{ payment.captured | money }}' --text captured.txt --html captured.html",
    "echo 'Your code is {{ code }}.' | tender notifications templates put login_code sms en "
    "--text - --sample code=123456",
)
def put(
    session: Session,
    type_name: TypeName,
    channel: ChannelName,
    language: Language,
    text: Text = None,
    subject: Subject = "",
    html: Html = None,
    sample: Sample = None,
    sample_amount: SampleAmount = None,
) -> None:
    """Put another version of a template; it is tried first, and refused if it does not fit.

    Needs the operator scope.
    """
    if text is None:
        raise typer.BadParameter("name a file with --text, or - for the input")
    given = _given(type_name, channel, language, text, subject, html, sample, sample_amount)
    answer = session.client.put_notification_template(
        type=given.type,
        channel=given.channel,
        language=given.language,
        text=given.text,
        subject=given.subject,
        html=given.html,
        sample_texts=given.sample_texts,
        sample_amounts=given.sample_amounts,
    )
    session.output.one(answer, str(answer.template.version), _rows(answer.template))


@calling.command(
    app,
    "preview",
    "tender notifications templates preview payment_captured.payer email de-AT",
    "tender notifications templates preview login_code sms en --text code.txt --sample code=1",
)
def preview(
    session: Session,
    type_name: TypeName,
    channel: ChannelName,
    language: Annotated[str, typer.Argument(metavar="[LANGUAGE]")] = "en",
    text: Text = None,
    subject: Subject = "",
    html: Html = None,
    sample: Sample = None,
    sample_amount: SampleAmount = None,
) -> None:
    """Show what a template makes of a sample: the one that is used, or one that is not put yet."""
    given = _given(type_name, channel, language, text, subject, html, sample, sample_amount)
    answer = session.client.preview_notification_template(template=given)
    session.output.one(answer, answer.text, _words(answer))


def _given(
    type_name: str,
    channel: str,
    language: str,
    text: typer.FileText | None,
    subject: str,
    html: Path | None,
    sample: list[str] | None,
    sample_amount: list[str] | None,
) -> pb.NotificationTemplate:
    amounts = calling.parse_pairs(sample_amount or [])
    return pb.NotificationTemplate(
        type=type_name,
        channel=CHANNELS[channel],
        language=language,
        subject=subject,
        text=text.read() if text is not None else "",
        html=html.read_text() if html is not None else "",
        sample_texts=calling.parse_pairs(sample or []),
        sample_amounts={name: calling.parse_amount(it) for name, it in amounts.items()},
    )


def _whose(it: pb.NotificationTemplate) -> str:
    return "Tender's" if it.built_in else "own"


def _row(it: pb.NotificationTemplate) -> list[str]:
    return [
        it.type,
        channel_name(it.channel),
        it.language,
        str(it.version),
        _whose(it),
        output.moment(it.create_time),
    ]


def _words(it: pb.NotificationTemplate | pb.PreviewNotificationTemplateResponse) -> output.Rows:
    made = [("subject", escape(it.subject)), ("text", escape(it.text.rstrip()))]
    return [*made, ("html", escape(it.html))] if it.html else made


def _rows(it: pb.NotificationTemplate) -> output.Rows:
    return [
        ("template", it.type),
        ("channel", channel_name(it.channel)),
        ("language", it.language),
        ("version", str(it.version)),
        ("whose", _whose(it)),
        ("put", output.moment(it.create_time)),
    ]

"""Where and how people are reached."""

from typing import Annotated

import typer
from rich.markup import escape

from deploy.local.commands import calling, output
from deploy.local.commands.calling import Session
from deploy.local.commands.notification_names import CHANNELS, channel_name
from tender.v1 import notification_pb2 as pb

app = typer.Typer(no_args_is_help=True, help="Where and how people are reached.")

User = Annotated[
    str, typer.Argument(metavar="USER", help="As accounts name their owner, or a merchant's id.")
]
Wish = Annotated[
    list[str] | None,
    typer.Option(metavar="[TYPE/]CHANNEL", help="A type on a channel, or all of it; repeatable."),
]


@calling.command(
    app,
    "put",
    "tender notifications contacts put anna --email anna@example.com --language de-AT "
    "--time-zone Europe/Vienna --quiet-hours 22:00-07:00",
    "tender notifications contacts put mer_... --email shop@example.com "
    "--on payment_captured.merchant/email",
)
def put(
    session: Session,
    user: User,
    email: Annotated[str, typer.Option(help="Address for e-mails.")] = "",
    phone: Annotated[str, typer.Option(help="Number with country code.")] = "",
    push_token: Annotated[str, typer.Option(help="Of the user's device.")] = "",
    language: Annotated[str, typer.Option(help="Such as de-AT.")] = "en",
    time_zone: Annotated[str, typer.Option(help="Such as Europe/Vienna.")] = "UTC",
    quiet_hours: Annotated[
        str, typer.Option(metavar="HH:MM-HH:MM", help="In which only what is urgent is sent.")
    ] = "",
    on: Wish = None,
    off: Wish = None,
) -> None:
    """Set where somebody is reached, in place of all that was set before."""
    quiet_from, dash, quiet_until = quiet_hours.partition("-")
    if quiet_hours and not dash:
        raise typer.BadParameter("quiet hours are written 22:00-07:00")
    wishes = [(text, True) for text in on or ()] + [(text, False) for text in off or ()]
    answer = session.client.put_notification_contact(
        contact=pb.NotificationContact(
            user_id=user,
            email_address=email,
            phone_number=phone,
            push_token=push_token,
            language=language,
            time_zone=time_zone,
            quiet_from=quiet_from,
            quiet_until=quiet_until,
            preferences=[_preference(text, enabled) for text, enabled in wishes],
        )
    )
    session.output.one(answer, answer.contact.user_id, _rows(answer.contact))


@calling.command(app, "show", "tender notifications contacts show anna")
def show(session: Session, user: User) -> None:
    """Show where somebody is reached."""
    answer = session.client.get_notification_contact(user_id=user)
    session.output.one(answer, answer.contact.user_id, _rows(answer.contact))


@calling.command(app, "delete", "tender notifications contacts delete anna")
def delete(session: Session, user: User) -> None:
    """Erase a contact, and the text of all messages to it."""
    answer = session.client.delete_notification_contact(user_id=user)
    session.output.one(answer, user, [("erased", escape(user))])


def _preference(text: str, enabled: bool) -> pb.NotificationPreference:
    type_name, _, channel = text.rpartition("/")
    if channel not in CHANNELS:
        raise typer.BadParameter(f"{text!r} does not end in one of {', '.join(CHANNELS)}")
    return pb.NotificationPreference(type=type_name, channel=CHANNELS[channel], enabled=enabled)


def _rows(it: pb.NotificationContact) -> output.Rows:
    rows = [
        ("user", escape(it.user_id)),
        ("language", it.language),
        ("time zone", it.time_zone),
        ("since", output.moment(it.create_time)),
    ]
    for label, text in (
        ("e-mail", it.email_address),
        ("phone", it.phone_number),
        ("push", it.push_token),
    ):
        if text:
            rows.append((label, escape(text)))
    if it.quiet_from:
        rows.append(("quiet", f"{it.quiet_from} to {it.quiet_until}"))
    for wish in it.preferences:
        what = f"{wish.type or 'everything'} by {channel_name(wish.channel)}"
        rows.append(("wanted" if wish.enabled else "unwanted", what))
    return rows

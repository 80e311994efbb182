"""Messages to people: what became of them, and sending one again."""

import itertools
from typing import Annotated, Final

import typer
from rich.markup import escape

from deploy.local.commands import calling, notification_contacts, notification_templates, output
from deploy.local.commands.calling import RequestId, Session
from deploy.local.commands.notification_names import channel_name
from deploy.local.commands.reports import EXIT_REFUSED, Problem
from tender.v1 import notification_pb2 as pb

app = typer.Typer(
    no_args_is_help=True, help="Messages to people: what became of them, their words, contacts."
)
app.add_typer(notification_templates.app, name="templates")
app.add_typer(notification_contacts.app, name="contacts")

STATES: Final = {
    "": pb.Notification.STATE_UNSPECIFIED,
    "pending": pb.Notification.STATE_PENDING,
    "sent": pb.Notification.STATE_SENT,
    "failed": pb.Notification.STATE_FAILED,
    "cancelled": pb.Notification.STATE_CANCELLED,
}
COLUMNS: Final = (
    *("message", "state", "user", "channel", "type", "to", "tries", "problem", "written"),
)

NotificationId = Annotated[str, typer.Argument(metavar="ID", help="ntf_...")]


def _state(text: str) -> str:
    if text not in STATES:
        raise typer.BadParameter(f"one of {', '.join(filter(None, STATES))}")
    return text


@calling.command(
    app,
    "list",
    "tender notifications list --user anna",
    "tender notifications list --state failed --limit 100",
)
def list_(
    session: Session,
    user: Annotated[str, typer.Option(help="Only to this user or merchant.")] = "",
    event: Annotated[str, typer.Option(help="Only about this event or request.")] = "",
    state: Annotated[
        str, typer.Option(callback=_state, help="pending, sent, failed or cancelled.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 20,
) -> None:
    """List messages, the newest first."""
    found = session.client.iter_notifications(
        user_id=user, event_id=event, state=STATES[state], page_size=min(limit, 200)
    )
    session.output.many("notifications", itertools.islice(found, limit), COLUMNS, _row)


@calling.command(app, "show", "tender notifications show ntf_...")
def show(session: Session, notification: NotificationId) -> None:
    """Show what became of a message; its words and its address are not shown."""
    found = session.client.list_notifications(notification_id=notification).notifications
    if not found:
        raise Problem("There is no such message.", "`tender notifications list`", EXIT_REFUSED)
    session.output.one(found[0], found[0].id, _rows(found[0]))


@calling.command(app, "resend", "tender notifications resend ntf_...")
def resend(session: Session, notification: NotificationId, request_id: RequestId = None) -> None:
    """Send a message again, in the same words, as a new message."""
    answer = session.client.resend_notification(notification_id=notification, request_id=request_id)
    session.output.one(answer, answer.notification.id, _rows(answer.notification))


def _row(it: pb.Notification) -> list[str]:
    return [
        it.id,
        output.state(pb.Notification.State, it.state),
        escape(it.user_id),
        channel_name(it.channel),
        it.type,
        escape(it.masked_address),
        str(it.tries),
        it.problem,
        output.moment(it.create_time),
    ]


def _rows(it: pb.Notification) -> output.Rows:
    rows = [
        ("message", it.id),
        ("state", output.state(pb.Notification.State, it.state)),
        ("user", escape(it.user_id)),
        ("channel", channel_name(it.channel)),
        ("type", it.type),
        ("words", f"{it.language}, version {it.template_version}"),
        ("about", escape(it.event_id)),
        ("tries", str(it.tries)),
        ("written", output.moment(it.create_time)),
    ]
    if it.problem:
        rows.insert(2, ("problem", it.problem))
    if it.masked_address:
        rows.append(("to", escape(it.masked_address)))
    if it.provider_reference:
        rows.append(("known there as", escape(it.provider_reference)))
    if it.state == pb.Notification.STATE_PENDING:
        rows.append(("not before", output.moment(it.next_try_time)))
    if it.state == pb.Notification.STATE_SENT:
        rows.append(("sent", output.moment(it.sent_time)))
    if it.resent_from:
        rows.append(("repeats", it.resent_from))
    return rows

"""Names that commands about notifications take and show."""

from typing import Annotated, Final

import typer

from tender.v1 import notification_pb2 as pb

CHANNELS: Final = {
    "email": pb.NOTIFICATION_CHANNEL_EMAIL,
    "sms": pb.NOTIFICATION_CHANNEL_SMS,
    "push": pb.NOTIFICATION_CHANNEL_PUSH,
}
_NAMES: Final = {number: name for name, number in CHANNELS.items()}


def channel(text: str) -> str:
    """Check the name of a channel."""
    if text not in CHANNELS:
        raise typer.BadParameter(f"one of {', '.join(CHANNELS)}")
    return text


def channel_name(number: pb.NotificationChannel) -> str:
    """Return what a channel is called here."""
    return _NAMES.get(number, "?")


TypeName = Annotated[
    str, typer.Argument(metavar="TYPE", help="Of message, such as payment_captured.payer.")
]
ChannelName = Annotated[
    str, typer.Argument(metavar="CHANNEL", callback=channel, help="email, sms or push.")
]

"""The notifications service: `python -m deploy.servers.notifications [--check]`."""

import asyncio
from pathlib import Path
from typing import Final

from deploy.servers import command, service
from kit import logs, settings
from services import database
from services.notifications import addresses, builtins_store, handlers, requests
from services.notifications.housekeeping import Housekeeping
from services.notifications.kinds import Channel
from services.notifications.mail import MailSender, MailSettings
from services.notifications.provider import ProviderSender, ProviderSettings
from services.notifications.sending import Sender
from services.notifications.service import NotificationCalls
from services.notifications.unowned import Unowned
from services.notifications.worker import Limits, Worker

CONNECTIONS_FOR_CALLS: Final = 8
CONNECTIONS_FOR_WORK: Final = 8
"""A channel needs one for each message that it records, for a moment."""

_log: Final = logs.logger()


async def serve(
    given: settings.NotificationSettings,
    stop: asyncio.Future[str] | None = None,
    *,
    limits: Limits | None = None,
) -> None:
    """Listen, send and answer until told to stop, by `stop` or by a signal.

    Other `limits` of the workers are for tests.
    """
    found = senders(given)
    available = frozenset(found)
    for channel in Channel:
        if channel not in available:
            _log.warning("notification_channel_off", channel=channel.value)
    calls = await database.open_pool(
        given.database_url, "tender notifications calls", size=CONNECTIONS_FOR_CALLS
    )
    work = await database.open_pool(
        given.database_url, "tender notifications work", size=CONNECTIONS_FOR_WORK
    )
    try:
        await builtins_store.bring(work)
        bounds = limits or Limits(at_a_time=given.notifications_at_a_time)
        await service.serve(
            given,
            "notifications",
            calls=NotificationCalls(calls).calls(),
            parts=[
                Unowned(work, available),
                Housekeeping(
                    work,
                    texts_days=given.notification_text_days,
                    log_days=given.notification_log_days,
                ),
                *(
                    Worker(channel, sender, work, limits=bounds)
                    for channel, sender in found.items()
                ),
            ],
            listening=[
                service.events(handlers.Payments(available), handlers.PAYMENT_TYPES),
                service.events(handlers.Owners(), handlers.OWNER_TYPES),
                service.Listening(handlers.Requests(available), requests.read),
            ],
            stop=stop,
        )
    finally:
        await database.close_pool(work)
        await database.close_pool(calls)


def senders(given: settings.NotificationSettings) -> dict[Channel, Sender]:
    """Return what sends on each channel that is set up. Raises BadSettings."""
    found: dict[Channel, Sender] = {}
    if given.smtp_host:
        found[Channel.EMAIL] = MailSender(_mail(given))
    for channel, url in (
        (Channel.SMS, given.sms_provider_url),
        (Channel.PUSH, given.push_provider_url),
    ):
        if url:
            assert given.provider_token_file is not None, "settings ask for it"
            provider = ProviderSettings(
                url, given.provider_token_file, _text(given.provider_ca_file)
            )
            found[channel] = ProviderSender(channel, provider)
    return found


def _mail(given: settings.NotificationSettings) -> MailSettings:
    try:
        sender = addresses.email(given.mail_sender)
    except addresses.BadAddress as bad:
        raise settings.BadSettings(f"TENDER_MAIL_SENDER: {bad}") from None
    if not given.mail_sender_name.isprintable():
        raise settings.BadSettings("TENDER_MAIL_SENDER_NAME: has to be one printable line")
    return MailSettings(
        hostname=given.smtp_host,
        port=given.smtp_port,
        sender=sender,
        sender_name=given.mail_sender_name,
        message_id_domain=sender.rpartition("@")[2],
        security=given.smtp_security,
        username=given.smtp_username,
        password=given.smtp_password(),
        ca_file=_text(given.smtp_ca_file),
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


if __name__ == "__main__":
    command.run("notifications", __doc__, settings.NotificationSettings, serve)

"""Sends e-mails by SMTP: over kept connections, each message with an id that stays the same."""

import asyncio
import ssl
import time
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from typing import Final

import aiosmtplib

from services.notifications.outcomes import Away, Later, Outcome, Refused, Sent
from services.notifications.sending import Sendable

CONNECT_SECONDS_MAX: Final = 10.0
COMMAND_SECONDS_MAX: Final = 15.0
IDLE_SECONDS_MAX: Final = 20.0
"""Servers close idle connections; one that is kept longer is rather opened anew."""
MESSAGES_PER_CONNECTION_MAX: Final = 100
QUIT_SECONDS_MAX: Final = 2.0

# RFC 5321: the server shuts down, or a login, TLS or a sender that it wants otherwise.
_SEVEN_BITS: Final = SMTP_POLICY.clone(cte_type="7bit")
"""Servers that take no more are still about."""
_AWAY_CODES: Final = frozenset({421, 454, 530, 534, 535, 538})


@dataclass(frozen=True)
class MailSettings:
    """Which server takes our e-mails, and who they are from."""

    hostname: str
    port: int
    sender: str
    sender_name: str
    message_id_domain: str
    security: str = "starttls"
    """"starttls", "tls" or "none"."""
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: str | None = None


class _Connection:
    def __init__(self, smtp: aiosmtplib.SMTP) -> None:
        self.smtp = smtp
        self.used_at = time.monotonic()
        self.count = 0

    @property
    def is_fit(self) -> bool:
        return (
            self.smtp.is_connected
            and self.count < MESSAGES_PER_CONNECTION_MAX
            and time.monotonic() - self.used_at < IDLE_SECONDS_MAX
        )


class MailSender:
    """Gives e-mails to a server. Several at a time use a connection each."""

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings
        self._idle: list[_Connection] = []
        self._tls: ssl.SSLContext | None = None
        if settings.security != "none":
            self._tls = ssl.create_default_context(cafile=settings.ca_file)

    async def send(self, sendable: Sendable) -> Outcome:
        """Send one; what the server says is told by its code, for its text may show addresses."""
        message = compose(sendable, self._settings)
        try:
            connection = await self._take()
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            return Away(_code(error))
        try:
            outcome = await self._give(connection.smtp, message, sendable.address)
        except BaseException:
            connection.smtp.close()
            raise
        connection.count += 1
        connection.used_at = time.monotonic()
        if isinstance(outcome, Sent | Refused) and connection.smtp.is_connected:
            self._idle.append(connection)
        else:
            connection.smtp.close()
        return outcome

    async def close(self) -> None:
        """Close what is kept open."""
        idle, self._idle = self._idle, []
        for connection in idle:
            await _quit(connection.smtp)

    async def _take(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_fit:
                await _quit(connection.smtp)
                continue
            try:
                # It may be gone without anybody having said so.
                await connection.smtp.rset(timeout=COMMAND_SECONDS_MAX)
            except (aiosmtplib.SMTPException, OSError, TimeoutError):
                connection.smtp.close()
                continue
            return connection
        return _Connection(await self._open())

    async def _open(self) -> aiosmtplib.SMTP:
        settings = self._settings
        smtp = aiosmtplib.SMTP(
            hostname=settings.hostname,
            port=settings.port,
            timeout=COMMAND_SECONDS_MAX,
            use_tls=settings.security == "tls",
            start_tls=settings.security == "starttls",
            tls_context=self._tls,
            username=settings.username or None,
            password=settings.password or None,
        )
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                await smtp.connect()
        except BaseException:
            smtp.close()
            raise
        return smtp

    async def _give(self, smtp: aiosmtplib.SMTP, message: EmailMessage, address: str) -> Outcome:
        try:
            await smtp.sendmail(
                self._settings.sender, [address], message.as_bytes(policy=_SEVEN_BITS)
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            return _refusal(error.recipients[0].code)
        except aiosmtplib.SMTPSenderRefused as error:
            return _sender_refusal(error.code)
        except aiosmtplib.SMTPResponseException as error:
            return _refusal(error.code)
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            # It may have been taken: it is sent again, under the same id.
            return Later(_code(error))
        return Sent()


def compose(sendable: Sendable, settings: MailSettings) -> EmailMessage:
    """Return an e-mail; the same message gives the same e-mail, whenever it is sent.

    Headers are made of structured values: what is not one line or no address raises ValueError.
    """
    message = EmailMessage(policy=SMTP_POLICY)
    message["From"] = Address(settings.sender_name, addr_spec=settings.sender)
    message["To"] = Address(addr_spec=sendable.address)
    message["Subject"] = sendable.parts.subject
    message["Date"] = format_datetime(sendable.created_at)
    message["Message-ID"] = f"<{sendable.notification_id}@{settings.message_id_domain}>"
    message["Content-Language"] = sendable.language
    # Nobody's absence notes are wanted (RFC 3834).
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(sendable.parts.text)
    if sendable.parts.html:
        message.add_alternative(sendable.parts.html, subtype="html")
        # Python chooses boundaries at random.
        message.set_boundary(f"={sendable.notification_id}=")
    return message


def _refusal(code: int) -> Outcome:
    if code in _AWAY_CODES:
        return Away(f"SMTP_{code}")
    return Refused(f"SMTP_{code}") if 500 <= code < 600 else Later(f"SMTP_{code}")


def _sender_refusal(code: int) -> Outcome:
    # It is not the message that the server has something against, unless that is its size.
    return Away(f"SMTP_{code}") if 500 <= code < 600 and code != 552 else _refusal(code)


def _code(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "TIMEOUT"
        case aiosmtplib.SMTPResponseException():
            return f"SMTP_{error.code}"
        case aiosmtplib.SMTPConnectError():
            return "CONNECTION_FAILED"
        case aiosmtplib.SMTPServerDisconnected() | ConnectionError():
            return "CONNECTION_LOST"
        case ssl.SSLError():
            return "TLS_FAILED"
        case _:
            return "CONNECTION_FAILED"


async def _quit(smtp: aiosmtplib.SMTP) -> None:
    try:
        async with asyncio.timeout(QUIT_SECONDS_MAX):
            await smtp.quit()
    except (aiosmtplib.SMTPException, OSError, TimeoutError):
        smtp.close()

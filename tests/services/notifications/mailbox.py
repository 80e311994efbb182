"""A mail server on this machine, which takes e-mails or does what it is told instead."""

import asyncio
import email
import email.policy
import ssl
from collections.abc import Callable
from email.message import EmailMessage
from types import TracebackType
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session


class Mailbox:
    """What came, and how it answers: each hook returns an answer, or None to go on."""

    def __init__(
        self, *, tls: ssl.SSLContext | None = None, login: tuple[str, str] | None = None
    ) -> None:
        self.messages: list[EmailMessage] = []
        self.connections = 0
        self.recipients: list[str] = []
        self.port = 0
        self.on_recipient: Callable[[str], str | None] = lambda address: None
        self.on_sender: Callable[[str], str | None] = lambda address: None
        self.on_message: Callable[[SMTP], Any] = lambda server: None
        """May return an answer, or something to await that does."""
        self._tls = tls
        self._login = login
        self._server: asyncio.Server | None = None
        self._protocols: list[SMTP] = []

    @property
    def ids(self) -> list[str]:
        """The ids of what came, in their order."""
        return [str(message["Message-ID"]) for message in self.messages]

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def open(self, port: int = 0) -> None:
        """Listen; on the same port again after a close."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Listen no more and end what is open."""
        assert self._server is not None
        self._server.close()
        for protocol in self._protocols:
            transport: Any = protocol.transport
            # With TLS, Python 3.11.2 cannot abort what is closed already.
            if transport is not None and not transport.is_closing():
                transport.abort()
        await self._server.wait_closed()

    def _protocol(self) -> SMTP:
        self.connections += 1
        given: dict[str, Any] = {}
        if self._tls is not None:
            given = {"tls_context": self._tls, "require_starttls": True}
        if self._login is not None:
            given |= {"authenticator": self._authenticate, "auth_required": True}
            given |= {"auth_require_tls": self._tls is not None}
        protocol = SMTP(self, hostname="mailbox", timeout=60, **given)
        self._protocols.append(protocol)
        return protocol

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        given = (data.login.decode(), data.password.decode())
        return AuthResult(success=given == self._login, handled=False)

    async def handle_MAIL(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        """Answer MAIL."""
        refused = self.on_sender(address)
        if refused is None:
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return refused or "250 OK"

    async def handle_RCPT(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        """Answer RCPT."""
        refused = self.on_recipient(address)
        if refused is not None:
            return refused
        envelope.rcpt_tos.append(address)
        self.recipients.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Answer a message."""
        said = self.on_message(server)
        if asyncio.iscoroutine(said):
            said = await said
        if isinstance(said, str) and not said.startswith("250"):
            return said
        assert isinstance(envelope.content, bytes)
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        return said if isinstance(said, str) else "250 OK"

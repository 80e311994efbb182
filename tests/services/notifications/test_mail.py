"""E-mails to a real mail server: what is in them, and what each way of saying no means."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.notifications import mail
from services.notifications.mail import MailSender, MailSettings
from services.notifications.outcomes import Away, Later, Outcome, Refused, Sent
from services.notifications.sending import Sendable
from services.notifications.templates import Parts
from tests.services.notifications import raw
from tests.services.notifications.mailbox import Mailbox

AT = datetime(2026, 11, 21, 18, 5, tzinfo=UTC)
ADDRESS = "anna@example.com"
CERTIFICATE_SECONDS_MAX = 30


def sendable(number: int = 1, address: str = ADDRESS, **changed: str) -> Sendable:
    parts = Parts(
        **({"subject": "Grüße", "text": "Zahlung über 10 €", "html": "<p>Ü</p>"} | changed)
    )
    return Sendable(f"ntf_{number}", address, "de", parts, AT)


def settings(port: int, **given: Any) -> MailSettings:
    usual: dict[str, Any] = {
        "hostname": "127.0.0.1",
        "port": port,
        "sender": "payments@shop.example.com",
        "sender_name": "The Shop, Ltd.",
        "message_id_domain": "shop.example.com",
        "security": "none",
    }
    return MailSettings(**(usual | given))


@pytest.fixture
async def sender(mailbox: Mailbox) -> AsyncIterator[MailSender]:
    made = MailSender(settings(mailbox.port))
    yield made
    await made.close()


async def test_an_e_mail_has_its_words_as_text_and_html_and_says_what_it_is(
    mailbox: Mailbox, sender: MailSender
) -> None:
    assert await sender.send(sendable()) == Sent()

    (message,) = mailbox.messages
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().strip() == "Zahlung über 10 €"
    assert html.get_content().strip() == "<p>Ü</p>"
    assert message["Subject"] == "Grüße"
    assert message["To"] == ADDRESS
    assert message["From"] == '"The Shop, Ltd." <payments@shop.example.com>'
    assert message["Message-ID"] == "<ntf_1@shop.example.com>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime == AT
    assert mailbox.recipients == [ADDRESS]


async def test_the_same_message_is_the_same_e_mail_each_time() -> None:
    one, other = (mail.compose(sendable(), settings(1)).as_bytes() for _ in range(2))

    assert one == other


async def test_a_message_without_html_has_one_part(mailbox: Mailbox, sender: MailSender) -> None:
    await sender.send(sendable(html=""))

    assert mailbox.messages[0].get_content_type() == "text/plain"


@pytest.mark.parametrize(
    "changed",
    [
        {"subject": "x\r\nBcc: ben@example.com"},
        {"subject": "x\nBcc: ben@example.com"},
        {"address": "anna@example.com\r\nBcc: ben@example.com"},
        {"address": "anna@example.com, ben@example.com"},
        {"address": "anna@example.com>\r\nRCPT TO:<ben@example.com"},
    ],
    ids=str,
)
async def test_no_header_and_no_recipient_can_be_slipped_in(
    mailbox: Mailbox, sender: MailSender, changed: dict[str, Any]
) -> None:
    # Both are checked where they come in; this is the second wall.
    with pytest.raises(ValueError, match=r".+"):
        await sender.send(sendable(**changed))

    assert mailbox.recipients == []


async def test_several_e_mails_use_one_connection(mailbox: Mailbox, sender: MailSender) -> None:
    for number in range(5):
        assert await sender.send(sendable(number)) == Sent()

    assert mailbox.connections == 1
    assert mailbox.ids == [f"<ntf_{number}@shop.example.com>" for number in range(5)]


async def test_a_connection_that_went_away_meanwhile_is_opened_anew(
    mailbox: Mailbox, sender: MailSender
) -> None:
    await sender.send(sendable(1))
    await mailbox.close()
    await mailbox.open(mailbox.port)

    assert await sender.send(sendable(2)) == Sent()


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("550 5.1.1 no such user anna@example.com", Refused("SMTP_550")),
        ("552 5.2.2 full", Refused("SMTP_552")),
        ("450 4.2.0 greylisted, come again", Later("SMTP_450")),
        ("451 4.3.0 try later", Later("SMTP_451")),
        ("421 4.3.2 going down", Away("SMTP_421")),
    ],
)
async def test_what_a_server_says_of_a_recipient_is_told_by_its_code(
    mailbox: Mailbox, sender: MailSender, answer: str, outcome: Outcome
) -> None:
    mailbox.on_recipient = lambda address: answer

    assert await sender.send(sendable()) == outcome


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("553 5.7.1 not your address", Away("SMTP_553")),
        ("552 5.3.4 too large", Refused("SMTP_552")),
        ("451 4.3.0 try later", Later("SMTP_451")),
    ],
)
async def test_a_sender_that_is_refused_is_no_messages_fault(
    mailbox: Mailbox, sender: MailSender, answer: str, outcome: Outcome
) -> None:
    mailbox.on_sender = lambda address: answer

    assert await sender.send(sendable()) == outcome


async def test_after_a_refusal_the_next_message_goes(mailbox: Mailbox, sender: MailSender) -> None:
    mailbox.on_recipient = lambda address: "550 no" if address.startswith("ben") else None

    assert await sender.send(sendable(1, "ben@example.com")) == Refused("SMTP_550")
    assert await sender.send(sendable(2)) == Sent()


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [("554 5.7.1 spam", Refused("SMTP_554")), ("452 4.3.1 full", Later("SMTP_452"))],
)
async def test_what_a_server_says_of_a_message_is_told_by_its_code(
    mailbox: Mailbox, sender: MailSender, answer: str, outcome: Outcome
) -> None:
    mailbox.on_message = lambda server: answer

    assert await sender.send(sendable()) == outcome


async def test_a_server_that_drops_the_message_half_way_may_have_it(
    mailbox: Mailbox, sender: MailSender
) -> None:
    mailbox.on_message = lambda server: server.transport.abort()  # type: ignore[union-attr]

    assert await sender.send(sendable()) == Later("CONNECTION_LOST")


async def test_a_server_that_hangs_with_a_message_may_have_it(
    mailbox: Mailbox, sender: MailSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail, "COMMAND_SECONDS_MAX", 0.3)
    mailbox.on_message = lambda server: asyncio.sleep(30)

    assert await sender.send(sendable()) == Later("TIMEOUT")


async def test_a_server_that_is_not_there_is_away(mailbox: Mailbox, sender: MailSender) -> None:
    await mailbox.close()
    try:
        assert await sender.send(sendable()) == Away("CONNECTION_FAILED")
    finally:
        await mailbox.open()


async def test_a_server_that_does_not_greet_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "CONNECT_SECONDS_MAX", 0.3)

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw.listening(say_nothing) as port:
        sender = MailSender(settings(port))
        assert await sender.send(sendable()) == Away("TIMEOUT")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("certificate")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", key, "-out", cert, "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
        timeout=CERTIFICATE_SECONDS_MAX,
    )
    return cert, key


@pytest.fixture
async def guarded(certificate: tuple[Path, Path]) -> AsyncIterator[Mailbox]:
    """A server that wants TLS and a login."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    async with Mailbox(tls=context, login=("tender", "right")) as server:
        yield server


async def test_a_server_gets_login_and_message_inside_tls_alone(
    guarded: Mailbox, certificate: tuple[Path, Path]
) -> None:
    given = {"security": "starttls", "username": "tender", "ca_file": str(certificate[0])}
    sender = MailSender(settings(guarded.port, password="right", **given))

    outcome = await sender.send(sendable())

    await sender.close()
    assert outcome == Sent()


async def test_a_login_that_is_not_taken_is_no_messages_fault(
    guarded: Mailbox, certificate: tuple[Path, Path]
) -> None:
    given = {"security": "starttls", "username": "tender", "ca_file": str(certificate[0])}
    sender = MailSender(settings(guarded.port, password="wrong", **given))

    assert await sender.send(sendable()) == Away("SMTP_535")


async def test_a_server_that_nobody_vouches_for_gets_nothing(guarded: Mailbox) -> None:
    sender = MailSender(
        settings(guarded.port, security="starttls", username="tender", password="right")
    )

    outcome = await sender.send(sendable())

    assert isinstance(outcome, Away)
    assert guarded.recipients == []


async def test_a_server_without_tls_gets_nothing_where_tls_is_asked_for(mailbox: Mailbox) -> None:
    sender = MailSender(settings(mailbox.port, security="starttls"))

    outcome = await sender.send(sendable())

    assert isinstance(outcome, Away)
    assert mailbox.recipients == []


def test_a_password_is_in_no_repr() -> None:
    assert "right" not in repr(settings(1, password="right"))

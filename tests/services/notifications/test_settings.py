"""Settings of the service: what does not fit together is said before anything is sent."""

from pathlib import Path
from typing import Any

import pytest

from deploy.servers import notifications
from kit.settings import BadSettings, NotificationSettings
from services.notifications.kinds import Channel

MAIL = {"smtp_host": "mail.example.com", "mail_sender": "a@example.com"}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"smtp_host": "mail.example.com"}, "TENDER_MAIL_SENDER"),
        (MAIL | {"smtp_security": "none"}, "TENDER_SMTP_SECURITY"),
        (MAIL | {"smtp_host": "localhost.example.com", "smtp_security": "none"}, "SMTP_SECURITY"),
        ({"sms_provider_url": "http://sms.example.com/", "provider_token_file": "t"}, "SMS"),
        ({"sms_provider_url": "https://a:b@sms.example.com/", "provider_token_file": "t"}, "SMS"),
        ({"push_provider_url": "ftp://127.0.0.1/", "provider_token_file": "t"}, "PUSH"),
        ({"push_provider_url": "https://push.example.com/"}, "TENDER_PROVIDER_TOKEN_FILE"),
        ({"notifications_at_a_time": 0}, "TENDER_NOTIFICATIONS_AT_A_TIME"),
    ],
    ids=str,
)
def test_what_does_not_fit_together_is_named(given: dict[str, Any], named: str) -> None:
    with pytest.raises(BadSettings, match=named):
        NotificationSettings.load(**given)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_a_server_on_this_machine_may_go_without_tls(host: str) -> None:
    loaded = NotificationSettings.load(**MAIL | {"smtp_host": host, "smtp_security": "none"})

    assert loaded.smtp_security == "none"


def test_a_channel_whose_server_is_not_named_is_not_used(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    given = {"sms_provider_url": "https://sms.example.com/", "provider_token_file": token}

    assert set(notifications.senders(NotificationSettings.load())) == set()
    assert set(notifications.senders(NotificationSettings.load(**given))) == {Channel.SMS}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"mail_sender": "a@example.com\r\nBcc: b@example.com"}, "TENDER_MAIL_SENDER"),
        ({"mail_sender_name": "Shop\r\nBcc: b@example.com"}, "TENDER_MAIL_SENDER_NAME"),
        ({"smtp_password_file": "/nowhere/password"}, "/nowhere/password"),
    ],
    ids=str,
)
def test_a_sender_that_is_none_is_said_at_the_start(given: dict[str, Any], named: str) -> None:
    loaded = NotificationSettings.load(**MAIL | given)

    with pytest.raises(BadSettings, match=named):
        notifications.senders(loaded)


def test_a_password_is_not_shown(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("open sesame\n")

    loaded = NotificationSettings.load(**MAIL | {"smtp_password_file": password})

    assert loaded.smtp_password() == "open sesame"
    assert "sesame" not in repr(loaded)

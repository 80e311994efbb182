"""What is for developers alone is refused in production, before anything listens or connects."""

import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.servers import webhooks
from kit import settings

SECONDS_MAX = 60.0


def test_loopback_is_refused_in_production() -> None:
    with pytest.raises(settings.BadSettings, match="TENDER_ENVIRONMENT=development"):
        settings.WebhookSettings.load(webhooks_allow_loopback=True)
    with pytest.raises(settings.BadSettings, match="TENDER_ENVIRONMENT=development"):
        settings.WebhookSettings.load(webhooks_allow_loopback=True, environment="production")


def test_loopback_is_for_developers() -> None:
    loaded = settings.WebhookSettings.load(webhooks_allow_loopback=True, environment="development")

    assert loaded.webhooks_allow_loopback


def test_a_process_that_is_told_to_allow_it_in_production_does_not_start() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.servers.webhooks", "--check"],
        env={"TENDER_WEBHOOKS_ALLOW_LOOPBACK": "true", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )

    assert done.returncode == 1
    assert "TENDER_WEBHOOKS_ALLOW_LOOPBACK" in done.stderr


def test_ports_and_topics_come_as_lists() -> None:
    loaded = settings.WebhookSettings.load(
        webhooks_ports="443,9443", webhooks_topics="payments,accounts"
    )

    assert loaded.webhooks_ports == (443, 9443)
    assert loaded.webhooks_topics == ("payments", "accounts")


@pytest.mark.parametrize(
    "given", [{"webhooks_ports": "0"}, {"webhooks_ports": ""}, {"webhooks_topics": "merchants"}]
)
def test_what_does_not_fit_is_named(given: dict[str, str]) -> None:
    [name] = given

    with pytest.raises(settings.BadSettings, match=name.upper()):
        settings.WebhookSettings.load(**given)


def test_keys_that_do_not_fit_are_bad_settings_without_being_shown(tmp_path: Path) -> None:
    secret = secrets.token_hex(16)
    (tmp_path / "keys").write_text(secret)
    loaded = settings.WebhookSettings.load(webhooks_keys_file=tmp_path / "keys")

    with pytest.raises(settings.BadSettings, match="TENDER_WEBHOOKS_KEYS_FILE") as refused:
        webhooks.keys_of(loaded)

    assert secret not in str(refused.value)

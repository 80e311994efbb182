"""Settings: which source wins, what is shown, what is refused."""

import os
from pathlib import Path

import pytest

from kit import settings


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(settings.PREFIX)]:
        monkeypatch.delenv(name)


def write(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "tender.toml"
    path.write_text(text)
    monkeypatch.setenv(settings.FILE_VARIABLE, str(path))


def test_environment_wins_over_section_over_top_over_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        tmp_path,
        """
        region = "us"
        log_level = "debug"
        shard = "s2"
        metrics_listen = "127.0.0.1:1"
        [gateway]
        log_level = "error"
        metrics_listen = "127.0.0.1:2"
        [processor]
        batch_commands_max = 7
        """,
        monkeypatch,
    )
    monkeypatch.setenv("TENDER_METRICS_LISTEN", "127.0.0.1:3")

    gateway = settings.GatewaySettings.load()
    processor = settings.ProcessorSettings.load()

    assert gateway.metrics_listen == processor.metrics_listen == "127.0.0.1:3"
    assert (gateway.log_level, processor.log_level) == ("error", "debug")
    assert (gateway.region, processor.shard, processor.batch_commands_max) == ("us", "s2", 7)
    assert gateway.max_in_flight == 4_096


@pytest.mark.parametrize(
    "text", ["regoin = 'eu'", "[gateway]\nshard = 's1'", "not toml", "[gateway]\nreflection = 'x'"]
)
def test_a_file_with_a_mistake_is_refused(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, text, monkeypatch)

    with pytest.raises(settings.BadSettings):
        settings.GatewaySettings.load()


def test_secrets_come_from_files_and_are_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "url"
    secret.write_text("postgresql://tender:hunter2@db/tender?password=hunter3\n")
    monkeypatch.setenv("TENDER_DATABASE_URL_FILE", str(secret))
    monkeypatch.setenv("TENDER_REPLICA_DATABASE_URLS", "postgresql://a:hunter4@r1/t,host=r2")

    processor = settings.ProcessorSettings.load()

    assert processor.database_url == "postgresql://tender:hunter2@db/tender?password=hunter3"
    assert processor.replica_database_urls == ("postgresql://a:hunter4@r1/t", "host=r2")
    shown = repr(processor) + str(processor) + str(processor.effective())
    assert "hunter" not in shown
    assert "postgresql://***@db/tender?password=***" in shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TENDER_REGION", "EU!"),
        ("TENDER_PROCESSOR_LISTEN", "nowhere"),
        ("TENDER_PROCESSOR_LISTEN", "127.0.0.1:99999"),
        ("TENDER_REQUEST_KEY_RETENTION_DAYS", "0"),
        ("TENDER_BATCH_COMMANDS_MAX", "1001"),
        ("TENDER_LOG_LEVEL", "loud"),
        ("TENDER_QUEUE_COMMANDS_MAX", "hunter2"),
    ],
)
def test_a_value_that_does_not_fit_is_named_and_not_shown(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(settings.BadSettings, match=name) as caught:
        settings.ProcessorSettings.load()

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "short", "x" * 40 + "\n" + "y" * 40])
def test_a_weak_internal_token_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(content)

    with pytest.raises(settings.BadSettings):
        settings.GatewaySettings(internal_token_file=path).internal_token()


def test_secrets_that_are_missing_are_named(tmp_path: Path) -> None:
    gateway = settings.GatewaySettings(
        internal_token_file=tmp_path / "no-token", api_key_pepper_file=tmp_path / "no-pepper"
    )

    with pytest.raises(settings.BadSettings, match="no-token"):
        gateway.internal_token()
    with pytest.raises(settings.BadSettings, match="no-pepper"):
        gateway.api_key_pepper()


def test_the_owner_of_a_lane_names_its_process() -> None:
    assert ":" in settings.ProcessorSettings.load().lane_owner


def test_the_table_has_every_setting_once() -> None:
    table = settings.markdown_table()

    for server in settings.SERVERS:
        for name, field in server.model_fields.items():
            assert table.count(f"| `TENDER_{name.upper()}` |") == 1
            assert field.description

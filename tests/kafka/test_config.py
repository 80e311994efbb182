"""What clients of Kafka have in common, and secrets that are not shown."""

from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from kit.settings import BadSettings, KafkaSettings
from storage.kafka import config

SCRAM = """
security.protocol = "SASL_SSL"
sasl.mechanism = "SCRAM-SHA-512"
"sasl.username" = "tender"
sasl.password = "hunter2"
enable.ssl.certificate.verification = true
"""


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "security.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_file_s_properties_go_beside_the_common_ones(tmp_path: Path) -> None:
    given = config.common("a:9092,b:9092", "tender-relay", written(tmp_path, SCRAM))

    assert given == {
        **config.COMMON,
        "bootstrap.servers": "a:9092,b:9092",
        "client.id": "tender-relay",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "tender",
        "sasl.password": "hunter2",
        "enable.ssl.certificate.verification": True,
    }


def test_without_a_file_it_is_plain_text() -> None:
    given = config.common("a:9092", "tender")

    assert given.keys() == {*config.COMMON, "bootstrap.servers", "client.id"}


def test_librdkafka_knows_every_property(tmp_path: Path) -> None:
    AdminClient(config.common("127.0.0.1:1", "tender", written(tmp_path, SCRAM)))


def test_the_settings_of_a_server_make_them(tmp_path: Path) -> None:
    settings = KafkaSettings(
        kafka_bootstrap="a:9092", kafka_security_file=written(tmp_path, SCRAM), topic_prefix="x."
    )

    assert config.of(settings, "me") == config.common("a:9092", "me", settings.kafka_security_file)
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize("prefix", ["Upper", "a_b", "a b", "x" * 65])
def test_a_prefix_that_does_not_fit_is_refused(
    prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENDER_TOPIC_PREFIX", prefix)

    with pytest.raises(BadSettings, match="TENDER_TOPIC_PREFIX"):
        KafkaSettings.load()


def test_no_broker_is_a_mistake() -> None:
    with pytest.raises(BadSettings, match="TENDER_KAFKA_BOOTSTRAP"):
        config.common("", "tender")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('sasl.password = "hunter2', "is not TOML"),
        ('acks = "hunter2"', "acks is no property of security"),
        ('bootstrap.servers = "hunter2"', "bootstrap.servers is no property of security"),
        ('sasl.password = ["hunter2"]', "sasl.password is neither"),
        ("sasl.password = 1.5", "sasl.password is neither"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_without_its_values(
    text: str, named: str, tmp_path: Path
) -> None:
    with pytest.raises(BadSettings, match=named) as caught:
        config.security(written(tmp_path, text))

    assert "hunter2" not in str(caught.value)
    assert "TENDER_KAFKA_SECURITY_FILE" in str(caught.value)


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="others may not read"):
        config.security(written(tmp_path, SCRAM, 0o644))


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"none\.toml: FileNotFoundError"):
        config.security(tmp_path / "none.toml")

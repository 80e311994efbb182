"""`tender topics` as somebody with few rights or none, on a broker that asks who is calling."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from typer.testing import CliRunner, Result

from deploy.local import cli
from tests.kafka.brokers import CALL_SECONDS_MAX, ApacheKafka

PASSWORDS = {"admin": "all-may-i", "app": "little-may-i"}
MODULE = "org.apache.kafka.common.security.plain.PlainLoginModule"
USERS = " ".join(f'user_{name}="{password}"' for name, password in PASSWORDS.items())
SETTINGS = {
    # The listener keeps its name; who comes has to prove who they are.
    "listener.security.protocol.map": "PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
    "sasl.enabled.mechanisms": "PLAIN",
    "sasl.mechanism.inter.broker.protocol": "PLAIN",
    "listener.name.plaintext.plain.sasl.jaas.config": (
        f'{MODULE} required username="admin" password="{PASSWORDS["admin"]}" {USERS};'
    ),
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:admin;User:ANONYMOUS",
}
FILE = """
[topics.payments]
says = "What happened."
key = "payment"
partitions = 2
retention_days = 7
consumed = false

[dead_letters]
partitions = 1
retention_days = 30
"""
Run = Callable[..., Result]


def properties(user: str, password: str) -> dict[str, Any]:
    return {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": user,
        "sasl.password": password,
    }


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    admin = properties("admin", PASSWORDS["admin"])
    with ApacheKafka(tmp_path_factory.mktemp("guarded"), SETTINGS, admin) as broker:
        yield broker


@pytest.fixture
def run(guarded: ApacheKafka, topic_prefix: str, tmp_path: Path) -> Run:
    """Runs `tender topics` as a user."""
    file = tmp_path / "topics.toml"
    file.write_text(FILE)

    def invoke(user: str, *arguments: str, password: str | None = None) -> Result:
        security = tmp_path / f"{user}.toml"
        given = properties(user, password or PASSWORDS[user])
        security.write_text("".join(f'{name} = "{value}"\n' for name, value in given.items()))
        security.chmod(0o600)
        at = [
            *("--bootstrap", guarded.bootstrap, "--security-file", str(security)),
            *("--prefix", topic_prefix, "--file", str(file)),
        ]
        runner = CliRunner(env={"TENDER_DATA_DIR": str(tmp_path / "none"), "COLUMNS": "200"})
        return runner.invoke(cli.app, ["topics", *arguments, *at])

    return invoke


def let_see(guarded: ApacheKafka, prefix: str) -> None:
    """Let `app` see that topics of these names are there, and nothing more."""
    client = AdminClient(
        {"bootstrap.servers": guarded.bootstrap, **properties("admin", PASSWORDS["admin"])}
    )
    binding = AclBinding(
        ResourceType.TOPIC,
        prefix,
        ResourcePatternType.PREFIXED,
        "User:app",
        "*",
        AclOperation.DESCRIBE,
        AclPermissionType.ALLOW,
    )
    for future in client.create_acls([binding], request_timeout=CALL_SECONDS_MAX).values():
        future.result(CALL_SECONDS_MAX)


def test_without_rights_it_says_what_somebody_else_has_to_make(run: Run, topic_prefix: str) -> None:
    result = run("app", "apply")

    assert result.exit_code == 1
    assert f"{topic_prefix}payments: TOPIC_AUTHORIZATION_FAILED" in result.stdout
    wanted = f"{topic_prefix}payments partitions=2 cleanup.policy=delete retention.ms=604800000"
    assert wanted in result.stdout


def test_with_all_topics_there_it_goes_on_without_rights(
    run: Run, guarded: ApacheKafka, topic_prefix: str
) -> None:
    assert run("admin", "apply").exit_code == 0
    let_see(guarded, topic_prefix)

    # A right takes a moment until the broker heeds it.
    deadline = time.monotonic() + CALL_SECONDS_MAX
    while (checked := run("app", "check")).exit_code and time.monotonic() < deadline:
        time.sleep(0.1)
    applied = run("app", "apply", "--alter")

    assert (checked.exit_code, applied.exit_code) == (0, 0)
    assert "its configuration is not shown to us" in checked.stdout


def test_what_may_be_seen_and_not_changed_is_told(
    run: Run, guarded: ApacheKafka, topic_prefix: str, tmp_path: Path
) -> None:
    assert run("admin", "apply").exit_code == 0
    let_see(guarded, topic_prefix)
    (tmp_path / "topics.toml").write_text(FILE.replace("partitions = 2", "partitions = 3"))
    deadline = time.monotonic() + CALL_SECONDS_MAX
    while "different" not in run("app", "check").stdout and time.monotonic() < deadline:
        time.sleep(0.1)

    result = run("app", "apply", "--alter")

    assert result.exit_code == 1
    assert f"{topic_prefix}payments: TOPIC_AUTHORIZATION_FAILED" in result.stdout


def test_a_wrong_password_is_named_as_the_cause_and_not_shown(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.kafka.topic_admin.CALL_SECONDS_MAX", 5.0)

    result = run("app", "check", password="guess-who")

    assert result.exit_code == 1
    assert "Kafka does not answer: AUTHENTICATION" in result.stderr
    assert "guess-who" not in result.output

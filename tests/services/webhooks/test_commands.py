"""The commands of webhooks: what they take, and what the listener makes of requests."""

import datetime
import json

import pytest
import typer
from typer.testing import CliRunner

from deploy.local import cli
from deploy.local.commands import webhooks
from deploy.local.commands.webhook_listener import NOT_CHECKED, VERIFIED, Manners
from services.webhooks import signing

SECRET = signing.new_secret()
BODY = '{"id":"evt_1"}'


def headers(*secrets: str, now: datetime.datetime | None = None) -> dict[str, str]:
    at = now or datetime.datetime.now(datetime.UTC)
    return signing.headers("evt_1", BODY, secrets, at)


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("90m", datetime.timedelta(minutes=90)),
        ("24h", datetime.timedelta(hours=24)),
        ("7d", datetime.timedelta(days=7)),
    ],
)
def test_a_span_is_taken_back_from_now(text: str, ago: datetime.timedelta) -> None:
    found = webhooks.parse_time(text)

    difference = datetime.datetime.now(datetime.UTC) - found - ago
    assert abs(difference) < datetime.timedelta(minutes=1)


def test_a_time_has_its_zone() -> None:
    assert webhooks.parse_time("2026-11-22T11:00+01:00") == webhooks.parse_time("2026-11-22T10:00Z")
    for text in ("2026-11-22T10:00", "yesterday", "h", "999999d"):
        with pytest.raises(typer.BadParameter):
            webhooks.parse_time(text)


@pytest.mark.parametrize("arguments", [["whe_1"], ["whe_1", "whd_1", "--failed-since", "1h"]])
def test_redelivery_wants_one_thing(arguments: list[str]) -> None:
    env = {"TENDER_TARGET": "127.0.0.1:1", "TENDER_API_KEY": "key"}

    done = CliRunner(env=env).invoke(cli.app, ["webhooks", "redeliver", *arguments])

    assert done.exit_code == 2


def test_what_is_signed_is_verified_by_any_of_the_secrets() -> None:
    manners = Manners((signing.new_secret(), SECRET))

    heard = manners.judge(headers(SECRET), BODY.encode())

    assert (heard.signature, heard.status, heard.event_id) == (VERIFIED, 200, "evt_1")
    assert heard.document == json.loads(BODY)


def test_what_is_signed_by_others_or_long_ago_is_refused() -> None:
    manners = Manners((SECRET,))
    long_ago = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)

    for bad in (headers(signing.new_secret()), headers(SECRET, now=long_ago), {}):
        heard = manners.judge(bad, BODY.encode())
        assert heard.status == 401
        assert not heard.is_verified


def test_without_a_secret_nothing_is_checked() -> None:
    heard = Manners(()).judge({}, BODY.encode())

    assert (heard.signature, heard.status) == (NOT_CHECKED, 200)


def test_it_fails_as_often_as_it_was_told_and_then_answers_as_it_was_told() -> None:
    manners = Manners((SECRET,), status=202, fail=2)

    answered = [manners.judge(headers(SECRET), BODY.encode()).status for _ in range(3)]

    assert answered == [500, 500, 202]


def test_what_is_no_json_is_said() -> None:
    heard = Manners(()).judge({}, b"\xff")

    assert (heard.document, heard.status) == (None, 401)

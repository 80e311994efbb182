"""Log lines: JSON, one each, and no card number in any of them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from kit import logs

PAN = "4111111111111111"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_is_an_event_with_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", server="gateway")
    logs.logger().info("payment_captured", payment_id="pay_eu_1", minor_units=5)

    (line,) = lines(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "payment_captured",
        "level": "info",
        "server": "gateway",
        "payment_id": "pay_eu_1",
        "minor_units": 5,
    }


def test_lines_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("warning")
    log = logs.logger()
    log.info("quiet")
    log.warning("loud")

    assert [line["event"] for line in lines(capsys)] == ["loud"]


@pytest.mark.parametrize(
    "value",
    [
        PAN,
        f"card {PAN}, thanks",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        {"nested": [PAN, (PAN,)]},
        {PAN: 1},
        {PAN},
        ValueError(PAN),
        PAN.encode(),
        "4222222222222",
        "6304000000000000000",
    ],
)
def test_a_card_number_is_masked_wherever_it_stands(
    value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure()
    logs.logger().warning("seen", value=value)

    text = capsys.readouterr().err
    assert logs._MASK in text
    assert "1111" not in text
    assert "222222" not in text


def test_a_card_number_in_a_traceback_is_masked(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    try:
        raise ValueError(f"no such card {PAN}")
    except ValueError as error:
        logs.logger().error("failed", exc_info=error)

    (line,) = lines(capsys)
    assert "no such card [card number]" in line["exception"]
    assert PAN not in str(line)


@pytest.mark.parametrize(
    "text", ["4111111111111112", "1234567", "12345678901234567890", "pay_eu_4111", "2026-01-01"]
)
def test_other_numbers_stay(text: str) -> None:
    assert logs.redact(text) == text


def test_a_line_cannot_be_forged(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    logs.logger().warning("seen", text='x\n{"event": "forged"}\x1b[31m')

    (line,) = lines(capsys)
    assert line["event"] == "seen"

"""Logs of running servers are events in JSON, and hold nothing that must stay secret."""

import json
import re
from typing import Any

import pytest

from tests.observability.conftest import CARD_NUMBER, SERVERS, Seen

every_server = pytest.mark.parametrize("server", SERVERS)


def events(seen: Seen, server: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in seen.logs[server].splitlines()]


@every_server
def test_every_line_is_an_event_with_its_time_and_server(server: str, seen: Seen) -> None:
    found = events(seen, server)

    assert found
    for event in found:
        assert event["server"] == server
        assert event["level"] in ("info", "warning", "error")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", event["timestamp"])
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", event["event"])


def test_a_takeover_names_shard_epoch_and_seq(seen: Seen) -> None:
    opened = [event for event in events(seen, "processor") if event["event"] == "lane_opened"]

    first, second = opened
    assert first["shard"] == second["shard"] == "s1"
    assert second["epoch"] == first["epoch"] + 1
    assert second["seq"] > first["seq"]
    assert second["incarnation"] != first["incarnation"]


def test_a_lost_lane_is_logged_by_the_gateway_once(seen: Seen) -> None:
    found = events(seen, "gateway")
    ways = [event["by"] for event in found if event["event"] == "lane_connected"]
    failures = [event["failure"] for event in found if event["event"] == "lane_disconnected"]

    # At its start it may not have heard yet that there are pipes.
    assert ways[failures.count("LaneMoved") :] == ["pipe", "pipe"]
    assert set(failures) - {"LaneMoved"}


def test_an_internal_error_is_found_by_the_id_that_the_caller_got(seen: Seen) -> None:
    failures = [
        event
        for event in events(seen, "processor")
        if event["event"] == "command_failed" and event["error_id"] == seen.error_id
    ]

    [failure] = failures
    assert failure["method"] == "AUTHORIZE_PAYMENT"
    assert (failure["tenant_id"], failure["request_id"]) == ("dev", "poison")
    assert "no_poison" in failure["exception"]


@every_server
def test_logs_hold_no_card_number(server: str, seen: Seen) -> None:
    digits = re.sub(r"[ -]", "", seen.logs[server])

    assert CARD_NUMBER.replace(" ", "") not in digits


@every_server
def test_metrics_hold_no_card_number_and_no_id(server: str, seen: Seen) -> None:
    values = {
        value
        for series in seen.after[server].series.values()
        for labels in series
        for _, value in labels
    }

    assert not any(CARD_NUMBER in value or re.match("(pay|acc|mer)_", value) for value in values)

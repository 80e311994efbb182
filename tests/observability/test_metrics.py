"""Metrics of running servers move with what happens."""

import pytest

from tests.observability.conftest import Seen

COUNTED = [
    ("gateway", "tender_rpc_requests_total", {"method": "AuthorizePayment", "code": "OK"}, 3),
    (
        "gateway",
        "tender_rpc_requests_total",
        {"method": "AuthorizePayment", "code": "ALREADY_EXISTS"},
        1,
    ),
    (
        "gateway",
        "tender_rpc_requests_total",
        {"method": "AuthorizePayment", "code": "INVALID_ARGUMENT"},
        2,
    ),
    (
        "gateway",
        "tender_rpc_requests_total",
        {"method": "VoidPayment", "code": "FAILED_PRECONDITION"},
        1,
    ),
    (
        "gateway",
        "tender_rpc_requests_total",
        {"method": "GetAccount", "code": "UNAUTHENTICATED"},
        1,
    ),
    ("gateway", "tender_rpc_requests_total", {"method": "GetPayment", "code": "OK"}, 1),
    ("gateway", "tender_rpc_latency_seconds_count", {"method": "AuthorizePayment"}, 6),
    (
        "processor",
        "tender_lane_commands_total",
        {"method": "AUTHORIZE_PAYMENT", "outcome": "ok"},
        1,
    ),
    ("gateway", "tender_gateway_replays_total", {"tenant": "dev"}, 1),
    ("gateway", "tender_gateway_request_conflicts_total", {"tenant": "dev", "source": "lane"}, 1),
    (
        "processor",
        "tender_lane_commands_total",
        {"method": "AUTHORIZE_PAYMENT", "outcome": "declined"},
        1,
    ),
    (
        "processor",
        "tender_lane_commands_total",
        {"method": "AUTHORIZE_PAYMENT", "outcome": "REQUEST_ID_REUSED"},
        1,
    ),
    (
        "processor",
        "tender_lane_commands_total",
        {"method": "VOID_PAYMENT", "outcome": "PAYMENT_STATE"},
        1,
    ),
    (
        "processor",
        "tender_lane_commands_total",
        {"method": "REFUND_PAYMENT", "outcome": "ok"},
        1,
    ),
]


@pytest.mark.parametrize(("server", "name", "labels", "times"), COUNTED)
def test_what_happened_is_counted_once(
    server: str, name: str, labels: dict[str, str], times: int, seen: Seen
) -> None:
    assert seen.moved(server, name, **labels) == times


@pytest.mark.parametrize(
    "name",
    [
        "tender_lane_batch_size_count",
        "tender_lane_batch_size_sum",
        "tender_lane_decide_seconds_sum",
        "tender_lane_apply_seconds_sum",
        "tender_lane_load_seconds_sum",
        "tender_journal_seq",
    ],
)
def test_the_lane_shows_its_work(name: str, seen: Seen) -> None:
    assert seen.moved("processor", name) > 0


def test_commits_are_journal_rows(seen: Seen) -> None:
    rows = seen.moved("processor", "tender_journal_seq")

    assert seen.moved("processor", "tender_lane_apply_seconds_count") == rows


def test_an_owned_lane_shows_its_epoch_and_an_empty_queue(seen: Seen) -> None:
    processor = seen.after["processor"]

    assert processor.total("tender_lane_open") == 1
    assert processor.total("tender_lane_epoch") >= 1
    assert processor.total("tender_lane_queue_depth") == 0


def test_a_gateway_shows_its_lane_and_nothing_under_way(seen: Seen) -> None:
    gateway = seen.after["gateway"]

    assert gateway.total("tender_gateway_lane_connected") == 1
    assert gateway.total("tender_gateway_in_flight") == 0


def test_a_quiet_day_has_no_internal_errors(seen: Seen) -> None:
    for server in ("gateway", "processor"):
        assert seen.after[server].total("tender_internal_errors_total") == 0
        assert seen.after[server].total("tender_lane_internal_errors_total") == 0


def test_a_command_that_the_database_refuses_is_counted_for_its_tenant(seen: Seen) -> None:
    before, after = seen.after["processor"], seen.troubled["processor"]

    assert before.total("tender_lane_bisections_total") == 0
    assert after.total("tender_lane_bisections_total", tenant="dev") == 1
    assert after.total("tender_lane_internal_errors_total") == 1
    assert after.total("tender_lane_commands_total", outcome="INTERNAL") == 1
    assert after.total("tender_lane_open") == 1

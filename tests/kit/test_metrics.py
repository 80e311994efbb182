"""The metrics server, and how calls are counted."""

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY

from kit import metrics

EXPECTED = {
    "tender_rpc_requests_total",
    "tender_rpc_latency_seconds",
    "tender_gateway_in_flight",
    "tender_gateway_lane_connected",
    "tender_gateway_lane_resent_total",
    "tender_lane_batch_size",
    "tender_lane_decide_seconds",
    "tender_lane_apply_seconds",
    "tender_lane_load_seconds",
    "tender_lane_queue_depth",
    "tender_lane_epoch",
    "tender_lane_open",
    "tender_lane_takeovers_total",
    "tender_lane_commands_total",
    "tender_lane_bisections_total",
    "tender_journal_seq",
    "tender_lane_holds_expired_total",
    "tender_lane_request_keys_deleted_total",
    "tender_lane_internal_errors_total",
}


class Health:
    is_serving = True


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def url(health: Health) -> Iterator[str]:
    server = metrics.serve("127.0.0.1:0", lambda: health.is_serving)
    yield f"http://127.0.0.1:{server.port}"
    server.close()


def fetch(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_every_metric_is_shown(url: str) -> None:
    status, page = fetch(f"{url}/metrics")

    families = {line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")}
    assert status == 200
    assert families >= EXPECTED


def test_health_follows_the_server(url: str, health: Health) -> None:
    assert fetch(f"{url}/healthz") == (200, "SERVING\n")

    health.is_serving = False

    assert fetch(f"{url}/healthz") == (503, "NOT_SERVING\n")


def test_nothing_else_is_served(url: str) -> None:
    for path in ("/", "/metrics/x", "/../etc/passwd", "/debug"):
        assert fetch(url + path) == (404, "Not found\n")


def test_a_call_is_counted_and_timed() -> None:
    labels = {"server": "test", "method": "M"}
    meter = metrics.RpcMeter("test", "M")

    meter.observe("OK", 0.004)
    meter.observe("OK", 0.004)
    meter.count("INTERNAL")

    def value(name: str, **more: str) -> float | None:
        return REGISTRY.get_sample_value(name, labels | more)

    assert value("tender_rpc_requests_total", code="OK") == 2
    assert value("tender_rpc_requests_total", code="INTERNAL") == 1
    assert value("tender_rpc_latency_seconds_count") == 2
    assert value("tender_rpc_latency_seconds_bucket", le="0.005") == 2


def test_a_lane_command_is_counted_by_its_outcome() -> None:
    meter = metrics.lane_meter("test")

    meter.count_commands("TestMethod", "declined", 1)
    metrics.lane_meter("test").count_commands("TestMethod", "declined", 1)

    labels = {"shard": "test", "method": "TestMethod", "outcome": "declined"}
    assert REGISTRY.get_sample_value("tender_lane_commands_total", labels) == 2

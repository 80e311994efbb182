"""Alerts and dashboards ask only for what the running servers show."""

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

from gateway import methods
from kit import metrics, settings
from processor.consumers import delivery, retry
from tender.v1 import lane_pb2
from tests.observability import promql
from tests.observability.conftest import SERVERS, Seen

ROOT = Path(__file__).parent.parent.parent
ALERTS = ROOT / "deploy/prometheus/alerts.yml"
PROMETHEUS = ROOT / "deploy/prometheus/prometheus.yml"
DASHBOARD = ROOT / "deploy/grafana/dashboards/tender.json"
GRID_COLUMNS = 24
OWN_OF_PROMETHEUS = {"up"}
LANE_METHODS = {name.removeprefix("METHOD_") for name in lane_pb2.Method.DESCRIPTOR.values_by_name}
METRICS: dict[str, Counter | Gauge | Histogram] = {
    value._name: value  # The library has no public name for it.
    for value in vars(metrics).values()
    if isinstance(value, Counter | Gauge | Histogram)
}
REASONS = re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE)
PARKING_CAUSES = {
    *(delivery.MALFORMED, delivery.UNKNOWN_TYPE, delivery.UNKNOWN_VERSION),
    *(retry.DATA_REJECTED, retry.HANDLER_ERROR, retry.RETRIES_EXHAUSTED),
}
# What a label's values may be; a matcher that names another one never matches.
VALUES = {
    "server": set(SERVERS),
    "code": {code.name for code in grpc.StatusCode},
    "job": {
        f"tender-{name}"
        for name in (
            *("gateway", "processor", "relay", "operations", "reporting", "webhooks"),
            "notifications",
        )
    },
    "result": {"accepted", *REASONS},
    "outcome": {"ok", "replayed", "declined", "sent", "failed", *REASONS},
    "state": {"healthy", "failing", "disabled"},
    "cause": {
        *("unheld", "handed_over", "owner_lost", "reopened", "failing", "gone"),
        *PARKING_CAUSES,
    },
    "method": {method.name for method in methods.BY_NUMBER.values()} | LANE_METHODS,
}


@functools.cache
def rules() -> list[dict[str, Any]]:
    content = yaml.safe_load(ALERTS.read_text())
    return [rule for group in content["groups"] for rule in group["rules"]]


@functools.cache
def dashboard() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return content


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield f"alert {rule['alert']}", rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield f"panel {panel['title']} {target['refId']}", target["expr"]
    for annotation in dashboard()["annotations"]["list"]:
        yield f"annotation {annotation['name']}", annotation["expr"]


QUERIES = dict(queries())
every_query = pytest.mark.parametrize("expression", QUERIES.values(), ids=QUERIES.keys())
every_rule = pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
every_panel = pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])


def target_labels(server: str) -> set[str]:
    """What Prometheus adds to every series of a server, by our own example of its settings."""
    jobs = {
        job["job_name"]: job["static_configs"]
        for job in yaml.safe_load(PROMETHEUS.read_text())["scrape_configs"]
    }
    configs = jobs[f"tender-{server}"]
    return {"job", "instance"}.union(*(config.get("labels", {}) for config in configs))


def series_labels(seen: Seen, name: str) -> frozenset[str]:
    """Return every label that a series of this name has on a server that moves it."""
    labels: set[str] = set()
    servers = [server for server in SERVERS if name in seen.after[server].names()]
    if name in OWN_OF_PROMETHEUS:
        servers = list(SERVERS)
    for server in servers:
        if _belongs(name, server):
            labels |= target_labels(server)
            for own in seen.after[server].series.get(name, {}):
                labels |= {label for label, _ in own}
    family = re.sub("_(total|bucket|sum|count)$", "", name)
    if family in METRICS:
        labels |= set(METRICS[family]._labelnames)
        if isinstance(METRICS[family], Histogram) and name.endswith("_bucket"):
            labels.add("le")
    return frozenset(labels)


def _belongs(name: str, server: str) -> bool:
    """Both servers show all families of kit.metrics; most are moved by one of them."""
    prefixes = {"tender_gateway_": "gateway", "tender_lane_": "processor"}
    prefixes["tender_journal_"] = "processor"
    prefixes["tender_processor_"] = "processor"
    owner = next((owner for prefix, owner in prefixes.items() if name.startswith(prefix)), server)
    return owner == server


@every_query
def test_every_metric_asked_for_is_on_a_running_server(expression: str, seen: Seen) -> None:
    shown = OWN_OF_PROMETHEUS.union(*(seen.after[server].names() for server in SERVERS))

    asked = {selector.name for selector in promql.selectors(promql.parse(expression))}

    assert asked
    assert asked <= shown


@every_query
def test_every_label_asked_for_is_on_its_metric(expression: str, seen: Seen) -> None:
    parsed = promql.parse(expression)

    for selector in promql.selectors(parsed):
        named = {matcher.name for matcher in selector.matchers.matchers}
        assert named <= series_labels(seen, selector.name)
    for aggregation in promql.aggregations(parsed):
        coming = promql.output_labels(aggregation.expr, lambda name: series_labels(seen, name))
        assert promql.grouped_by(aggregation) <= coming


@every_query
def test_every_value_asked_for_can_occur(expression: str) -> None:
    for selector in promql.selectors(promql.parse(expression)):
        for matcher in selector.matchers.matchers:
            for alternative in matcher.value.split("|"):
                values = VALUES[matcher.name]
                assert any(re.fullmatch(alternative, value) for value in values), alternative


@every_rule
def test_an_alert_says_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    annotations = rule["annotations"]

    assert rule["labels"]["severity"] in ("page", "ticket")
    assert annotations["summary"].endswith(".")
    assert annotations["runbook"].endswith(".")


@every_rule
def test_an_alert_names_only_labels_that_its_result_has(rule: dict[str, Any], seen: Seen) -> None:
    parsed = promql.parse(rule["expr"])

    named = promql.templated(" ".join(rule["annotations"].values()))

    assert named <= promql.output_labels(parsed, lambda name: series_labels(seen, name))


@functools.cache
def sources() -> str:
    """Return all that servers are made of, but for what starts them."""
    return "".join(
        path.read_text()
        for folder in ("gateway", "processor", "kit", "storage", "services")
        for path in (ROOT / folder).rglob("*.py")
    )


@every_rule
def test_a_runbook_names_only_events_and_settings_that_exist(rule: dict[str, Any]) -> None:
    source = sources()
    known = {
        f"{settings.PREFIX}{name.upper()}"
        for server in settings.SERVERS
        for name in server.model_fields
    }
    text = rule["annotations"]["runbook"]

    variables = set(re.findall(r"\bTENDER_[A-Z_]+\b", text))
    events = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", text)) - OF_POSTGRES

    assert variables <= known
    assert {event for event in events if event not in source} == set()


OF_POSTGRES = {"pg_stat_activity", "pg_stat_statements", "auto_explain"}


def test_alerts_have_names_of_their_own() -> None:
    names = [rule["alert"] for rule in rules()]

    assert len(names) == len(set(names))


@every_panel
def test_a_panel_names_only_labels_that_its_result_has(panel: dict[str, Any], seen: Seen) -> None:
    for target in panel["targets"]:
        parsed = promql.parse(target["expr"])
        coming = promql.output_labels(parsed, lambda name: series_labels(seen, name))

        assert promql.templated(target["legendFormat"]) <= coming


@every_panel
def test_a_panel_asks_the_chosen_prometheus(panel: dict[str, Any]) -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}

    assert panel["datasource"] == chosen
    assert all(target["datasource"] == chosen for target in panel["targets"])


def test_panels_stand_beside_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {
            (at["x"] + column, at["y"] + line)
            for column in range(at["w"])
            for line in range(at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= GRID_COLUMNS
        taken |= cells


def test_ids_of_panels_are_unique() -> None:
    ids = [panel["id"] for panel in dashboard()["panels"]]

    assert len(ids) == len(set(ids))


def test_nothing_is_measured_that_nobody_looks_at() -> None:
    asked = {
        re.sub("_(total|bucket|sum|count)$", "", selector.name)
        for expression in QUERIES.values()
        for selector in promql.selectors(promql.parse(expression))
    }

    assert set(METRICS) - asked == set()

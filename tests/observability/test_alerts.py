"""Each alert fires on what it is for, at the time it says, in words that people can read.

The rules are tested as they are by `promtool test rules`, on series of firing.py in virtual time.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from prometheus_client import Histogram

from tests.observability import promql, promtool, test_queries
from tests.observability.conftest import Seen
from tests.observability.firing import CASES, Case
from tests.observability.series import LONG, STEP_SECONDS, Series

TABLE = "tests/observability/firing.py"
RULES = {rule["alert"]: rule for rule in test_queries.rules()}
UNITS = {"s": 1, "m": 60, "h": 3_600}


def named_cases() -> Iterator[tuple[str, str, Case]]:
    for alert, cases in CASES.items():
        for number, case in enumerate(cases, start=1):
            yield f"{alert}-{number}", alert, case


EVERY = [pytest.param(alert, case, id=name) for name, alert, case in named_cases()]
every_case = pytest.mark.parametrize(("alert", "case"), EVERY)


def held_seconds(alert: str) -> int:
    """How long the alert's expression has to be true before it fires."""
    text = RULES[alert].get("for", "0s")
    return sum(int(count) * UNITS[unit] for count, unit in re.findall(r"(\d+)([smh])", text))


def annotations(alert: str, case: Case) -> dict[str, str]:
    """What people get: the summary that the table says, the rest with its labels filled in."""

    def label(found: re.Match[str]) -> str:
        return case.labels.get(found[1], "")

    written = RULES[alert]["annotations"]
    filled = {name: re.sub(r"{{ \$labels\.(\w+) }}", label, text) for name, text in written.items()}
    return filled | {"summary": case.says}


def against(
    folder: Path, alert: str, series: Series, expected: Mapping[int, Sequence[Mapping[str, Any]]]
) -> str:
    """Let promtool look at some seconds for the alert; return what it has against `expected`."""
    file = folder / "rules-test.yml"
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    looks = [
        {"eval_time": f"{at}s", "alertname": alert, "exp_alerts": firing}
        for at, firing in expected.items()
    ]
    step = f"{STEP_SECONDS}s"
    content = {
        "rule_files": [str(test_queries.ALERTS)],
        "evaluation_interval": step,
        "tests": [{"interval": step, "input_series": inputs, "alert_rule_test": looks}],
    }
    file.write_text(json.dumps(content))  # Which is YAML.
    done = promtool.run("test", "rules", file)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("alert", RULES)
def test_the_table_says_what_fires_an_alert(alert: str) -> None:
    assert CASES.get(alert), (
        f"{alert} is in {test_queries.ALERTS.name} and not in CASES of {TABLE}. Add an entry: the "
        "series that fire it (`fires`), those that do not (`healthy`), from which second on its "
        "expression is true (`true_at`), the labels and the summary of the alert that fires."
    )


def test_the_table_names_no_alert_that_is_gone() -> None:
    assert CASES.keys() - RULES.keys() == set()


@every_case
def test_an_alert_fires_when_its_time_is_up_and_says_what_is_wrong(
    alert: str, case: Case, tmp_path: Path
) -> None:
    fires_at = case.true_at + held_seconds(alert)
    firing = {
        "exp_labels": {**RULES[alert]["labels"], **case.labels},
        "exp_annotations": annotations(alert, case),
    }
    expected: dict[int, list[dict[str, Any]]] = {fires_at: [firing]}
    if fires_at:
        expected[fires_at - STEP_SECONDS] = []

    said = against(tmp_path, alert, case.fires, expected)

    assert fires_at < LONG
    assert said == ""


@every_case
def test_an_alert_is_silent_when_all_is_well(alert: str, case: Case, tmp_path: Path) -> None:
    fires_at = case.true_at + held_seconds(alert)
    healthy = {**case.fires, **case.healthy}
    looks = (fires_at, fires_at + STEP_SECONDS, fires_at + 60)

    said = against(tmp_path, alert, healthy, dict.fromkeys(looks, ()))

    assert case.healthy.keys() <= case.fires.keys()
    assert healthy != case.fires
    assert said == ""


@every_case
def test_the_table_speaks_of_series_that_servers_show(alert: str, case: Case, seen: Seen) -> None:
    for written in case.fires:
        [selector] = promql.selectors(promql_parser.parse(written))
        labels = {each.name: each.value for each in selector.matchers.matchers}

        assert labels.keys() == test_queries.series_labels(seen, selector.name), written
        for label, value in labels.items():
            known = known_values(selector.name, label)
            assert known is None or value in known, f"{label} is never {value} in {written}"


def known_values(name: str, label: str) -> set[str] | None:
    """Return what a label's value may be, if that is known."""
    if label == "le":
        family = test_queries.METRICS[name.removesuffix("_bucket")]
        assert isinstance(family, Histogram)
        return {f"{bound:g}" for bound in family._upper_bounds} | {"+Inf"}
    return test_queries.VALUES.get(label)


@pytest.mark.parametrize("name", ["prometheus.yml", "prometheus.compose.yml"])
def test_prometheus_takes_its_settings_and_rules(name: str) -> None:
    done = promtool.run("check", "config", test_queries.PROMETHEUS.with_name(name))

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULES)} rules found" in done.stdout


def test_a_machine_without_prometheus_is_told_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(promtool.NotInstalled, match="apt-get install"):
        promtool.run("--version")

"""Every alert has a page of its own, is the same on Kubernetes, and the page's SQL runs."""

import re
from typing import Any

import asyncpg
import pytest
import yaml

from scripts import deployment
from tests.conftest import Shard
from tests.deploy import files

PAGE = files.ROOT / "docs/operations.md"
TEXT = PAGE.read_text()
PARTS = ["Means", "Users see", "First look", "Do", "Do not"]
GROUPS: list[dict[str, Any]] = yaml.safe_load(deployment.ALERTS.read_text())["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
SQL = re.findall(r"^ *```sql\n(.*?)^ *```", TEXT, re.MULTILINE | re.DOTALL)
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])


def entry(name: str) -> str:
    found = re.search(rf"^### {name}\n(.*?)(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/operations.md has no entry {name}"
    return found[1]


@every_rule
def test_an_alert_has_an_entry_with_all_its_parts(rule: dict[str, Any]) -> None:
    assert re.findall(r"^- \*\*(.+?):\*\* ", entry(rule["alert"]), re.MULTILINE) == PARTS


@every_rule
def test_an_alert_points_to_its_entry(rule: dict[str, Any]) -> None:
    place = f"{PAGE.relative_to(files.ROOT)}#{rule['alert'].lower()}"

    assert rule["annotations"]["runbook_url"] == place


def test_no_entry_is_about_an_alert_that_is_not_there() -> None:
    named = set(re.findall(r"^### (Tender\w+)$", TEXT, re.MULTILINE))

    assert named == {rule["alert"] for rule in RULES}


def test_links_within_the_page_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}

    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors


def test_kubernetes_has_the_same_rules() -> None:
    (rule,) = files.of_kind("PrometheusRule").values()

    assert rule["spec"]["groups"] == GROUPS


@pytest.mark.parametrize("statement", SQL, ids=range(len(SQL)))
async def test_sql_of_the_page_runs(statement: str, shard: Shard) -> None:
    connection = await asyncpg.connect(shard.reader_url)
    try:
        await connection.fetch(statement)
    finally:
        await connection.close()

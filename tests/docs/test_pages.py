"""Pages lead where they say, and speak of nothing but the project."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DECISIONS = ROOT / "docs/decisions"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
RECORDS = sorted(DECISIONS.glob("[0-9]*.md"))
LINK = re.compile(r"\]\((?!https?://)([^)#\s]+)(?:#[^)]*)?\)")
A_MACHINE_S_PATH = re.compile(r"(?<![\w.-])/(?:home|root|tmp|work|Users|mnt)/")
HOST = re.compile(r"https?://([\w.-]+)")
HOSTS = {"127.0.0.1", "localhost", "hooks.example.com", "keepachangelog.com", "semver.org"}
"""What pages may point at outside of the project; whoever adds one adds it here."""

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
every_record = pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)


@every_page
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text())

    assert [target for target in targets if not (page.parent / target).exists()] == []


@every_page
def test_a_page_names_no_machine_and_no_host_but_known_ones(page: Path) -> None:
    text = page.read_text()

    assert A_MACHINE_S_PATH.findall(text) == []
    assert set(HOST.findall(text)) <= HOSTS


@every_record
def test_a_record_is_in_the_index(record: Path) -> None:
    index = (DECISIONS / "README.md").read_text()

    assert f"[{record.name[:4]}]({record.name})" in index


@every_record
def test_a_record_says_what_forced_it_and_what_it_costs(record: Path) -> None:
    text = record.read_text()

    assert text.startswith(f"# {int(record.name[:4])}. ")
    assert "\nStatus: " in text
    for heading in ("## Context", "## Decision", "## Consequences"):
        assert heading in text

"""The figures of docs/scaling.md are those of the last results."""

import json

from benchmarks.profiles import page
from scripts import scaling


def test_the_page_has_the_figures_of_the_last_results() -> None:
    made = scaling.sections(json.loads(scaling.RESULTS.read_text()))
    text = scaling.PAGE.read_text()

    # What is not so: python -m scripts.scaling
    assert {name: page.section_of(text, name) for name in made} == made

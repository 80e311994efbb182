"""A rebuild of the reports at the scale of a test: timed, and equal to the ledgers to the cent."""

import json
from pathlib import Path

import pytest

from benchmarks import reporting


def test_some_thousand_payments_on_two_shards_are_rebuilt_to_the_cent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.json"

    assert reporting.main(["--payments", "3000", "--shards", "2", "--out", str(out)]) == 0

    figures = json.loads(out.read_text())
    assert figures["payments"] == 3_000
    assert figures["refunds"] > 50
    assert figures["differences"] == 0
    assert figures["rebuild_seconds"] > 0
    assert json.loads(capsys.readouterr().out) == figures

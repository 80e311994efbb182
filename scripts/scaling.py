"""Fills docs/scaling.md with what the capacity model says of the last results.

python -m scripts.scaling
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import scaling
from benchmarks.profiles import page
from benchmarks.scaling import Costs, Plan, Wanted

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs/scaling.md"
RESULTS: Final = ROOT / "benchmarks/results/latest.json"
SHARDS: Final = (10, 100, 1_000)
ROWS: Final[Mapping[str, str]] = {
    "payments/s": "{0.rate:,.0f}",
    "payments across shards": "{0.share_across:.0%}",
    "busiest shard over the mean": "{0.unevenness:.2f}",
    "gateways, a core each": "{0.gateways:,}",
    "cores in all, without standbys": "{0.cores:,.0f}",
    "log, GB a day at this rate": "{0.wal_gb_per_day:,.0f}",
    "streams between gateways and lanes": "{0.streams:,}",
    "of a lane's core, messages of more than one gateway": "{0.messages_core:.2f}",
}
CASES: Final[Mapping[str, Wanted]] = {
    "by-chance": Wanted(),
    "at-home": Wanted(cross_share=0.1),
    "in-groups": Wanted(cross_share=0.1, gateways_per_lane=4),
}
"""By the names of the markers on the page, whose comments have the command of each."""


def sections(results: Mapping[str, Any]) -> dict[str, str]:
    """Return the tables of the page."""
    of = scaling.costs(results)
    return {name: _table(of, wanted) for name, wanted in CASES.items()}


def _table(of: Costs, wanted: Wanted) -> str:
    plans: Sequence[Plan] = [
        scaling.plan(scaling.carried(count, of, wanted), count, of, wanted) for count in SHARDS
    ]
    head = ("", *(f"{count:,} shards" for count in SHARDS))
    rows = [(name, *(form.format(plan) for plan in plans)) for name, form in ROWS.items()]
    return page.table(head, rows)


def main() -> int:
    """Fill the page."""
    page.fill(PAGE, sections(json.loads(RESULTS.read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())

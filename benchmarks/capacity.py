"""Capacity: cores, shards and machines for a rate, from the last results of the benchmark.

It first predicts what was measured, so that its errors are known, and then goes on to what was not.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import scaling
from benchmarks.profiles import page
from benchmarks.scaling import Costs, Fit, Plan, Wanted

RESULTS: Final = Path("benchmarks/results/latest.json")
SHARDS_SHOWN: Final = (1, 10, 100, 1_000)
GATEWAYS_IN_GROUPS: Final = 4
EXAMPLES: Final = """
examples:
  python -m benchmarks.capacity                                  how well the model fits
  python -m benchmarks.capacity --rate 20000                     what that takes
  python -m benchmarks.capacity --rate 100000 --stream-share 0.8 --cross-share 0.1
  python -m benchmarks.capacity --rate 50000 --machine-cores 16 --json
  python -m benchmarks.capacity --shards 10 --shards 100         what so many shards carry
  python -m benchmarks.capacity --markdown                       refill docs/performance.md
"""
SHARES: Final = ("stream_share", "utilization", "cross_share")
SURE: Final = (
    "Scaling over shards is an assumption: one shard exists. Standbys, networks, memory and disks"
    " are not counted."
)
HELP: Final[Mapping[str, str]] = {
    "stream_share": "of payments that come by stream or in batches",
    "utilization": "of what a lane and a core could do",
    "cross_share": "of payments across shards; left out, as chance has it: 1 - 1/shards",
    "second_leg": "work of the destination's lane, in payments",
    "regions": "each has 1,024 buckets",
    "machine_cores": "cores of one machine",
    "batch_max": "payments in one batch at most",
    "fsync_us": "of one batch's log, µs",
    "message_us": "CPU of a message between gateway and lane at either end, µs",
    "gather_ms": "between two messages of a busy gateway to a lane",
    "gateways_per_lane": "that speak to one lane; left out, all",
    "wal_bytes": "write-ahead log per payment",
    "journal_bytes": "journal per payment",
}


def fitted(found: Fit) -> str:
    """Return how well the model says again what was measured."""
    rows = [
        (
            f"`{line.name}`",
            f"{line.cpu_us:.1f}",
            line.bound,
            f"{line.measured:,.0f}",
            "" if line.predicted is None else f"{line.predicted:,.0f}",
            "" if line.error is None else f"{line.error:+.0%}",
        )
        for line in found.lines
    ]
    head = ("Scenario", "CPU µs, all", "bound by", "measured/s", "predicted/s", "error")
    return f"Efficiency: {found.efficiency:.2f}\n\n{page.table(head, rows)}"


def limits(results: Mapping[str, Any], of: Costs, wanted: Wanted) -> str:
    """Return what one lane can do, in batches as they were measured and in full ones."""
    rows = []
    measured = {
        round(one["batch_mean"])
        for name, one in results["scenarios"].items()
        if name in scaling.SAME_PAYMENTS
    }
    for batch in sorted(measured | {wanted.batch_max}):
        allowed = {
            "processor": 1 / scaling.processor_use(1, batch, 1, of, wanted),
            "apply": 1 / scaling.apply_use(1, batch, of, wanted),
        }
        bound = min(allowed, key=lambda kind: allowed[kind])
        rows.append((f"{batch}", *(f"{allowed[kind]:,.0f}" for kind in allowed), bound))
    costs = (
        f"A payment costs the processor {of.processor.each_us:.1f} µs and a batch"
        f" {of.processor.batch_us:,.0f}; Postgres {of.postgres.each_us:.1f} and"
        f" {of.postgres.batch_us:,.0f}, and {wanted.fsync_us:,.0f} of waiting for the disk."
    )
    head = ("Payments in a batch", "processor/s", "apply/s", "bound by")
    return f"{costs}\n\n{page.table(head, rows)}"


ROWS: Final[Sequence[tuple[str, str]]] = (
    ("payments/s", "{0.rate:,.0f}"),
    ("shards, each with a lane", "{0.shards:,}"),
    ("payments across shards", "{0.share_across:.0%}"),
    ("busiest shard over the mean", "{0.unevenness:.2f}"),
    ("entries/s of the busiest lane", "{0.lane_rate:,.0f}"),
    ("batch there", "{0.batch:.0f}"),
    ("what it runs into first", "{0.limit}"),
    ("gateways, a core each", "{0.gateways:,}"),
    ("processor cores", "{0.shards:,}"),
    ("Postgres cores at work in the busiest lane", "{0.postgres_busy:.2f}"),
    ("Redis cores", "{0.redis_cores:.2f}"),
    ("cores in all", "{0.cores:,.0f}"),
    ("machines", "{0.machines:,}"),
    ("log, MB/s", "{0.wal_mb_per_second:,.0f}"),
    ("log, GB a day at this rate", "{0.wal_gb_per_day:,.0f}"),
    ("journal, GB a day at this rate", "{0.journal_gb_per_day:,.0f}"),
    ("streams between gateways and lanes", "{0.streams:,}"),
    ("of a lane's core, messages of more than one gateway", "{0.messages_core:.2f}"),
    ("second legs/s", "{0.legs_per_second:,.0f}"),
    ("clearing accounts per currency", "{0.clearing_accounts:,}"),
)


def planned(plans: Sequence[Plan]) -> str:
    """Return plans beside each other."""
    head = ("", *(f"{one.shards:,} shard{'s' * (one.shards > 1)}" for one in plans))
    rows = [(name, *(form.format(one) for one in plans)) for name, form in ROWS]
    return page.table(head, rows)


def growth(of: Costs, wanted: Wanted) -> str:
    """Return what 1, 10, 100 and 1,000 shards carry, under three assumptions."""
    grouped = wanted._replace(gateways_per_lane=GATEWAYS_IN_GROUPS)
    cases = {
        "As it is built: every gateway speaks to every lane, payers and merchants meet by chance": (
            wanted
        ),
        f"At most {GATEWAYS_IN_GROUPS} gateways speak to a lane": grouped,
        f"At most {GATEWAYS_IN_GROUPS} gateways speak to a lane, 10 % of payments across shards": (
            grouped._replace(cross_share=0.1)
        ),
    }
    return "\n\n".join(
        f"**{title}.**\n\n{planned([_carried(count, of, case) for count in SHARDS_SHOWN])}"
        for title, case in cases.items()
    )


def _carried(shards: int, of: Costs, wanted: Wanted) -> Plan:
    return scaling.plan(scaling.carried(shards, of, wanted), shards, of, wanted)


def sections(results: Mapping[str, Any]) -> dict[str, str]:
    """Return what the page shows of a run, by the names of its markers."""
    wanted = Wanted()
    of = scaling.costs(results)
    return {
        "results": page.results(results),
        "shards": page.shards(results),
        "plots": page.plots(results, RESULTS.parent),
        "fit": fitted(scaling.fit(results, wanted.fsync_us)),
        "lane": limits(results, of, wanted),
        "growth": growth(of, wanted),
    }


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line; an option for each field of Wanted."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.capacity",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--rate", type=float, help="payments per second that are wanted")
    made.add_argument("--shards", type=int, action="append", help="say what they carry; repeatable")
    for name, default in Wanted()._asdict().items():
        whole = isinstance(default, int) or name == "gateways_per_lane"
        made.add_argument(
            f"--{name.replace('_', '-')}",
            type=int if whole else float,
            default=default,
            help=HELP[name] + ("" if default is None else f" (default {default:g})"),
        )
    made.add_argument("--results", type=Path, default=RESULTS, help="of `make bench`")
    made.add_argument("--json", action="store_true", help="figures instead of tables")
    made.add_argument("--markdown", action="store_true", help=f"refill {page.PAGE}")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer; 2 if there is nothing to answer from."""
    reader = parser()
    given = reader.parse_args(arguments)
    for name in SHARES:
        if (share := getattr(given, name)) is not None and not 0 <= share <= 1:
            reader.error(f"--{name.replace('_', '-')} is a share: 0 to 1")
    if not given.utilization:
        reader.error("--utilization is more than nothing")
    try:
        results = json.loads(given.results.read_text())
    except FileNotFoundError:
        print(f"{given.results} is not there: `make bench` writes it", file=sys.stderr)
        return 2
    missing = {"unary", "stream"} - results["scenarios"].keys()
    if missing:
        print(f"{given.results} has no {' and no '.join(sorted(missing))}", file=sys.stderr)
        return 2
    if given.markdown:
        page.fill(page.PAGE, sections(results))
        print(f"wrote the figures of {given.results} into {page.PAGE}")
        return 0
    wanted = Wanted(**{name: getattr(given, name) for name in Wanted._fields})
    of, fit = scaling.costs(results), scaling.fit(results, wanted.fsync_us)
    try:
        plans = _plans(given.rate, given.shards or [], of, wanted)
    except ValueError as impossible:
        print(impossible, file=sys.stderr)
        return 2
    if given.json:
        print(json.dumps(_figures(fit, of, wanted, plans), indent=1))
    else:
        shown = [
            fitted(fit),
            limits(results, of, wanted),
            *([planned(plans), SURE] if plans else []),
        ]
        print("\n\n".join(shown))
    return 0


def _plans(rate: float | None, shards: Sequence[int], of: Costs, wanted: Wanted) -> list[Plan]:
    plans = [_carried(count, of, wanted) for count in shards]
    if rate:
        plans.append(scaling.plan(rate, scaling.shards_for(rate, of, wanted), of, wanted))
    return plans


def _figures(fit: Fit, of: Costs, wanted: Wanted, plans: Sequence[Plan]) -> dict[str, Any]:
    return {
        "efficiency": fit.efficiency,
        "fit": [line._asdict() | {"error": line.error} for line in fit.lines],
        "costs": of._asdict()
        | {"processor": of.processor._asdict(), "postgres": of.postgres._asdict()},
        "wanted": wanted._asdict(),
        "plans": [one._asdict() for one in plans],
    }


if __name__ == "__main__":
    sys.exit(main())

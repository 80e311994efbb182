"""`make faults`: a whole run of faults on a stack of its own, and one line of verdict."""

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from deploy.local.stack import Stack, StackOptions
from tests.faults.plan import EACH_MIN, Kind, plan
from tests.faults.run import Outcome, run

TAKEOVER_P95_SECONDS_MAX = 3.0
TAKEOVER_SECONDS_MAX = 5.0
PROMOTION_SECONDS_MAX = 10.0


def main() -> int:
    """Run, and return 1 if anything is not as promised."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--faults", type=int, default=64, help="how many (default %(default)s)")
    parser.add_argument("--calls", type=int, default=50_000, help="answered at least")
    parser.add_argument("--seed", type=int, help="of the order of faults; else a new one")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    chosen = plan(seed, options.faults)
    print(f"seed {seed}: {len(chosen)} faults", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="tender-faults-") as folder,
        Stack(whole(Path(folder))) as stack,
    ):
        stack.supervise_in_background()
        outcome = asyncio.run(run(stack, chosen, seed, say, calls=options.calls))
    for problem in [*outcome.problems, *outcome.breaches]:
        print(problem)
    missed = shortcomings(outcome, options.faults)
    for each in missed:
        print(f"missed: {each}")
    print(outcome.line())
    return 1 if missed or outcome.problems or outcome.breaches or outcome.in_flight else 0


def whole(folder: Path) -> StackOptions:
    """Return the stack of a whole run."""
    return StackOptions(
        folder,
        shards=4,
        regions=("eu", "us"),
        servers=2,
        replicas=2,
        processors=2,
        synchronous=True,
    )


def say(line: str) -> None:
    """Show how far the run is."""
    print(line, flush=True)


def shortcomings(outcome: Outcome, faults: int) -> list[str]:
    """Return in words what a run did not reach."""
    missed = []
    kinds = [done.kind for done in outcome.faults]
    if faults >= EACH_MIN * len(Kind):
        missed += [
            f"{kind}: only {kinds.count(kind)}" for kind in Kind if kinds.count(kind) < EACH_MIN
        ]
    figures = (
        ("takeover p95", outcome.takeover_p95, TAKEOVER_P95_SECONDS_MAX),
        ("takeover", max(outcome.takeovers, default=0.0), TAKEOVER_SECONDS_MAX),
        ("promotion", max(outcome.promotions, default=0.0), PROMOTION_SECONDS_MAX),
    )
    missed += [
        f"{name} took {seconds:.2f} s, more than {bound:g} s"
        for name, seconds, bound in figures
        if seconds > bound
    ]
    return missed


if __name__ == "__main__":
    sys.exit(main())

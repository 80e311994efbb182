"""`make faults-events`: a run on a stack with Apache Kafka of its own, and one line of verdict."""

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from deploy.local.stack import Stack, StackOptions
from tests.faults.events.corner import NOTIFICATIONS, WEBHOOKS
from tests.faults.events.outcome import Wanted
from tests.faults.events.run import run


def main() -> int:
    """Run, and return 1 if anything is not as promised."""
    whole = Wanted()
    parser = argparse.ArgumentParser(prog="make faults-events", description=__doc__)
    parser.add_argument("--payments", type=int, default=whole.payments, help="(%(default)s)")
    parser.add_argument("--rate", type=float, default=whole.rate, help="payments/s (%(default)s)")
    parser.add_argument("--crashes", type=int, default=whole.crashes, help="(%(default)s)")
    parser.add_argument(
        "--sender-crashes", type=int, default=whole.sender_crashes, help="of each (%(default)s)"
    )
    parser.add_argument("--seed", type=int, help="of the order of accidents; else a new one")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    wanted = Wanted(
        payments=options.payments,
        rate=options.rate,
        crashes=options.crashes,
        sender_crashes=options.sender_crashes,
    )
    print(f"seed {seed}", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="tender-faults-events-") as folder,
        Stack(whole_stack(Path(folder))) as stack,
    ):
        stack.supervise_in_background()
        outcome = asyncio.run(run(stack, wanted, seed, lambda line: print(line, flush=True)))
    for each in outcome.details():
        print(each)
    missed = outcome.shortcomings(wanted)
    for each in missed:
        print(f"missed: {each}")
    print(outcome.line())
    return 1 if missed else 0


def whole_stack(folder: Path) -> StackOptions:
    """Return the stack of a run."""
    return StackOptions(
        folder,
        shards=2,
        replicas=0,
        relay=True,
        kafka="apache",
        services=(WEBHOOKS, NOTIFICATIONS),
    )


if __name__ == "__main__":
    sys.exit(main())

"""The options that Tender adds to Locust's own; plain values, since the master sends them on."""

from typing import Any

from locust.argument_parser import LocustArgumentParser

SEED_DEFAULT = 1
WARM_UP_SECONDS_DEFAULT = 3.0
CHANNELS_DEFAULT = 8
ZIPF_EXPONENT_DEFAULT = 1.0


def add(parser: LocustArgumentParser) -> None:
    """Add what says whom to load, as whom, how fast, and what fails the run."""
    group: Any = parser.add_argument_group("Tender")
    group.add_argument("--world", help="File of accounts and merchants to use.")
    group.add_argument("--api-key-file", help="File that holds the API key.")
    group.add_argument(
        "--insecure", action="store_true", help="Without TLS to another machine than this."
    )
    group.add_argument(
        "--channels", type=int, default=CHANNELS_DEFAULT, help="Connections of each worker."
    )
    group.add_argument(
        "--pace", type=float, help="Commands per second of each user; 0: as answers come."
    )
    group.add_argument(
        "--zipf", type=float, default=ZIPF_EXPONENT_DEFAULT, help="Exponent; 0 is uniform."
    )
    group.add_argument("--seed", type=int, default=SEED_DEFAULT, help="Of accounts and merchants.")
    group.add_argument(
        "--warm-up",
        type=float,
        default=WARM_UP_SECONDS_DEFAULT,
        help="Seconds that count for no rate and no latency.",
    )
    group.add_argument("--p99-ms", type=float, help="Limit of the p99 from the intended time.")
    group.add_argument("--error-share", type=float, help="Limit of failed commands, 0 to 1.")
    group.add_argument("--rate-min", type=float, help="Least payments per second.")
    group.add_argument("--summary", help="Where the figures go as JSON.")

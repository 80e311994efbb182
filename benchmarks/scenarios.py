"""The scenarios, as a table."""

from typing import Final, NamedTuple


class Scenario(NamedTuple):
    """A kind of load. `in_flight` counts payments that are not answered yet, in all.

    `sheds` when more is offered than can be carried, so that to be refused is no error.
    `pairing` as in plan.pairs. `windowed` for p99 of each half second of an open loop.
    """

    name: str
    what: str
    shape: str
    workload: str
    in_flight: int
    connections: int
    merchants: int | None = None
    scattered: bool = False
    size: int = 100
    cold: bool = False
    knee_share: float = 0.0
    sheds: bool = False
    pairing: str = ""
    windowed: bool = False


SCENARIOS: Final = {
    one.name: one
    for one in (
        Scenario("unary", "one payment per call, captured with a fee", "closed", "pay", 512, 8),
        Scenario("stream", "StreamPayments, messages of 100", "stream", "", 2_000, 4),
        Scenario("batch", "AuthorizePayments, 100 per call", "batch", "", 2_000, 4),
        Scenario("hot_stream", "stream, one merchant", "stream", "", 2_000, 4, merchants=1),
        Scenario(
            "mixed_unary",
            "authorize 55, capture 25, refund 5, void 5, get 10 %",
            "closed",
            "mixed",
            512,
            8,
        ),
        Scenario("replay_unary", "unary, 10 % of it repeats", "closed", "replay", 512, 8),
        Scenario(
            "open_unary_70",
            "unary, offered at 70 % of the knee",
            "open",
            "pay",
            0,
            8,
            knee_share=0.70,
        ),
        Scenario(
            "cold_stream",
            "stream, 3,000,000 accounts, 10,000,000 keys, small caches",
            "stream",
            "",
            2_000,
            4,
            scattered=True,
            cold=True,
        ),
    )
}

NEEDS_UNARY: Final = frozenset({"open_unary_70"})
"""Scenarios whose rate follows from what `unary` showed."""

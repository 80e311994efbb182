"""A command on its way to the lane: what is sent, until when, and who hears of the outcome."""

import asyncio
from typing import TYPE_CHECKING

from gateway.errors import Refused
from tender.v1 import lane_pb2

if TYPE_CHECKING:
    from gateway.lane_client import LaneClient
    from gateway.replays import Ticket


class Command:
    """One command. It belongs to the lane client and not to the RPC that brought it.

    Exactly one of `answered` and `refused` is called, once, from the event loop; neither may raise.
    """

    __slots__ = (
        "deadline",
        "hops",
        "lane",
        "method",
        "principal",
        "request",
        "ticket",
        "times_sent",
    )
    is_bulk = False
    # Of those that come in bulk, it gives way to all others.
    is_background = False
    # Where a bulk command goes; a single one is sent there at once.
    lane: "LaneClient"
    # Its part in the replay cache, if it has one.
    ticket: "Ticket | None"

    def __init__(
        self, method: int, request: bytes, principal: lane_pb2.Principal, deadline: float
    ) -> None:
        self.method = method
        self.request = request
        self.principal = principal
        self.deadline = deadline
        self.times_sent = 0
        self.ticket = None
        self.hops = 0  # Lanes that refused it because its bucket is not theirs.

    def answered(self, outcome: lane_pb2.Outcome) -> None:
        """Hear what the lane said."""
        raise NotImplementedError

    def refused(self, reason: str) -> None:
        """Hear that there is no answer of the lane, and why."""
        raise NotImplementedError


class AwaitedCommand(Command):
    """A command that one RPC waits for. Cancelling the future changes only who listens."""

    __slots__ = ("outcome",)

    def __init__(
        self,
        method: int,
        request: bytes,
        principal: lane_pb2.Principal,
        deadline: float,
        outcome: asyncio.Future[lane_pb2.Outcome],
    ) -> None:
        self.method = method
        self.request = request
        self.principal = principal
        self.deadline = deadline
        self.times_sent = self.hops = 0
        self.ticket = None
        self.outcome = outcome

    def answered(self, outcome: lane_pb2.Outcome) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    def refused(self, reason: str) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(Refused(reason))

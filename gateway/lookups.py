"""Which commands of a lane are looked up in the replay cache before they are sent."""

from collections.abc import Mapping
from typing import Final, Protocol

from gateway.commands import Command
from gateway.replays import Ticket
from tender.v1 import lane_pb2


class Owner(Protocol):
    """Whose commands these are."""

    def is_unsent(self, correlation_id: int) -> bool:
        """Whether a command is here and has not left yet."""

    def send_now(self, correlation_id: int) -> None:
        """Let a command leave that was held."""

    def answer_now(self, correlation_id: int, outcome: lane_pb2.Outcome) -> None:
        """Answer a command that has not left."""


class Lookups:
    """Commands that are held here and not sent; all else goes its way."""

    def __init__(self, owner: Owner, shard: str) -> None:
        self.shard: Final = shard
        self._owner = owner
        # With whether it stands in the list of what is to be sent, from which it is left out.
        self._held: dict[int, bool] = {}
        self.waiting: Final[set[int]] = set()
        """Those of them that wait for another call with their request_id."""
        self._bulk_held: set[int] = set()

    def begin(self, ticket: Ticket, correlation_id: int, *, first: bool) -> bool:
        """Look a command up if it comes `first`; say whether it is held until that is done."""
        ticket.lookups = self
        ticket.correlation_id = correlation_id
        if not first or not ticket.replays.look(ticket):
            return False
        self._held[correlation_id] = False
        if ticket.is_bulk:
            self._bulk_held.add(correlation_id)
        return True

    def mark(self, commands: Mapping[int, Command], last: int) -> None:
        """Leave marks of commands up to one of them, which take long: others shall wait for them.

        `commands` in their order.
        """
        for correlation_id, command in commands.items():
            if correlation_id > last:
                break
            ticket = command.ticket
            if ticket is not None and ticket.looked_up is None:
                ticket.replays.look(ticket, soon=False)

    def is_first(self, ticket: Ticket) -> bool:
        """Say whether a command is to be held, as it is probably a repeat or behind one."""
        comes_first = ticket.replays.comes_first(ticket)
        return comes_first or (ticket.is_bulk and bool(self._bulk_held))

    def leave_out(self, correlation_id: int) -> bool:
        """Say whether a command, whose turn to be sent it is, is held; then it is put in later."""
        if correlation_id not in self._held:
            return False
        self._held[correlation_id] = False
        return True

    def all_listed(self) -> None:
        """All commands stand in the list of what is to be sent."""
        self._held = dict.fromkeys(self._held, True)

    def forget(self, correlation_id: int) -> None:
        """A command is over."""
        self._held.pop(correlation_id, None)
        self.waiting.discard(correlation_id)
        self._bulk_held.discard(correlation_id)

    # What the cache says.

    def answer(self, ticket: Ticket, outcome: lane_pb2.Outcome) -> bool:
        """Answer a command unless it has left: then the lane's answer is on its way."""
        if not self._owner.is_unsent(ticket.correlation_id):
            return False
        self._owner.answer_now(ticket.correlation_id, outcome)
        return True

    def wait(self, ticket: Ticket) -> bool:
        """Hold a command, as it waits for another call; False when it has left."""
        correlation_id = ticket.correlation_id
        if not self._owner.is_unsent(correlation_id):
            return False
        self._held.setdefault(correlation_id, True)
        self.waiting.add(correlation_id)
        return True

    def is_waiting(self, ticket: Ticket) -> bool:
        return ticket.correlation_id in self.waiting

    def go_on(self, ticket: Ticket) -> None:
        """Leave a command to the lane."""
        correlation_id = ticket.correlation_id
        is_listed = self._held.get(correlation_id)
        self.forget(correlation_id)
        if is_listed is False:
            self._owner.send_now(correlation_id)

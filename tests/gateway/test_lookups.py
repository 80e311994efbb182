"""Which commands leave a mark in the replay cache while they are under way."""

from typing import Any, cast

from gateway.commands import Command
from gateway.lookups import Lookups
from gateway.replays import Replays, Ticket
from storage.redis.replays import Look
from tender.v1 import lane_pb2


class Asked(Replays):
    """Notes what is looked up, and asks nobody."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []

    def look(self, ticket: Ticket, *, soon: bool = True) -> bool:
        ticket.looked_up = Look(ticket.key, ticket.heard, soon=soon)
        self.keys.append(ticket.key)
        return True


class Nobody:
    """An owner whose commands are never asked for."""


def under_way(asked: Asked, count: int) -> tuple[Lookups, dict[int, Command]]:
    lookups = Lookups(cast(Any, Nobody()), "s1")
    commands = {}
    for number in range(1, count + 1):
        principal = lane_pb2.Principal(tenant_id="acme")
        command = commands[number] = Command(1, b"", principal, 0.0)
        command.ticket = Ticket(asked, 1, f"order-{number}", b"", principal)
        assert not lookups.begin(command.ticket, number, first=False)
    return lookups, commands


def test_a_command_asks_for_nothing_when_it_comes() -> None:
    asked = Asked()

    under_way(asked, 3)

    assert asked.keys == []


def test_commands_that_take_long_leave_one_mark_each() -> None:
    asked = Asked()
    lookups, commands = under_way(asked, 4)

    lookups.mark(commands, 2)
    del commands[1]
    lookups.mark(commands, 3)

    assert [key.rpartition(b":")[2] for key in asked.keys] == [b"order-1", b"order-2", b"order-3"]


def test_a_command_without_a_ticket_leaves_none() -> None:
    asked = Asked()
    lookups, commands = under_way(asked, 2)
    commands[1].ticket = None

    lookups.mark(commands, 2)

    assert len(asked.keys) == 1

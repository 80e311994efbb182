"""Picks the loopback ports of a stack, and holds them for as long as it lives.

A server that is killed and started again leaves its port free for a while. A second stack that is
looking for ports just then must not take it, so each port has a mark beside it: a Unix socket of
the abstract namespace, which is as wide as that of the ports and gone with the process.
"""

import random
import socket
from collections.abc import Iterable, Mapping
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"
# Below the kernel's range for outgoing connections: while a server is down for a restart, no
# connection of somebody else can sit on its port.
FREE_PORTS = range(20_000, 32_000)
TRIES_MAX = 1_000
CONNECT_SECONDS_MAX = 0.5


class PortTaken(Exception):
    """A port that was asked for is in use."""


def choose(names: Iterable[str], wanted: Mapping[str, int], held: ExitStack) -> dict[str, int]:
    """A port for every name: the wanted one, or a free one where none (or 0) is wanted.

    No other stack of this machine is given one of them until `held` is left.
    """
    ports: dict[str, int] = {}
    # The wanted ones first, so that no free one takes their place.
    for name in sorted(names, key=lambda name: not wanted.get(name)):
        ports[name] = _hold_one(name, wanted.get(name, 0), held)
    return ports


def _hold_one(name: str, wanted: int, held: ExitStack) -> int:
    if wanted:
        if not _hold(wanted, held):
            raise PortTaken(f"port {wanted} for {name} is already in use")
        return wanted
    for _ in range(TRIES_MAX):
        port = random.choice(FREE_PORTS)
        if _hold(port, held):
            return port
    raise PortTaken(f"found no free port for {name} in {TRIES_MAX} tries")


def _hold(port: int, held: ExitStack) -> bool:
    """Mark the port as ours until `held` is left; false if somebody has it."""
    with ExitStack() as marked:
        mark = marked.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listener = marked.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        # Connections of an earlier run in TIME_WAIT are no reason to refuse a port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            mark.bind(f"\0tender-port-{port}")
            listener.bind((LOOPBACK, port))
        except OSError:
            return False
        listener.close()
        held.push(marked.pop_all())
    return True


def connect(address: str) -> None:
    """Raise OSError unless somebody accepts connections at `host:port`."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS_MAX).close()

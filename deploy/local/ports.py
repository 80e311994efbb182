"""Picks the loopback ports of a stack, all at once, so that no two of its servers get the same."""

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


def choose(names: Iterable[str], wanted: Mapping[str, int]) -> dict[str, int]:
    """A port for every name: the wanted one, or a free one where none (or 0) is wanted."""
    ports: dict[str, int] = {}
    with ExitStack() as reserved:
        # The wanted ones first, so that no free one takes their place.
        for name in sorted(names, key=lambda name: not wanted.get(name)):
            ports[name] = _reserve(name, wanted.get(name, 0), reserved)
    return ports


def _reserve(name: str, wanted: int, reserved: ExitStack) -> int:
    if wanted:
        if not _bind(wanted, reserved):
            raise PortTaken(f"port {wanted} for {name} is already in use")
        return wanted
    for _ in range(TRIES_MAX):
        port = random.choice(FREE_PORTS)
        if _bind(port, reserved):
            return port
    raise PortTaken(f"found no free port for {name} in {TRIES_MAX} tries")


def _bind(port: int, reserved: ExitStack) -> bool:
    """Hold the port until `reserved` is left; false if somebody has it."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # Connections of an earlier run in TIME_WAIT are no reason to refuse a port.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError:
        listener.close()
        return False
    reserved.enter_context(listener)
    return True


def connect(address: str) -> None:
    """Raise OSError unless somebody accepts connections at `host:port`."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS_MAX).close()

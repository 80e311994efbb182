"""A Valkey for each test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local import valkey
from tests.cache.server import Server
from tests.gateway.conftest import free_address, until

StartServer = Callable[..., Server]


@pytest.fixture
def program() -> Path:
    """What servers are started from."""
    return valkey.embedded_program()


@pytest.fixture
def start_server(tmp_path: Path, program: Path) -> Iterator[StartServer]:
    """Start servers that end with the test."""
    started: list[Server] = []

    def start(*options: str, **given: str) -> Server:
        server = Server(tmp_path, *options, program=program, **given)
        started.append(server)
        return server

    yield start
    for server in started:
        server.close()


@pytest.fixture
def server(start_server: StartServer) -> Server:
    return start_server()


async def cluster_url(start_server: StartServer) -> str:
    """Form a Cluster of one node, which refuses calls for more than a slot; return its URL."""
    bus_port = free_address().rpartition(":")[2]
    server = start_server("--cluster-enabled", "yes", "--cluster-port", bus_port)
    with server.client as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
    await until(lambda: _is_formed(server))
    return server.url.replace("redis://", "redis+cluster://").removesuffix("/0")


def _is_formed(server: Server) -> bool:
    with server.client as client:
        return "'cluster_state': 'ok'" in str(client.execute_command("CLUSTER INFO"))

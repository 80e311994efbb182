"""A Valkey for each test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cache.server import Server

StartServer = Callable[..., Server]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Start servers that end with the test."""
    started: list[Server] = []

    def start(*options: str, **given: str) -> Server:
        server = Server(tmp_path, *options, **given)
        started.append(server)
        return server

    yield start
    for server in started:
        server.close()


@pytest.fixture
def server(start_server: StartServer) -> Server:
    return start_server()

"""A Valkey or Redis of a test's own, that may be paused, killed and started again on its port."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from deploy.local import valkey
from tests.gateway.conftest import free_address

START_SECONDS_MAX = 10.0
PASSWORD = "of-the-tests"


class Server:
    """One server; what it is started with beyond its port is the test's."""

    def __init__(
        self, folder: Path, *options: str, password: str = PASSWORD, program: Path | None = None
    ) -> None:
        host, _, port = free_address().rpartition(":")
        self.host, self.port, self.password = host, int(port), password
        self._folder = folder / f"valkey-{port}"
        self._folder.mkdir(parents=True)
        self._options = options
        self._program = program or valkey.embedded_program()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def place(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        login = f":{self.password}@" if self.password else ""
        return f"redis://{login}{self.place}/0"

    @property
    def client(self) -> "redis.Redis":
        return redis.Redis.from_url(self.url, socket_timeout=START_SECONDS_MAX)

    def start(self) -> None:
        login = ("--requirepass", self.password) if self.password else ()
        configuration = self._folder / "valkey.conf"
        configuration.touch()
        self._process = subprocess.Popen(
            [
                *(str(self._program), str(configuration)),
                *("--bind", self.host, "--port", str(self.port), "--save", ""),
                *("--appendonly", "no", "--dir", str(self._folder), *login, *self._options),
            ],
            stdout=subprocess.DEVNULL,
        )
        stop_by = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                with self.client as client:
                    client.ping()
                return
            except redis.ConnectionError:
                assert time.monotonic() < stop_by, "it does not start"
                time.sleep(0.02)

    def flush(self) -> None:
        with self.client as client:
            client.flushall()

    def stored_keys(self) -> list[bytes]:
        with self.client as client:
            found: list[bytes] = client.keys()
            return found

    def send(self, which: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, which)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let it hang: it takes connections and says nothing."""
        self.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.send(signal.SIGCONT)

    def kill(self) -> None:
        assert self._process is not None
        self.send(signal.SIGKILL)
        self._process.wait()
        self._process = None

    def close(self) -> None:
        if self._process is not None:
            self.kill()

"""A second relay of the same shards, which takes over when the first one is gone, and back."""

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from deploy.local import folder, ports, servers
from deploy.local.stack import Stack
from tests.acceptance.conftest import gauge

STOP_SECONDS_MAX: Final = 30.0
OWNER: Final = "tender_relay_owner"


class SecondRelay:
    """A process that the stack knows nothing of; started again by `start`."""

    def __init__(self, stack: Stack) -> None:
        self._held = ExitStack()
        port = ports.choose(["second_relay_metrics"], {}, self._held)["second_relay_metrics"]
        self.metrics = f"{ports.LOOPBACK}:{port}"
        environment = servers.relay_environment(
            stack.endpoints,
            stack.options.region,
            folder.Folder(stack.options.data_dir).relay_shards,
        )
        self._environment = (
            servers.environment() | environment | {"TENDER_METRICS_LISTEN": self.metrics}
        )
        self._log: Path = stack.log("second-relay")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "SecondRelay":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.signal(signal.SIGCONT)
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._held.close()

    def start(self) -> None:
        """Start it, unless it runs."""
        if self._process is None or self._process.poll() is not None:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "deploy.servers.relay"],
                    env=self._environment,
                    stdout=log,
                    stderr=log,
                )

    def kill(self) -> None:
        """End it as an accident would; it stays down until `start`."""
        self.signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(STOP_SECONDS_MAX)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        os.kill(self._process.pid, number)


def owned(metrics: str) -> float:
    """Return how many shards a relay publishes now; 0 if it does not answer."""
    try:
        return gauge(metrics, OWNER)
    except OSError:
        return 0.0

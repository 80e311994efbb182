"""Locust's web UI on a real stack: a scenario is chosen, runs, and its payments are told."""

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deploy.local.stack import Stack
from loadtest import running
from tests.loadtest import conftest

WAIT_SECONDS_MAX = 40.0
REQUEST_SECONDS_MAX = 5.0


def get(url: str, fields: dict[str, str] | None = None) -> str:
    body = urllib.parse.urlencode(fields).encode() if fields else None
    with urllib.request.urlopen(url, body, timeout=REQUEST_SECONDS_MAX) as answer:
        return str(answer.read().decode())


def until(check: Callable[[], Any]) -> Any:
    """Repeat until it is true; what cannot be reached yet is tried again."""
    ends = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        try:
            if found := check():
                return found
        except OSError:
            pass
        assert time.monotonic() < ends, "it never came true"
        time.sleep(0.2)


def test_a_scenario_is_run_from_the_web_ui(stack: Stack, tmp_path: Path) -> None:
    port = running.free_port()
    url = f"http://127.0.0.1:{port}"
    command = conftest.arguments(tmp_path / "reports", "--ui", "--web-port", str(port))
    command += ["--data-dir", str(stack.options.data_dir)]

    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert "Terminal" in until(lambda: get(url))
        swarm = {"user_classes": "Terminal", "user_count": "10", "spawn_rate": "10"}
        assert json.loads(get(f"{url}/swarm", swarm | {"shape_class": "Default"}))["success"]
        figures = until(lambda: payments(url))
        # As a terminal does it: to all of them.
        os.killpg(process.pid, signal.SIGINT)
        printed, _ = process.communicate(timeout=WAIT_SECONDS_MAX)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        # Of one that failed, nothing is left for the next test to be warned of.
        process.wait(WAIT_SECONDS_MAX)
        assert process.stdout is not None
        process.stdout.close()

    assert (figures["scenario"], figures["errors"]) == ("pos_rush", {})
    assert process.returncode == 0, printed
    assert "verify: the ledger holds" in printed


def payments(url: str) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads(get(f"{url}/payments"))
    return figures if figures["payments"] else {}

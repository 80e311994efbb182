"""A real Prometheus that watches a real stack, quicker than in production but by the same rules."""

import functools
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from deploy.local import folder, ports, supervisor
from tests.observability import promtool, test_queries

INTERVAL: Final = "500ms"  # Of scrapes and evaluations.
HELD: Final = "1s"  # In place of each rule's `for`.
START_SECONDS_MAX: Final = 30.0
STOP_SECONDS_MAX: Final = 10.0
ASK_SECONDS_MAX: Final = 5.0
POLL_SECONDS: Final = 0.1

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    address: str

    def firing(self) -> list[Labels]:
        """Return the labels of the alerts that fire now."""
        return [
            each["labels"] for each in self._ask("alerts")["alerts"] if each["state"] == "firing"
        ]

    def targets_up(self) -> int:
        """Return how many servers answered when they were last asked."""
        return sum(each["health"] == "up" for each in self._ask("targets")["activeTargets"])

    def await_firing(self, seconds_max: float, **labels: str) -> float:
        """Wait until an alert with these labels fires; return after how many seconds."""
        return self._await(labels, seconds_max, fires=True)

    def await_resolved(self, seconds_max: float, **labels: str) -> float:
        """Wait until no alert with these labels fires."""
        return self._await(labels, seconds_max, fires=False)

    def _await(self, labels: Labels, seconds_max: float, *, fires: bool) -> float:
        began = time.monotonic()
        while True:
            firing = self.firing()
            if any(labels.items() <= each.items() for each in firing) is fires:
                return time.monotonic() - began
            assert time.monotonic() - began < seconds_max, (
                f"{dict(labels)} does {'not fire' if fires else 'still fire'} after "
                f"{seconds_max:g} s; what fires: {firing}"
            )
            time.sleep(POLL_SECONDS)

    def _ask(self, what: str) -> dict[str, Any]:
        with urllib.request.urlopen(
            f"http://{self.address}/api/v1/{what}", timeout=ASK_SECONDS_MAX
        ) as response:
            answer: dict[str, Any] = json.load(response)["data"]
        return answer


@contextmanager
def prometheus(data: Path, endpoints: folder.Endpoints) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes the stack."""
    held = ExitStack()
    address = f"{ports.LOOPBACK}:{ports.choose(['prometheus'], {}, held)['prometheus']}"
    children = supervisor.Supervisor(lambda _event: None, lambda _who: None)
    children.add(
        supervisor.Service(
            name="prometheus",
            where=address,
            argv=(
                promtool.program("prometheus"),
                f"--config.file={configure(data, endpoints)}",
                f"--storage.tsdb.path={data / 'series'}",
                f"--web.listen-address={address}",
            ),
            env=dict(os.environ),
            log=data / "prometheus.log",
            probe=functools.partial(probe, address),
            start_seconds_max=START_SECONDS_MAX,
            stop_seconds_max=STOP_SECONDS_MAX,
        )
    )
    try:
        children.await_ready("prometheus")
        yield Prometheus(address)
    finally:
        children.stop_all()
        held.close()


def configure(data: Path, endpoints: folder.Endpoints) -> Path:
    """Copy the settings and rules of deploy/: other targets, shorter intervals, shorter `for`."""
    content = yaml.safe_load(test_queries.PROMETHEUS.read_text())
    content["global"] = {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL}
    targets = {
        "tender-gateway": endpoints.gateway_metrics,
        "tender-processor": endpoints.processor_metrics,
        "tender-relay": endpoints.relay_metrics,
    }
    # The others are not in these stacks.
    content["scrape_configs"] = [
        job for job in content["scrape_configs"] if job["job_name"] in targets
    ]
    for job in content["scrape_configs"]:
        [static] = job["static_configs"]
        static["targets"] = [targets[job["job_name"]]]
    rules, shortened = re.subn(r"(?m)^( +for:) .+$", rf"\1 {HELD}", test_queries.ALERTS.read_text())
    assert shortened == sum("for" in rule for rule in test_queries.rules())
    [rule_file] = content["rule_files"]
    (data / rule_file).write_text(rules)
    settings = data / "prometheus.yml"
    settings.write_text(yaml.safe_dump(content))
    return settings


def probe(address: str) -> None:
    """Raise NotReady unless Prometheus has begun to look."""
    try:
        with urllib.request.urlopen(f"http://{address}/-/ready", timeout=ASK_SECONDS_MAX):
            pass
    except (OSError, urllib.error.HTTPError) as error:
        raise supervisor.NotReady(str(error)) from error

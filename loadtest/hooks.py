"""Joins the load to Locust: its options, what its web UI shows besides, and the exit code."""

import csv
import json
import logging
from pathlib import Path
from typing import Any

import locust
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtest import gathering, options, session, verdict
from loadtest.catalogue import SCENARIOS, Limits, Scenario
from loadtest.tally import Tally

USER_ERROR = "exception in a user"

logger = logging.getLogger(__name__)

_registered = False


def register() -> None:
    """Register everything with Locust, once however many Locust files are loaded."""
    global _registered
    if _registered:
        return
    _registered = True
    events: Any = locust.events
    events.init_command_line_parser.add_listener(add_options)
    events.init.add_listener(initialize)
    events.test_start.add_listener(restart)
    events.report_to_master.add_listener(gathering.report)
    events.worker_report.add_listener(gathering.receive)
    events.test_stopping.add_listener(gathering.finish)
    events.user_error.add_listener(count_user_error)
    events.quitting.add_listener(judge)


def add_options(parser: Any, **_: Any) -> None:
    options.add(parser)


def initialize(environment: Environment, runner: Any, web_ui: Any, **_: Any) -> None:
    """The web UI counts calls; its page `/payments` has our figures so far, as JSON."""
    gathering.join(runner)
    if web_ui is not None:
        web_ui.app.add_url_rule("/payments", "payments", lambda: summary_of(environment).as_json())


def restart(environment: Environment, **_: Any) -> None:
    chosen: Any = environment.parsed_options
    session.counting.restart(chosen.warm_up)
    gathering.restart(environment.runner)


def count_user_error(exception: BaseException, **_: Any) -> None:
    session.counting.tally.errors[f"{USER_ERROR}: {type(exception).__name__}"] += 1


def judge(environment: Environment, **_: Any) -> None:
    """Decide the exit code, where the figures of all workers are."""
    if isinstance(environment.runner, WorkerRunner):
        environment.process_exit_code = 0
        return
    chosen: Any = environment.parsed_options
    summary = summary_of(environment)
    environment.process_exit_code = 1 if summary.breaches else 0
    for breach in summary.breaches:
        logger.error("%s: %s", summary.scenario, breach)
    if chosen.summary:
        Path(chosen.summary).write_text(json.dumps(summary.as_json(), indent=2))
    if chosen.csv_prefix:
        write_seconds(Path(f"{chosen.csv_prefix}_payments.csv"), gathering.gathered.total)


def summary_of(environment: Environment) -> verdict.Summary:
    """Sum up what was reported so far."""
    if not isinstance(environment.runner, MasterRunner):
        gathering.gathered.total.add(session.counting.take())
    chosen: Any = environment.parsed_options
    scenarios = active(environment)
    return verdict.summarize(
        scenario=" + ".join(each.name for each in scenarios),
        tally=gathering.gathered.total,
        limits=limits_of(scenarios, chosen),
        warm_up_seconds=chosen.warm_up,
        workers_lost=gathering.lost(environment.runner),
    )


def active(environment: Environment) -> list[Scenario]:
    """Return the scenarios whose users are in this run, in the order of the catalogue."""
    users: list[Any] = list(environment.user_classes)
    found = {user.scenario for user in users}
    return [each for each in SCENARIOS.values() if each in found]


def limits_of(scenarios: list[Scenario], chosen: Any) -> Limits:
    """Return the scenario's own limits unless others are given; a mixture has no rate to keep."""
    own = scenarios[0].limits if len(scenarios) == 1 else Limits()
    return own.override(chosen.p99_ms, chosen.error_share, chosen.rate_min)


def write_seconds(path: Path, tally: Tally) -> None:
    """Write payments by second: Locust's own files count calls."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("timestamp", "payments"))
        if tally.by_second:
            first, last = min(tally.by_second), max(tally.by_second)
            writer.writerows((each, tally.by_second[each]) for each in range(first, last + 1))

"""How the counts of all worker processes come together: as they go, and a last one for sure.

Locust gives a worker half a second for its last report, and a call that is under way when the load
ends may take longer; without that report an error or a duplicate at the end would go unseen.
"""

import time
from dataclasses import dataclass, field
from typing import Any

import gevent  # type: ignore[import-untyped]
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtest import session
from loadtest.tally import Tally, from_message, to_message

KEY = "tender"
"""Of our part in what a worker reports."""

FINISH, FINISHED = "tender_finish", "tender_finished"

# Beyond the stop timeout, in which the calls under way end.
LAST_REPORT_SECONDS_MAX = 5.0
POLL_SECONDS = 0.05


@dataclass
class Gathered:
    """What the master has."""

    total: Tally = field(default_factory=Tally)
    workers_expected: int = 0
    finished: set[str] = field(default_factory=set)
    is_over: bool = False


gathered = Gathered()


def join(runner: Any) -> None:
    """Let master and workers understand each other."""
    if isinstance(runner, WorkerRunner):
        runner.register_message(FINISH, _finish_worker, concurrent=True)
    elif isinstance(runner, MasterRunner):
        runner.register_message(FINISHED, _note_finished)


def restart(runner: Any) -> None:
    """Forget the run before, if there was one."""
    global gathered
    workers = len(runner.clients) if isinstance(runner, MasterRunner) else 0
    gathered = Gathered(workers_expected=workers)


def report(client_id: str, data: dict[str, Any], **_: Any) -> None:
    """On a worker, every few seconds: add what was counted since."""
    data[KEY] = to_message(session.counting.take())


def receive(client_id: str, data: dict[str, Any], **_: Any) -> None:
    """On the master."""
    if KEY in data:
        gathered.total.add(from_message(data[KEY]))


def finish(environment: Environment, **_: Any) -> None:
    """On the master, before it stops the workers: wait for what each counted to the end."""
    runner = environment.runner
    if not isinstance(runner, MasterRunner) or gathered.is_over:
        return
    gathered.is_over = True
    runner.send_message(FINISH)
    ends = time.monotonic() + environment.stop_timeout + LAST_REPORT_SECONDS_MAX
    while time.monotonic() < ends and not _present(runner) <= gathered.finished:
        gevent.sleep(POLL_SECONDS)


def lost(runner: Any) -> int:
    """Return how many workers never delivered their last counts."""
    if not gathered.is_over:
        return 0
    return gathered.workers_expected - len(gathered.finished)


def _present(runner: MasterRunner) -> set[str]:
    clients = runner.clients
    return {each.id for each in (*clients.ready, *clients.spawning, *clients.running)}


def _finish_worker(environment: Environment, msg: Any, **_: Any) -> None:
    runner: Any = environment.runner
    runner.stop()
    runner.send_message(FINISHED, to_message(session.counting.take()))


def _note_finished(environment: Environment, msg: Any, **_: Any) -> None:
    gathered.total.add(from_message(msg.data))
    gathered.finished.add(msg.node_id)

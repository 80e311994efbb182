"""Runs the generator's process and tells its events to whoever measures beside it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

from benchmarks.load.process import Job
from deploy.local import servers

END_SECONDS_MAX: Final = 10.0
"""From its last word to its end."""


class GeneratorFailed(Exception):
    """The generator ended without a result; the text is what it wrote."""


def run(job: Job, on_event: Callable[[dict[str, Any]], None], log: Path) -> dict[str, Any]:
    """Do a job in a process of its own; `on_event` is told begin, every tick, and end."""
    result: dict[str, Any] | None = None
    with log.open("ab") as errors, _started(errors) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(json.dumps(job._asdict()) + "\n")
            child.stdin.close()
            for line in child.stdout:
                event = json.loads(line)
                if event["event"] == "result":
                    result = event
                else:
                    on_event(event)
            child.wait(END_SECONDS_MAX)
        finally:
            child.kill()
    if result is None:
        tail = log.read_text(errors="replace")[-4_000:]
        raise GeneratorFailed(f"the generator ended with {child.returncode}:\n{tail}")
    return result


def _started(errors: IO[bytes]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.load.process"],
        env=servers.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    )

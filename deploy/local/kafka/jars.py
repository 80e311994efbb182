"""Fetches the jars of Apache Kafka by Maven, once, for all stacks and tests of this tree.

  python -m deploy.local.kafka.jars         fetch them now, so that nothing waits for them later
  python -m deploy.local.kafka.jars lock    take what a changed pom names, and write jars.sha256

Where Java or Maven are missing it says so and ends well, since there is the embedded broker. With
CI=true that is an error.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import deploy
from deploy.local import supervisor
from deploy.local.kafka import java

POM: Final = Path(__file__).with_name("pom.xml")
LOCK: Final = Path(__file__).with_name("jars.sha256")
"""Every jar, those that others need too, by name and digest; others are not taken."""

FETCH_SECONDS_MAX: Final = 900.0
"""About 45 MB, and whoever waits for another run's fetch waits as long."""

WAIT_PAUSE_SECONDS: Final = 0.2
SAY_SECONDS: Final = 2.0
LINES_KEPT: Final = 20
DIGEST_LETTERS: Final = 12

_DOWNLOADED: Final = re.compile(r"Downloaded from [^:]+: \S*/([^/\s]+\.jar)\b")
_VERSION: Final = "{*}properties/{*}kafka.version"


def nobody(_line: str) -> None:
    """Tell nobody."""


def version() -> str:
    """Return the version of Apache Kafka that the pom names."""
    found = ElementTree.parse(POM).findtext(_VERSION)
    assert found, f"{POM} names no kafka.version"
    return found


def folder() -> Path:
    """Return where the jars are once they are there; a changed pom has another folder."""
    root = Path(deploy.__file__).parent.parent
    if (root / "pyproject.toml").is_file():
        caches = root / ".tender" / "cache"
    else:
        # Installed: what came with the package is not written beside.
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tender"
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()[:DIGEST_LETTERS]
    return caches / f"kafka-{version()}-{digest}"


def fetch(say: Callable[[str], None] = nobody) -> Path:
    """Return the folder of the jars, which it fills if it is not there.

    `say` is told how far it is. Raises StartFailed, of which Missing says that Maven is not there.
    """
    done = folder()
    if done.is_dir():
        return done
    program = java.maven()
    done.parent.mkdir(parents=True, exist_ok=True)
    with _alone(done.with_name(f"{done.name}.lock"), say):
        if not done.is_dir():
            unfinished = done.with_name(f"{done.name}.new")
            shutil.rmtree(unfinished, ignore_errors=True)
            _copy(program, unfinished, say)
            _require_locked(unfinished)
            # In one step, so that a folder of this name is a whole one.
            unfinished.rename(done)
    return done


@contextlib.contextmanager
def _alone(path: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a folder; the kernel lets go of it when the process ends, however."""
    deadline = time.monotonic() + FETCH_SECONDS_MAX
    with path.open("a") as lock:
        is_told = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise supervisor.StartFailed(f"another run holds {path}") from None
            if not is_told:
                say("another run is fetching Apache Kafka")
                is_told = True
            time.sleep(WAIT_PAUSE_SECONDS)
        yield


def _copy(program: Path, to: Path, say: Callable[[str], None]) -> None:
    """Let Maven put the jars and those that they need into a folder. Raises StartFailed."""
    say(f"fetching Apache Kafka {version()}, once")
    command = [
        *(str(program), "--batch-mode", "--strict-checksums", "--file", str(POM)),
        *("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={to}"),
    ]
    last: deque[str] = deque(maxlen=LINES_KEPT)
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        # Bounds both, the reading and the wait for its end.
        timer = threading.Timer(FETCH_SECONDS_MAX, process.kill)
        timer.start()
        try:
            _follow(process.stdout, last, say)
            process.wait()
        except BaseException:
            process.kill()
            raise
        finally:
            timer.cancel()
    if process.returncode != 0 or not any(to.glob("kafka_*.jar")):
        told = "\n".join(last)
        raise supervisor.StartFailed(
            f"the jars of Apache Kafka did not come (exit code {process.returncode}); Maven says:\n"
            f"{told}"
        )


def _follow(output: Iterator[str], last: deque[str], say: Callable[[str], None]) -> None:
    """Read to the end, keep the last lines, and tell of jars every now and then."""
    count, said_at = 0, time.monotonic()
    for line in output:
        last.append(line.rstrip())
        found = _DOWNLOADED.search(line)
        if found is None:
            continue
        count += 1
        if time.monotonic() - said_at > SAY_SECONDS:
            said_at = time.monotonic()
            say(f"Maven has fetched {count} jars, {found[1]} the last of them")


def digests(jars: Path) -> str:
    """Return a line for each jar of a folder, as `sha256sum` writes them."""
    return "".join(
        f"{hashlib.sha256(jar.read_bytes()).hexdigest()}  {jar.name}\n"
        for jar in sorted(jars.glob("*.jar"))
    )


def _require_locked(jars: Path) -> None:
    """Raise StartFailed unless the jars are those of the lock."""
    wanted, found = (set(text.splitlines()) for text in (LOCK.read_text(), digests(jars)))
    if wanted != found:
        names = sorted({line.split()[1] for line in wanted ^ found})
        raise supervisor.StartFailed(
            f"the jars of Apache Kafka are not those of {LOCK.name}: {', '.join(names)}"
        )


def _lock() -> None:
    """Write down what Maven gives for the pom now."""
    with tempfile.TemporaryDirectory() as scratch:
        _copy(java.maven(), Path(scratch), print)
        LOCK.write_text(digests(Path(scratch)))


def main(arguments: list[str]) -> int:
    """Fetch the jars and say where they are; return the exit code."""
    try:
        java.java()
        if arguments == ["lock"]:
            _lock()
        where = fetch(lambda line: print(line, flush=True))
    except java.Missing as missing:
        print(f"{missing}. Until then the embedded broker serves.")
        return 1 if os.environ.get("CI") == "true" else 0
    except supervisor.StartFailed as failed:
        print(failed)
        return 1
    print(f"Apache Kafka {version()} is in {where}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

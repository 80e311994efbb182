"""Child processes that die with their parent: starting, recognising and ending them."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

LOG_BYTES_MAX = 16 * 1024 * 1024
LOG_TAIL_LINES = 20
LOG_TAIL_BYTES = 64 * 1024
KILL_SECONDS_MAX = 5.0  # SIGKILL is certain; only a process stuck in the disk takes longer.
POLL_SECONDS = 0.01

PROC = Path("/proc")


@dataclass(frozen=True)
class Identity:
    """A process, and not another one that got the same pid later."""

    pid: int
    start_ticks: int

    def is_alive(self) -> bool:
        return start_ticks(self.pid) == self.start_ticks


@dataclass
class Child:
    """A started child."""

    identity: Identity
    process: subprocess.Popen[bytes] = field(repr=False)
    started: float

    @property
    def pid(self) -> int:
        return self.identity.pid

    def exit_code(self) -> int | None:
        """None while it runs; the negative signal number if one ended it."""
        return self.process.poll()


class Spawner:
    """Starts every child from one thread that lives as long as they do.

    The kernel sends a child its death signal when the *thread* that started it ends, not only when
    the process does. Whoever asks for a child may therefore come and go; this thread stays until
    `close`.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")

    def spawn(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        death_signal: signal.Signals,
        niceness: int = 0,
    ) -> Child:
        """Start `argv`; it gets `death_signal` as soon as this process is gone."""
        return self._thread.submit(_spawn, argv, env, log, death_signal, niceness).result()

    def close(self) -> None:
        self._thread.shutdown()


def _spawn(
    argv: Sequence[str],
    env: Mapping[str, str],
    log: Path,
    death_signal: signal.Signals,
    niceness: int,
) -> Child:
    # setpriv and not preexec_fn: Python code between fork and exec may deadlock in a process with
    # threads, and without it Python can use vfork, which leaves gRPC's fork handlers asleep.
    polite = ["nice", "-n", str(niceness)] if niceness else []
    tied = ["setpriv", "--pdeathsig", death_signal.name.removeprefix("SIG"), "--", *polite, *argv]
    with open_log(log) as output:
        process = subprocess.Popen(
            tied,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal is for us alone: we stop in order.
        )
    if niceness:
        let_others_first(process.pid, niceness)
    ticks = start_ticks(process.pid)
    return Child(Identity(process.pid, -1 if ticks is None else ticks), process, time.monotonic())


def let_others_first(pid: int, niceness: int) -> None:
    """Where the kernel shares the machine among sessions, a session has a niceness of its own."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(niceness))


def open_log(path: Path) -> BinaryIO:
    """Open a log for appending; a large one from earlier runs is kept once, as `.old`."""
    if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
        path.replace(path.with_name(path.name + ".old"))
    return open(path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600))


def log_tail(path: Path) -> str:
    """The last lines of a log, for an error message."""
    if not path.exists():
        return ""
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
        lines = log.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-LOG_TAIL_LINES:])


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None if it is gone or a zombie."""
    fields = _stat_fields(pid)
    return None if fields is None or fields[0] == "Z" else int(fields[19])


def family(pid: int) -> list[int]:
    """The process and all its descendants."""
    parents = {
        child: int(fields[1]) for child in pids() if (fields := _stat_fields(child)) is not None
    }
    members = [pid]
    for member in members:  # The list grows while it is walked: children, then theirs.
        members.extend(child for child, parent in parents.items() if parent == member)
    return members


def _stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat after the command: state, parent, ..."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command stands in parentheses and may hold spaces and parentheses itself.
    return stat[stat.rindex(")") + 2 :].split()


def pids() -> Iterator[int]:
    return (int(entry.name) for entry in PROC.iterdir() if entry.name.isdecimal())


def identify(candidates: Iterable[int]) -> list[Identity]:
    """The identities of those that are alive."""
    return [Identity(pid, ticks) for pid in candidates if (ticks := start_ticks(pid)) is not None]


def send(identities: Iterable[Identity], number: signal.Signals) -> None:
    """Signal those that are still alive."""
    for identity in identities:
        if identity.is_alive():
            try:
                os.kill(identity.pid, number)
            except ProcessLookupError:
                continue


def await_end(identities: Sequence[Identity], seconds_max: float) -> bool:
    """Wait until all are gone; false when the bound passes first."""
    deadline = time.monotonic() + seconds_max
    while any(identity.is_alive() for identity in identities):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def end(identities: Sequence[Identity], number: signal.Signals, seconds_max: float) -> None:
    """Ask with `number`, wait, and kill what is still there."""
    send(identities, signal.SIGCONT)  # A stopped process cannot follow.
    send(identities, number)
    if not await_end(identities, seconds_max):
        send(identities, signal.SIGKILL)
        await_end(identities, KILL_SECONDS_MAX)

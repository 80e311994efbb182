"""Starts services as children, waits for them, restarts what dies, stops in reverse order."""

import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local import processes

PROBE_PAUSE_SECONDS = 0.02
SUPERVISE_PAUSE_SECONDS = 0.1
STEADY_SECONDS = 1.0  # Ready and this old: its next death is news, not part of a crash loop.
BACKOFF_SECONDS_FIRST = 0.5
BACKOFF_SECONDS_MAX = 10.0
THREAD_END_SECONDS_MAX = 30.0


class NotReady(Exception):
    """A service does not answer yet."""


class StartFailed(Exception):
    """A service did not come up; the message ends with the last lines of its log."""


def nothing() -> None:
    """Prepare a service that needs no preparation."""


def await_probe(probe: Callable[[], None], seconds_max: float) -> None:
    """Ask until the probe is content; its last NotReady when the bound passes first."""
    deadline = time.monotonic() + seconds_max
    while True:
        try:
            return probe()
        except NotReady:
            if time.monotonic() > deadline:
                raise
        time.sleep(PROBE_PAUSE_SECONDS)


BEHIND_PAYMENTS = 7
"""Niceness of what need not be done before a payment is answered: a fifth of a share."""


@dataclass(frozen=True)
class Service:
    """What the supervisor has to know about one server."""

    name: str
    where: str  # Shown to people: host:port.
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    log: Path
    probe: Callable[[], None]  # Raises NotReady, and takes a second at most.
    start_seconds_max: float
    stop_seconds_max: float
    stop_signal: signal.Signals = signal.SIGTERM
    prepare: Callable[[], None] = nothing  # Before every start, restarts included.
    niceness: int = 0  # So much less of a busy machine than others, as `nice` has it.


@dataclass
class _Slot:
    """A service and the child that serves it now."""

    service: Service
    child: processes.Child | None = None
    wanted: bool = False
    ready: bool = False
    excuse: str = ""  # Why it was not ready when last asked.
    failures: int = 0
    retry_at: float = 0.0

    def is_alive(self) -> bool:
        return self.child is not None and self.child.exit_code() is None


class Supervisor:
    """Keeps services running. Every method may be called from any thread."""

    def __init__(
        self,
        on_event: Callable[[str], None],
        on_change: Callable[[Mapping[str, processes.Identity]], None],
    ) -> None:
        """`on_event` gets lines for people; `on_change` gets who runs, after every start."""
        self._on_event = on_event
        self._on_change = on_change
        self._slots: dict[str, _Slot] = {}
        self._held: set[str] = set()
        self._spawner = processes.Spawner()
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def names(self) -> list[str]:
        return list(self._slots)

    def child(self, name: str) -> processes.Child:
        child = self._slots[name].child
        if child is None:
            raise NotReady(f"{name} is not running")
        return child

    def is_alive(self, name: str) -> bool:
        return self._slots[name].is_alive()

    def hold(self, names: Iterable[str]) -> None:
        """Leave the deaths of these, and of no others, to somebody else."""
        with self._lock:
            self._held = set(names)

    def has_died(self, name: str) -> bool:
        """Whether it ended without being stopped."""
        # Under the lock: a stop that is under way has ended it before it is done.
        with self._lock:
            slot = self._slots[name]
            return not slot.is_alive() and (slot.wanted or slot.child is not None)

    def is_wanted(self, name: str) -> bool:
        """Whether it is to run, by the last that was said of it."""
        return self._slots[name].wanted

    def forget(self, name: str) -> None:
        """Take note that a service was ended; it stays down until it is started again."""
        with self._lock:
            slot = self._slots[name]
            slot.wanted = slot.ready = False
            if slot.child is not None:
                slot.child.process.wait(processes.KILL_SECONDS_MAX)
                slot.child = None
            self._changed()

    def add(self, service: Service) -> None:
        """Start a service without waiting for it; later stops go the other way round."""
        with self._lock:
            self._slots[service.name] = _Slot(service)
        self.spawn(service.name)

    def spawn(self, name: str) -> None:
        with self._lock:
            slot = self._slots[name]
            if slot.is_alive():
                return
            slot.wanted, slot.ready = True, False
            service = slot.service
            service.prepare()
            slot.child = self._spawner.spawn(
                service.argv, service.env, service.log, service.stop_signal, service.niceness
            )
            self._changed()

    def start(self, name: str) -> None:
        """Start a service unless it runs, and wait until it answers."""
        self.spawn(name)
        self.await_ready(name)

    def await_ready(self, name: str) -> None:
        slot = self._slots[name]
        service = slot.service
        deadline = time.monotonic() + service.start_seconds_max
        while not self._probe(slot):
            if not slot.is_alive():
                raise StartFailed(self._explain(slot, "ended before it was ready"))
            if time.monotonic() > deadline:
                raise StartFailed(
                    self._explain(
                        slot, f"not ready after {service.start_seconds_max:g} s: {slot.excuse}"
                    )
                )
            time.sleep(PROBE_PAUSE_SECONDS)

    def _probe(self, slot: _Slot) -> bool:
        """Whether the service answers; says so the first time it does."""
        if slot.ready:
            return True
        child = slot.child
        if child is None or not slot.is_alive():
            return False
        try:
            slot.service.probe()
        except NotReady as reason:
            slot.excuse = str(reason)
            return False
        with self._lock:
            if slot.child is not child or slot.ready:
                return slot.ready
            slot.ready = True
        seconds = time.monotonic() - child.started
        self._on_event(f"{slot.service.name} ready on {slot.service.where} ({seconds:.1f} s)")
        return True

    def _explain(self, slot: _Slot, what: str) -> str:
        code = None if slot.child is None else slot.child.exit_code()
        status = "" if code is None else f" (exit code {code})"
        tail = processes.log_tail(slot.service.log)
        return f"{slot.service.name}: {what}{status}; {slot.service.log} ends with:\n{tail}"

    def stop(self, name: str) -> None:
        """Stop one service; it stays down until it is started again."""
        with self._lock:
            slot = self._slots[name]
            slot.wanted = False
            if slot.child is not None:
                self._end(slot.service, slot.child)
                slot.child = None
            self._changed()

    def _end(self, service: Service, child: processes.Child) -> None:
        members = processes.identify(processes.family(child.pid))
        # A stopped process cannot follow the request to end.
        processes.send(members, signal.SIGCONT)
        processes.send([child.identity], service.stop_signal)
        if not processes.await_end([child.identity], service.stop_seconds_max):
            self._on_event(f"{service.name} did not stop in {service.stop_seconds_max:g} s: killed")
            processes.end(members, signal.SIGKILL, processes.KILL_SECONDS_MAX)
        child.process.wait(processes.KILL_SECONDS_MAX)

    def stop_all(self) -> None:
        """Stop everything in reverse order of starting; nothing is restarted any more."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(THREAD_END_SECONDS_MAX)
            self._thread = None
        for name in reversed(self._slots):
            self.stop(name)
        self._spawner.close()

    def restart(self, name: str) -> None:
        self.stop(name)
        self.start(name)

    def kill(self, name: str, number: signal.Signals, *, stay_down: bool) -> None:
        """Signal a service, as an accident would.

        What cannot be caught goes to all its processes (for Postgres to the backends too), the rest
        to the first alone. SIGKILL returns when they are gone. Unless it is to stay down, the
        supervisor starts it again.
        """
        with self._lock:
            slot = self._slots[name]
            child = self.child(name)
            if stay_down:
                slot.wanted = False
            uncatchable = number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT)
            members = processes.identify(
                processes.family(child.pid) if uncatchable else [child.pid]
            )
            processes.send(members, number)
            if number == signal.SIGKILL:
                child.process.wait(processes.KILL_SECONDS_MAX)
                processes.await_end(members, processes.KILL_SECONDS_MAX)

    def supervise(self) -> None:
        """One look at every service: notice deaths, restart what is due, announce what is ready."""
        for slot in self._slots.values():
            with self._lock:
                if self._stopping.is_set() or not slot.wanted:
                    continue
                if slot.service.name in self._held and not slot.is_alive():
                    continue
                if slot.child is not None and slot.child.exit_code() is not None:
                    self._note_death(slot, slot.child)
                if slot.child is None:
                    if time.monotonic() >= slot.retry_at:
                        self._revive(slot)
                    continue
            self._probe(slot)

    def _note_death(self, slot: _Slot, child: processes.Child) -> None:
        age = time.monotonic() - child.started
        if slot.ready and age > STEADY_SECONDS:
            slot.failures = 0
        self._on_event(f"{slot.service.name} died (exit code {child.exit_code()})")
        slot.child, slot.ready = None, False
        self._delay(slot)

    def _delay(self, slot: _Slot) -> None:
        """Decide when to try next: at once, then after a pause that doubles."""
        pause = BACKOFF_SECONDS_FIRST * 2 ** (slot.failures - 1) if slot.failures else 0.0
        slot.retry_at = time.monotonic() + min(pause, BACKOFF_SECONDS_MAX)
        slot.failures = min(slot.failures + 1, 10)

    def _revive(self, slot: _Slot) -> None:
        try:
            self.spawn(slot.service.name)
        except (OSError, StartFailed, NotReady) as error:
            self._on_event(f"{slot.service.name} cannot start: {error}")
            self._delay(slot)
        else:
            self._on_event(f"{slot.service.name} restarted")

    def supervise_in_background(self) -> None:
        """Supervise from a thread until everything is stopped."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="supervisor", daemon=True)
                self._thread.start()

    def _loop(self) -> None:
        while not self._stopping.wait(SUPERVISE_PAUSE_SECONDS):
            self.supervise()

    def _changed(self) -> None:
        alive: Sequence[tuple[str, processes.Child]] = [
            (name, slot.child) for name, slot in self._slots.items() if slot.child is not None
        ]
        self._on_change({name: child.identity for name, child in alive})

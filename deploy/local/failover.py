"""Promotes a standby when its primary is dead or hangs, and makes sure that the old one is no more.

What a cluster manager does in production. In this order, each step only once the one before is
done: every process of the old primary is killed, so that nothing it had under way can still be
written; the standby that has got the most is chosen; what it lacks is reported; the choice is
written down, after which the old primary can only come back as a copy of the new one; the standby
is promoted; the others follow it.
"""

import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from deploy.local import database, lost, postgres, supervisor
from deploy.local.engines import Engines

LOOK_PAUSE_SECONDS = 0.1
PROBE_PAUSE_SECONDS = 0.5
HANG_SECONDS_MAX = 3.0
"""Without an answer for so long a primary is taken for dead; a busy machine answers sooner."""
PROBES_FAILED_MIN = 2
CHOICE_SECONDS_MAX = 3.0
"""For standbys to replay what they have got, and for one that restarts to be there."""
SETTLE_PAUSE_SECONDS = 0.2
FOLLOW_SECONDS_MAX = 10.0
"""For a standby to follow the new primary; beyond, it is copied anew."""
THREAD_END_SECONDS_MAX = 30.0


@dataclass
class Failover:
    """Watches one primary and its standbys from a thread of its own."""

    engines: Engines
    children: supervisor.Supervisor
    number: int  # Of the Postgres server, from 0.
    on_event: Callable[[str], None]
    on_promotion: Callable[[], None]
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _answered_at: float = 0.0
    _probe_at: float = 0.0
    _probes_failed: int = 0
    _probing: threading.Thread | None = None

    def start(self) -> None:
        """Watch until `stop`."""
        self._begin()
        self._thread = threading.Thread(target=self._run, name="failover", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the watch; a failover that is under way is finished first."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(THREAD_END_SECONDS_MAX)

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_PAUSE_SECONDS):
            try:
                self.look()
            except (
                supervisor.NotReady,
                supervisor.StartFailed,
                OSError,
                subprocess.SubprocessError,
            ) as error:
                self.on_event(f"failover did not succeed and is tried again: {error}")
                self._stopping.wait(PROBE_PAUSE_SECONDS)

    def look(self) -> None:
        """See to the primary once."""
        name = self.engines.roles.primary(self.number)
        if self.children.has_died(name):
            self._fail_over(name, "died")
        elif self.children.is_alive(name) and self._hangs():
            self._fail_over(name, f"did not answer for {HANG_SECONDS_MAX:g} s")
        elif not self.children.is_alive(name):
            self._begin()  # Stopped on purpose.

    def _begin(self) -> None:
        """Take the primary for well from now on, until it shows otherwise."""
        self._answered_at, self._probes_failed = time.monotonic(), 0

    def _hangs(self) -> bool:
        now = time.monotonic()
        if now >= self._probe_at and (self._probing is None or not self._probing.is_alive()):
            self._probe_at = now + PROBE_PAUSE_SECONDS
            self._probing = threading.Thread(target=self._probe, name="probe", daemon=True)
            self._probing.start()
        # Some that failed, and not only time: perhaps it was we who did not run.
        return (
            now - self._answered_at > HANG_SECONDS_MAX and self._probes_failed >= PROBES_FAILED_MIN
        )

    def _probe(self) -> None:
        asked_at = time.monotonic()
        if database.answers(self.engines.primary(self.number).maintenance_url):
            self._answered_at, self._probes_failed = asked_at, 0
        else:
            self._probes_failed += 1

    # The steps.

    def _fail_over(self, name: str, what: str) -> None:
        began = time.monotonic()
        self.on_event(f"{name} {what}: it is fenced, and a standby takes over")
        loses = False
        comes_back = self.children.is_wanted(name)
        old = self.engines.member(self.number, name)
        postgres.fence(old.data)
        self.children.forget(name)
        chosen = self._choose()
        if chosen is None:
            self.on_event(f"no standby can take over from {name}: it is restarted")
            self.children.spawn(name)
            self.children.await_ready(name)
            self._begin()
            return
        if not self.engines.options.synchronous:
            # What is lost is told before anybody can read or write.
            loses = lost.report(self.engines, self.number, old, chosen, self.on_event)
        self.engines.roles.promote(self.number, chosen.name)
        self.children.hold(self.engines.roles.primaries())
        chosen = self.engines.member(self.number, chosen.name)
        self._promote(chosen)
        self.on_promotion()
        self.on_event(f"{chosen.name} is the primary now ({time.monotonic() - began:.1f} s)")
        self._let_follow(chosen)
        if loses and old.data.exists():
            # What is lost is in there, for whoever has to make it good.
            old.data.rename(old.data.with_name(f"{name}.lost-{time.time_ns() // 1_000_000}"))
        if comes_back:
            self.children.spawn(name)
            self.on_event(f"{name} is copied anew from {chosen.name}")
        self._begin()

    def _choose(self) -> postgres.Server | None:
        """Return the standby that has got the most; None if what is acknowledged may lack in all.

        One confirmation is enough for an acknowledgement, so with synchronous standbys only all of
        them together are sure to have everything.
        """
        names = self.engines.roles.standbys(self.number)
        deadline = time.monotonic() + CHOICE_SECONDS_MAX
        before: dict[str, tuple[int, int]] = {}
        while True:
            found = self._received(names)
            # What they have got may end in the middle of a record, which is never replayed.
            done = all(received <= replayed for received, replayed in found.values())
            if len(found) == len(names) and (done or found == before):
                break
            if time.monotonic() > deadline:
                break
            before = found
            time.sleep(SETTLE_PAUSE_SECONDS)
        if not found or (self.engines.options.synchronous and len(found) < len(names)):
            return None
        best = max(found, key=lambda name: found[name])
        return self.engines.member(self.number, best)

    def _received(self, names: Sequence[str]) -> dict[str, tuple[int, int]]:
        found = {}
        for name in names:
            if not self.children.is_alive(name):
                continue
            try:
                position = database.received(self.engines.member(self.number, name).maintenance_url)
            except supervisor.NotReady:
                continue
            if position is not None:
                found[name] = position
        return found

    def _promote(self, chosen: postgres.Server) -> None:
        """Let the chosen one take writes; its settings name the others as its standbys."""
        postgres.configure(chosen)
        database.reload(chosen.maintenance_url)
        database.promote(chosen.maintenance_url)

    def _let_follow(self, primary: postgres.Server) -> None:
        """Turn the other standbys to the new primary; one that cannot follow is copied anew."""
        following = []
        for name in self.engines.roles.standbys(self.number):
            if not self.children.is_alive(name):
                continue  # Its next start finds the new primary.
            standby = self.engines.member(self.number, name)
            database.ensure_slot(primary.maintenance_url, standby.slot)
            postgres.configure(standby)
            try:
                database.reload(standby.maintenance_url)
            except supervisor.NotReady:
                continue
            following.append(standby)
        for standby in following:
            if not self._follows(standby, primary.port):
                self.on_event(f"{standby.name} cannot follow {primary.name}: it is copied anew")
                self.children.stop(standby.name)
                (standby.data / "standby.signal").unlink(missing_ok=True)
                self.children.spawn(standby.name)

    def _follows(self, standby: postgres.Server, port: int) -> bool:
        deadline = time.monotonic() + FOLLOW_SECONDS_MAX
        while time.monotonic() < deadline and not self._stopping.is_set():
            try:
                if database.is_streaming(standby.maintenance_url, port):
                    return True
            except supervisor.NotReady:
                pass
            time.sleep(LOOK_PAUSE_SECONDS)
        return self._stopping.is_set()

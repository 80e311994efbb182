"""The yardstick: pgbench on the same server, with the same settings, through its Unix socket."""

import asyncio
import re
import subprocess
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

import asyncpg

from deploy.local import folder, postgres

DATABASE: Final = "pgbench"
SCALE: Final = 50
THREADS: Final = 2
CLIENTS: Final = (8, 16, 32)
INITIALIZE_SECONDS_MAX: Final = 600.0
TIDY_SECONDS_MAX: Final = 300.0
EXTRA_SECONDS_MAX: Final = 60.0

_TPS: Final = re.compile(r"^tps = ([0-9.]+) ", re.MULTILINE)


class PgbenchFailed(Exception):
    """pgbench did not do its work; the text is what it said."""


class Pgbench:
    """Runs pgbench against the embedded Postgres of a stack."""

    def __init__(self, endpoints: folder.Endpoints) -> None:
        assert endpoints.postgres_programs is not None
        assert endpoints.postgres_socket_folder is not None
        self._program = endpoints.postgres_programs / "pgbench"
        self._owner_url = endpoints.owner_url
        parts = urlsplit(endpoints.owner_url)
        self._environment = postgres.environment() | {
            "PGHOST": str(endpoints.postgres_socket_folder),
            "PGPORT": str(parts.port),
            "PGUSER": unquote(parts.username or ""),
            "PGPASSWORD": unquote(parts.password or ""),
            "PGDATABASE": DATABASE,
        }

    def prepare(self) -> bool:
        """Make the tables unless they are there; return whether they had to be made."""
        if asyncio.run(self._create_database()):
            self._run(INITIALIZE_SECONDS_MAX, "--initialize", "--quiet", f"--scale={SCALE}")
            return True
        return False

    def measure(
        self, seconds: int, clients: tuple[int, ...], say: Callable[[str], None]
    ) -> dict[str, float]:
        """Return the transactions per second with each number of clients."""
        found: dict[str, float] = {}
        for count in clients:
            output = self._run(
                seconds + EXTRA_SECONDS_MAX,
                *("--protocol=prepared", f"--client={count}", f"--jobs={THREADS}"),
                *(f"--time={seconds}", f"--scale={SCALE}"),
            )
            shown = _TPS.search(output)
            if shown is None:
                raise PgbenchFailed(output)
            found[str(count)] = float(shown[1])
            say(f"pgbench, {count} clients: {found[str(count)]:,.0f} transactions/s")
        asyncio.run(self._tidy())
        return found

    async def _tidy(self) -> None:
        """Do now what autovacuum and the next checkpoint would do while something else runs."""
        url = urlunsplit(urlsplit(self._owner_url)._replace(path=f"/{DATABASE}"))
        connection = await asyncpg.connect(url, timeout=10, command_timeout=TIDY_SECONDS_MAX)
        try:
            await connection.execute("VACUUM (ANALYZE)")
            await connection.execute("CHECKPOINT")
        finally:
            await connection.close()

    async def _create_database(self) -> bool:
        connection = await asyncpg.connect(self._owner_url, timeout=10)
        try:
            exists = "SELECT 1 FROM pg_database WHERE datname = $1"
            if await connection.fetchval(exists, DATABASE):
                return False
            await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()
        return True

    def _run(self, seconds_max: float, *arguments: str) -> str:
        done = subprocess.run(
            [self._program, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds_max,
            check=False,
        )
        if done.returncode:
            raise PgbenchFailed(done.stderr)
        return done.stdout

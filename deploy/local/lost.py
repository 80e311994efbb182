"""What a promotion loses: commits of the old primary that the chosen standby never got.

The old primary's data folder is opened once more, read-only and where nobody else reaches it, and
its journal compared with that of the chosen standby. It holds every commit that was acknowledged,
and a few that were about to be: the report names all of them. Where the folder cannot be opened,
only the standby's end is known, and what others remember (the processors' witness in Redis).
"""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from deploy.local import database, folder, layout, postgres, supervisor
from deploy.local.engines import Engines

EXAMINE_SECONDS_MAX = 5.0
"""For the old primary to recover; longer would keep its users waiting."""
REQUESTS_MAX = 100_000
"""Named in a report; more than asynchronous standbys are ever behind."""

HEAD = "SELECT seq, encode(hash, 'hex') AS hash FROM journal ORDER BY seq DESC LIMIT 1"
HASH = "SELECT encode(hash, 'hex') FROM journal WHERE seq = $1"
HAS_JOURNAL = "SELECT to_regclass('journal') IS NOT NULL"
REQUESTS = """
SELECT tenant_id, request_id, method, resource_id, seq
FROM requests
WHERE seq > $1
ORDER BY seq, tenant_id, request_id
LIMIT $2
"""


@dataclass(frozen=True)
class Report:
    """What one shard loses; `lost_to_seq` is None where the old primary cannot be read."""

    shard: str
    kept_seq: int
    kept_hash: str
    lost_to_seq: int | None
    requests: Sequence[dict[str, Any]] = ()

    @property
    def is_loss(self) -> bool:
        """Whether something is lost, or may be for all that is known."""
        return self.lost_to_seq is None or self.lost_to_seq > self.kept_seq

    def __str__(self) -> str:
        if self.lost_to_seq is None:
            return (
                f"shard {self.shard} goes on after commit {self.kept_seq}; what came after it"
                " is not known here, since the old primary's folder cannot be read"
            )
        return (
            f"shard {self.shard} loses commits {self.kept_seq + 1} to {self.lost_to_seq}"
            f" with {len(self.requests)} requests"
        )


def report(
    engines: Engines,
    number: int,
    old: postgres.Server,
    chosen: postgres.Server,
    on_event: Callable[[str], None],
) -> bool:
    """Write a report for each shard that loses something, and say whether one does."""
    places = [place for place in engines.options.layout().places() if place.server == number]
    places = [
        place for place in places if database.ask(chosen.owner_url(place.database), HAS_JOURNAL)
    ]
    reports = _examined(engines, number, old, chosen, places)
    losses = [each for each in reports if each.is_loss]
    for each in losses:
        path = engines.data.root / f"lost-{each.shard}-{time.time_ns() // 1_000_000}.json"
        folder.write_private(path, json.dumps(each.__dict__, indent=2, default=str))
        on_event(f"{each}: see {path}")
    return bool(losses)


def _examined(
    engines: Engines,
    number: int,
    old: postgres.Server,
    chosen: postgres.Server,
    places: Sequence[layout.Place],
) -> list[Report]:
    try:
        with _opened(engines, number, old) as url:
            return [
                _compare(place, chosen, database.named(url, place.database)) for place in places
            ]
    except (supervisor.NotReady, supervisor.StartFailed, OSError):
        return [_compare(place, chosen, None) for place in places]


def _compare(place: layout.Place, chosen: postgres.Server, old_url: str | None) -> Report:
    """Compare a shard's history on both servers; the chosen one's is the beginning of the old."""
    kept = database.ask_row(chosen.owner_url(place.database), HEAD)
    kept_seq, kept_hash = (kept["seq"], kept["hash"]) if kept else (0, "")
    if old_url is None:
        return Report(place.name, kept_seq, kept_hash, None)
    head = database.ask_row(old_url, HEAD)
    if kept_seq and database.ask(old_url, HASH, kept_seq) != kept_hash:
        # Not a beginning of this history: nothing can be said of what is in between.
        return Report(place.name, kept_seq, kept_hash, None)
    requests = database.ask_rows(old_url, REQUESTS, kept_seq, REQUESTS_MAX)
    return Report(
        place.name,
        kept_seq,
        kept_hash,
        head["seq"] if head else 0,
        [dict(row) for row in requests],
    )


@contextmanager
def _opened(engines: Engines, number: int, old: postgres.Server) -> Iterator[str]:
    """Let the fenced primary recover, on a socket that no server's settings name; then end it."""
    (old.data / "postmaster.pid").unlink(missing_ok=True)
    private = {
        "port": str(number + 1),  # Only the name of a socket: it listens to no address.
        "listen_addresses": "",
        "default_transaction_read_only": "on",
        "synchronous_standby_names": "",
        "autovacuum": "off",
        # Its recovery is looked at and thrown away; without this it would first flush every file.
        "fsync": "off",
        "shared_buffers": "16MB",
    }
    options = [part for name, value in private.items() for part in ("-c", f"{name}={value}")]
    with engines.data.log(f"{old.name}-examined").open("ab") as log:
        process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", signal.SIGKILL.name.removeprefix("SIG"), "--"),
                *postgres.unprivileged(),
                *(str(old.programs / "postgres"), "-D", str(old.data), *options),
            ],
            env=postgres.environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    url = database.socket_url(
        database.at(old.maintenance_url, f"localhost:{number + 1}"), str(old.socket_folder)
    )
    try:
        supervisor.await_probe(lambda: database.probe(url), EXAMINE_SECONDS_MAX)
        yield url
    finally:
        postgres.fence(old.data)
        process.wait()

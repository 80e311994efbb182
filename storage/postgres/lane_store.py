"""The truth of one shard as its lane sees it: takeover, loads and the one applying statement."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, NamedTuple

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from processor.domain import ids
from processor.domain.chain import GENESIS
from processor.domain.copies import Page
from processor.domain.view import Item, Position
from processor.ports import (
    Ambiguous,
    Batch,
    Conflict,
    Due,
    Fenced,
    KeyTaken,
    Loaded,
    Opened,
    Ownership,
    Rejected,
    Route,
    Unavailable,
    Value,
)
from storage.postgres import columns, hosts, rows
from storage.postgres.connections import connect
from storage.postgres.copies import Copies
from storage.postgres.old_keys import OldKeys

APPLY_SECONDS_MAX: Final = 5.0
"""A batch takes milliseconds; past this the server is gone or stuck, and its fate is unknown."""
LOAD_SECONDS_MAX: Final = 5.0
TAKEOVER_SECONDS_MAX: Final = 10.0
"""A takeover waits for the statement that its predecessor is running."""
TENURE_SECONDS_MIN: Final = 2.0
"""An owner this young is not evicted, so two processors cannot take a lane from each other for
ever. As long as a lease lives: nobody is missed sooner."""
LOOK_SECONDS_MAX: Final = 30.0
"""The first look for users of a bucket reads all accounts; nothing waits for it."""
EVICT_MS_MAX: Final = 5_000
CLOSE_SECONDS_MAX: Final = 1.0
RECHECK_SECONDS_MAX: Final = 1.0
"""For the other servers to say whether one of them takes writes; most often they are standbys."""

_RECORDED = """
SELECT l.owner, l.backend_pid, a.pid IS NOT NULL AS alive,
       l.opened_at < clock_timestamp() - make_interval(secs => $3) AS settled
  FROM lanes AS l
  LEFT JOIN pg_stat_activity AS a
         ON a.pid = l.backend_pid AND a.application_name = $2
 WHERE l.shard = $1
"""

_TAKE_OVER = """
INSERT INTO lanes AS l (shard, epoch, owner, incarnation, backend_pid, opened_at)
VALUES ($1, 1, $2, $3, pg_backend_pid(), clock_timestamp())
ON CONFLICT (shard) DO UPDATE
   SET epoch = l.epoch + 1, owner = excluded.owner, incarnation = excluded.incarnation,
       backend_pid = excluded.backend_pid, opened_at = excluded.opened_at
RETURNING epoch
"""

_HEAD = f"""
SELECT seq, hash, {rows.micros("created_at")}
  FROM journal ORDER BY seq DESC LIMIT 1
"""

_BUCKETS = "SELECT region, version, ranges FROM lane_buckets WHERE shard = $1"

_HASH = "SELECT hash FROM journal WHERE seq = $1"
_CLOCK = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

_ACCOUNTS = f"SELECT {rows.ACCOUNT_COLUMNS} FROM accounts WHERE id = ANY($1::text::text[])"
_HOLDS = f"""
SELECT payer_account_id, id, {rows.micros("hold_expires_at")}
  FROM payments WHERE payer_account_id = ANY($1::text::text[]) AND capturable > 0
"""
_PAYMENTS = f"SELECT {rows.PAYMENT_COLUMNS} FROM payments WHERE id = ANY($1::text::text[])"
_MERCHANTS = f"SELECT {rows.MERCHANT_COLUMNS} FROM merchants WHERE id = ANY($1::text::text[])"
_REFERENCES = """
SELECT m.tenant_id, m.reference, m.id
  FROM unnest($1::text::text[], $2::text::text[]) AS k (tenant_id, reference)
  JOIN merchants AS m ON m.tenant_id = k.tenant_id AND m.reference = k.reference
"""
# OFFSET 0 keeps the two apart: flattened, and planned while the table is near empty, the join may
# walk all keys of a tenant for each one that is asked for.
_KEYS = f"""
SELECT r.*
  FROM unnest($1::text::text[], $2::text::text[]) AS k (tenant_id, request_id),
       LATERAL (SELECT {rows.KEY_COLUMNS} FROM requests
                 WHERE requests.tenant_id = k.tenant_id AND requests.request_id = k.request_id
                OFFSET 0) AS r
"""

_DUE_HOLDS = """
SELECT DISTINCT payer_account_id
  FROM (SELECT p.payer_account_id
          FROM payments AS p
          JOIN accounts AS a ON a.id = p.payer_account_id
         WHERE p.capturable > 0 AND p.hold_expires_at <= $1
           -- Of an account that went to another shard, or is to come, nothing is held here.
           AND a.held > 0
         ORDER BY p.hold_expires_at LIMIT $2) AS due
"""

_REFUNDS = f"SELECT {rows.REFUND_COLUMNS} FROM refunds WHERE id = ANY($1::text::text[])"
# The newest of each is found at the end of the primary key.
_SENT = """
SELECT k.shard, coalesce(
        (SELECT l.number FROM legs_sent AS l
          WHERE l.destination = k.shard ORDER BY l.number DESC LIMIT 1), 0) AS number
  FROM unnest($1::text::text[]) AS k (shard)
"""
_RECEIVED = """
SELECT k.shard, coalesce(
        (SELECT l.number FROM legs_received AS l
          WHERE l.source = k.shard ORDER BY l.number DESC LIMIT 1), 0) AS number
  FROM unnest($1::text::text[]) AS k (shard)
"""
_ROUTES = """
WITH RECURSIVE found (destination) AS (
    SELECT min(destination) FROM legs_sent
     UNION ALL
    SELECT (SELECT min(l.destination) FROM legs_sent AS l WHERE l.destination > f.destination)
      FROM found AS f
     WHERE f.destination IS NOT NULL
)
SELECT f.destination,
       (SELECT l.number FROM legs_sent AS l
         WHERE l.destination = f.destination ORDER BY l.number DESC LIMIT 1) AS sent,
       coalesce((SELECT a.number FROM legs_acknowledged AS a
                  WHERE a.destination = f.destination), 0) AS acknowledged
  FROM found AS f
 WHERE f.destination IS NOT NULL
"""
_LEGS = """
SELECT number, convert_from(body, 'UTF8') AS text
  FROM legs_sent
 WHERE destination = $1 AND number > $2
 ORDER BY number
 LIMIT $3
"""

# Ids sort by their time, so what is new is found at the end of the primary key.
_HAS_USERS = """
SELECT EXISTS (
        SELECT 1 FROM accounts
         WHERE id >= $1 AND starts_with(id, $2) AND right(id, 2) = ANY($5::text::text[])
       ) OR EXISTS (
        SELECT 1 FROM merchants
         WHERE id >= $3 AND starts_with(id, $4) AND right(id, 2) = ANY($5::text::text[])
       )
"""

_CHECK = "SELECT check_lane_v1($1, $2, $3, $4)"
_LOCK = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))"
_APPLY = f"SELECT apply_batch_v1({', '.join(columns.ARGUMENTS)})"
# One statement, and so one commit.
_APPLY_COPIED = f"""
SELECT apply_batch_v1({", ".join(columns.ARGUMENTS)}),
       apply_copied_v1(${columns.PARAMETERS + 1}::jsonb, $5, $9)
"""

_ACCOUNTS_IN = """
SELECT id FROM accounts
 WHERE id >= $1 AND starts_with(id, $2) AND right(id, 2) = $3
"""
_COPIES = """
SELECT bucket, source, incarnation, seq, place
  FROM bucket_copies WHERE bucket = ANY($1::text::text[])
"""

_LOST = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    # What asyncpg raises for a statement that meets the server's last words on a connection.
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
)


class _Session(NamedTuple):
    """The connections of one takeover: for applying, for loading meanwhile, for housekeeping."""

    lane: "asyncpg.Connection[asyncpg.Record]"
    loads: "asyncpg.Connection[asyncpg.Record]"
    chores: "asyncpg.Connection[asyncpg.Record]"
    apply: "PreparedStatement[asyncpg.Record]"
    timeline: str


class PostgresLaneStore:
    """One shard in one Postgres database. Implements processor.ports.LaneStorage."""

    def __init__(
        self, dsn: str, shard: str, *, tenure_seconds_min: float = TENURE_SECONDS_MIN
    ) -> None:
        self._dsn = dsn
        self._tenure_seconds_min = tenure_seconds_min
        self._shard = shard
        self._name = f"tender-lane-{shard}"
        self._session: _Session | None = None
        self._loading = asyncio.Lock()
        self._chores = asyncio.Lock()
        self._not_replicated = False
        self._old_keys = OldKeys()
        self._prepared: tuple[Ownership, Batch, list[Any]] | None = None

    async def open(self, owner: str, *, evict: bool) -> Opened:
        """Take the lane over; this owner's own earlier session is always ended first."""
        await self.close()
        opening: list[asyncpg.Connection[asyncpg.Record]] = []
        try:
            with _unavailable():
                async with asyncio.timeout(TAKEOVER_SECONDS_MAX):
                    opened = await self._open(owner, opening, evict=evict)
        except BaseException:
            for connection in opening:
                connection.terminate()
            raise
        return opened

    async def _open(
        self,
        owner: str,
        opening: "list[asyncpg.Connection[asyncpg.Record]]",
        *,
        evict: bool,
    ) -> Opened:
        primary = await connect(self._dsn, self._name)
        lane = primary.connection
        opening.append(lane)
        lane.add_log_listener(self._note_warning)
        await self._end_recorded_session(lane, owner, evict=evict)
        if not await lane.fetchval(_LOCK, self._name):
            raise Unavailable("another owner holds the lane")
        # The lane is ours from here on, and callers wait: connect while it is being taken over, to
        # the same server, since what is decided on and what is written belong together.
        connecting = [
            asyncio.create_task(self._connect(primary.url, f"{self._name}-{use}", opening))
            for use in ("loads", "chores")
        ]
        try:
            opened = await self._take_over(lane, owner)
            apply = await lane.prepare(_APPLY)
            loads, chores = [await each for each in connecting]
        finally:
            for each in connecting:
                each.cancel()
            await asyncio.wait(connecting)
        self._session = _Session(lane, loads, chores, apply, primary.timeline)
        return opened

    async def _connect(
        self, dsn: str, name: str, opening: "list[asyncpg.Connection[asyncpg.Record]]"
    ) -> "asyncpg.Connection[asyncpg.Record]":
        connection = (await connect(dsn, name)).connection
        opening.append(connection)
        return connection

    async def _take_over(self, lane: "asyncpg.Connection[asyncpg.Record]", owner: str) -> Opened:
        incarnation = secrets.token_hex(6)
        self._not_replicated = False
        epoch = await lane.fetchval(_TAKE_OVER, self._shard, owner, incarnation)
        if self._not_replicated:
            # What an earlier batch committed here may exist nowhere else (R13).
            raise Unavailable("the takeover was not replicated")
        head = await lane.fetchrow(_HEAD)
        buckets = await lane.fetchrow(_BUCKETS, self._shard)
        clock = await lane.fetchval(_CLOCK)
        return Opened(
            Ownership(self._shard, epoch, owner, incarnation),
            head["seq"] if head else 0,
            head["hash"] if head else GENESIS,
            clock,
            head["created_at"] if head else 0,
            rows.buckets(buckets) if buckets else None,
        )

    async def load(self, items: Sequence[Item]) -> Loaded:
        """Return committed state for the items; loads that come together take turns."""
        async with self._loading:
            return await self._load(items)

    async def _load(self, items: Sequence[Item]) -> Loaded:
        by_kind: dict[str, list[Item]] = {}
        for item in items:
            by_kind.setdefault(item.kind, []).append(item)
        values: dict[Item, Value] = dict.fromkeys(items)
        holds: dict[str, dict[str, int]] = {}
        with _unavailable():
            if found := by_kind.get("key"):
                for row in await self._fetch_pairs(_KEYS, found):
                    key = rows.key(row)
                    values[Item("key", key.request_id, key.tenant_id)] = key
            if found := by_kind.get("account"):
                names = [item.id for item in found]
                for row in await self._fetch(_ACCOUNTS, names):
                    values[Item("account", row["id"])] = rows.account(row)
                for row in await self._fetch(_HOLDS, names):
                    holds.setdefault(row["payer_account_id"], {})[row["id"]] = row[
                        "hold_expires_at"
                    ]
            if found := by_kind.get("payment"):
                for row in await self._fetch(_PAYMENTS, [item.id for item in found]):
                    values[Item("payment", row["id"])] = rows.payment(row)
            if found := by_kind.get("merchant"):
                for row in await self._fetch(_MERCHANTS, [item.id for item in found]):
                    values[Item("merchant", row["id"])] = rows.merchant(row)
            if found := by_kind.get("reference"):
                for row in await self._fetch_pairs(_REFERENCES, found):
                    values[Item("reference", row["reference"], row["tenant_id"])] = row["id"]
            if found := by_kind.get("refund"):
                for row in await self._fetch(_REFUNDS, [item.id for item in found]):
                    values[Item("refund", row["id"])] = rows.refund(row)
            if found := by_kind.get("sent"):
                for row in await self._fetch(_SENT, [item.id for item in found]):
                    values[Item("sent", row["shard"])] = row["number"]
            if found := by_kind.get("copy"):
                for row in await self._fetch(_COPIES, [item.id for item in found]):
                    values[Item("copy", row["bucket"])] = Position(*row[1:])
            if found := by_kind.get("received"):
                for row in await self._fetch(_RECEIVED, [item.id for item in found]):
                    values[Item("received", row["shard"])] = row["number"]
        return Loaded(values, holds)

    def prepare(self, ownership: Ownership, batch: Batch) -> None:
        """Lay the batch out while the one before it is being applied."""
        self._prepared = (ownership, batch, columns.arguments(ownership, batch))

    async def apply(self, ownership: Ownership, batch: Batch) -> None:
        """Commit a batch in one statement."""
        prepared, self._prepared = self._prepared, None
        if prepared is not None and prepared[0] is ownership and prepared[1] is batch:
            arguments = prepared[2]
        else:
            arguments = columns.arguments(ownership, batch)
        copied = columns.copied(batch)
        async with self._on_lane() as session:
            if copied is None:
                await session.apply.fetchval(*arguments, timeout=APPLY_SECONDS_MAX)
            else:
                await session.lane.fetchval(
                    _APPLY_COPIED, *arguments, copied, timeout=APPLY_SECONDS_MAX
                )

    async def check(self, ownership: Ownership) -> None:
        """Return if the lane is still owned."""
        async with self._on_lane() as session:
            await session.lane.fetchval(
                _CHECK,
                ownership.shard,
                ownership.epoch,
                ownership.owner,
                ownership.incarnation,
                timeout=APPLY_SECONDS_MAX,
            )

    async def due(self, now: int, keys_older_than: int, limit: int) -> Due:
        """Return work for the lane's housekeeping, and the database's clock."""
        await self._require_newest()
        async with self._on_chores() as chores:
            accounts = await chores.fetch(
                _DUE_HOLDS, columns.instant(now), limit, timeout=LOAD_SECONDS_MAX
            )
            keys = await self._old_keys.find(chores, keys_older_than, limit, LOAD_SECONDS_MAX)
            clock = await chores.fetchval(_CLOCK, timeout=LOAD_SECONDS_MAX)
        return Due(
            [row["payer_account_id"] for row in accounts],
            keys,
            clock,
        )

    async def _require_newest(self) -> None:
        """Raise Unavailable if another server has been promoted since: this one's time is over."""
        if len(hosts.each(self._dsn)) > 1:
            mine = self._require_session().timeline
            newest = await hosts.newest_timeline(self._dsn, timeout_seconds=RECHECK_SECONDS_MAX)
            if newest > mine:
                raise Unavailable(f"timeline {newest} was begun on another server")

    async def routes(self) -> Sequence[Route]:
        """Return every destination that legs were ever sent to."""
        async with self._on_chores() as chores:
            found = await chores.fetch(_ROUTES, timeout=LOAD_SECONDS_MAX)
        return [Route(*row) for row in found]

    async def legs(self, destination: str, after: int, limit: int) -> Sequence[tuple[int, str]]:
        """Return legs sent with numbers above one, in their order."""
        async with self._on_chores() as chores:
            found = await chores.fetch(_LEGS, destination, after, limit, timeout=LOAD_SECONDS_MAX)
        return [(row["number"], row["text"]) for row in found]

    async def hash_of(self, seq: int) -> bytes | None:
        """Return the hash of a commit, None if there is no such one."""
        async with self._on_chores() as chores:
            found: bytes | None = await chores.fetchval(_HASH, seq, timeout=LOAD_SECONDS_MAX)
        return found

    async def has_users(self, region: str, buckets: Sequence[str], since: int) -> bool:
        """Say whether an account or merchant made since then is in one of these buckets."""
        bounds = [
            bound
            for prefix in (ids.ACCOUNT, ids.MERCHANT)
            for bound in (ids.first_at(prefix, region, since), f"{prefix}_{region}_")
        ]
        async with self._on_chores() as chores:
            return bool(
                await chores.fetchval(
                    _HAS_USERS,
                    *bounds,
                    columns.text_array(list(buckets)),
                    timeout=LOOK_SECONDS_MAX,
                )
            )

    async def accounts_in(self, region: str, bucket: str, since: int) -> Sequence[str]:
        """Return the ids of the accounts of a bucket that were opened since then."""
        bounds = (ids.first_at(ids.ACCOUNT, region, since), f"{ids.ACCOUNT}_{region}_")
        async with self._on_chores() as chores:
            found = await chores.fetch(_ACCOUNTS_IN, *bounds, bucket, timeout=LOOK_SECONDS_MAX)
        return [row["id"] for row in found]

    async def copy_page(self, region: str, bucket: str, after: Position | None) -> Page:
        """Return what comes next of a copy of a bucket, as it is committed now."""
        async with self._on_chores() as chores:
            return await Copies(chores, self._shard).page(region, bucket, after)

    async def close(self) -> None:
        """Give the lane up: the advisory lock goes with the session."""
        session, self._session = self._session, None
        if session is None:
            return
        # All at once: the next owner waits for the lock.
        await asyncio.gather(*map(_close, (session.lane, session.loads, session.chores)))

    async def _end_recorded_session(
        self, lane: "asyncpg.Connection[asyncpg.Record]", owner: str, *, evict: bool
    ) -> None:
        recorded = await lane.fetchrow(_RECORDED, self._shard, self._name, self._tenure_seconds_min)
        if recorded is None or not recorded["alive"]:
            return
        if (evict and recorded["settled"]) or recorded["owner"] == owner:
            await lane.fetchval(
                "SELECT pg_terminate_backend($1, $2)", recorded["backend_pid"], EVICT_MS_MAX
            )

    async def _fetch(self, query: str, names: list[str]) -> list[asyncpg.Record]:
        loads = self._require_session().loads
        return await loads.fetch(query, columns.text_array(names), timeout=LOAD_SECONDS_MAX)

    async def _fetch_pairs(self, query: str, items: list[Item]) -> list[asyncpg.Record]:
        loads = self._require_session().loads
        return await loads.fetch(
            query,
            columns.text_array([item.tenant_id for item in items]),
            columns.text_array([item.id for item in items]),
            timeout=LOAD_SECONDS_MAX,
        )

    def _require_session(self) -> _Session:
        if self._session is None:
            raise Unavailable("the lane is closed")
        return self._session

    def _note_warning(self, _: object, message: Any) -> None:
        # "canceling wait for synchronous replication": committed here, perhaps nowhere else.
        if message.sqlstate == "01000":
            self._not_replicated = True

    @asynccontextmanager
    async def _on_chores(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """Give out the connection for what nothing waits for, to one at a time."""
        async with self._chores:
            with _unavailable():
                yield self._require_session().chores

    @asynccontextmanager
    async def _on_lane(self) -> AsyncIterator[_Session]:
        """Translate what goes wrong on the lane's connection."""
        session = self._require_session()
        self._not_replicated = False
        try:
            yield session
        except _LOST as error:
            raise Ambiguous(type(error).__name__) from error
        except asyncpg.PostgresError as error:
            # Not chained: the server's detail shows whole rows, and a log is no place for those.
            raise _translated(error) from None
        if self._not_replicated:
            raise Ambiguous("not replicated")


async def _close(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    try:
        await connection.close(timeout=CLOSE_SECONDS_MAX)
    except (*_LOST, asyncpg.PostgresError):
        connection.terminate()


@contextmanager
def _unavailable() -> Iterator[None]:
    """Translate what goes wrong while nothing is being written."""
    try:
        yield
    except (*_LOST, asyncpg.PostgresError) as error:
        raise Unavailable(f"{type(error).__name__}") from error


def _translated(error: asyncpg.PostgresError) -> Exception:
    state = error.sqlstate or ""
    if state == "TN001":
        return Fenced(str(error))
    if state == "23505" and getattr(error, "constraint_name", None) == "requests_pkey":
        return KeyTaken(str(error))
    if state in ("TN002", "TN003", "TN004", "TN005", "TN006", "23505"):
        return Conflict(str(error))
    if state[:2] in ("22", "23"):
        return Rejected(f"{state} {getattr(error, 'constraint_name', None) or ''}".strip())
    # The server gave up on the statement for a reason of its own; what came of it shows only once
    # the epoch is raised and the keys are looked up.
    return Ambiguous(state)

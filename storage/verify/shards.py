"""All shards together: what one sent is what the other took, and clearing accounts cancel.

Each shard is seen at a moment of its own, so that lanes may go on writing: what one has taken and
the other had not sent yet when it was looked at counts backwards, and is looked up once more.
"""

import heapq
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final, NamedTuple

import msgspec

from processor.domain.copies import home_of_key
from processor.domain.view import Key as StoredKey
from storage.archive.ports import Files
from storage.postgres import rows
from storage.verify.buckets import SELECT_BUCKETS
from storage.verify.journal import Anchor
from storage.verify.legs import Content, decode, unit_of
from storage.verify.report import Check, Report, Tally
from storage.verify.run import Progress, verify
from storage.verify.tables import ROWS_PER_CHUNK, SELECT_LANES, Connection, snapshot

SELECT_BALANCES: Final = """
SELECT id, tenant_id, currency, kind, posted
FROM accounts
WHERE posted <> 0 OR kind = 'CLEARING'
"""
SELECT_PEERS: Final = """
SELECT destination FROM legs_sent
UNION
SELECT source FROM legs_received
"""
SELECT_SENT: Final = """
SELECT number, body FROM legs_sent
WHERE destination = $1 AND number > $2
ORDER BY number
"""
SELECT_RECEIVED: Final = """
SELECT number, body FROM legs_received
WHERE source = $1 AND number > $2
ORDER BY number
"""
SELECT_KEYS: Final = """
SELECT tenant_id, request_id, method, resource_id
FROM requests
ORDER BY tenant_id COLLATE "C", request_id COLLATE "C"
"""

Unit = tuple[str, str, str, str]
"""Two shards in the order of their names, tenant and currency."""
Key = tuple[str, str, str]
"""Tenant, request_id and the shard that has it."""


class ShardsReport(msgspec.Struct, frozen=True):
    """The reports of all shards, and what was checked between them."""

    shards: list[Report]
    checks: list[Check]
    findings: list[Check]
    """What is not wrong with the ledger, but somebody should know of."""

    @property
    def ok(self) -> bool:
        """Whether no check was broken."""
        return all(report.ok for report in self.shards) and all(one.ok for one in self.checks)

    @property
    def breaches(self) -> list[str]:
        """Every breach that was named, shard by shard, then those between them."""
        within = [
            f"{report.head.shard}: {breach}" for report in self.shards for breach in report.breaches
        ]
        return within + [breach for check in self.checks for breach in check.breaches]

    def to_json(self) -> str:
        """Return the report as one JSON object."""
        shards = [{"ok": one.ok, "head": one.head, "checks": one.checks} for one in self.shards]
        return msgspec.json.encode(
            {"ok": self.ok, "shards": shards, "checks": self.checks, "findings": self.findings}
        ).decode()


async def verify_shards(
    dsns: Sequence[str],
    on_progress: Progress | None = None,
    *,
    anchors: Mapping[str, tuple[Anchor, ...]] | None = None,
    archive: Files | None = None,
) -> ShardsReport:
    """Check each shard by itself, one after the other, and then all of them together.

    `anchors` by shard. The shards must be all that send each other money.
    """
    reports = []
    for dsn in dsns:
        async with snapshot(dsn) as connection:
            name = await _name(connection)
        known = (anchors or {}).get(name, ())
        reports.append(await verify(dsn, on_progress, anchors=known, archive=archive))
    async with AsyncExitStack() as stack:
        shards = []
        for dsn in dsns:
            connection = await stack.enter_async_context(snapshot(dsn))
            shards.append(_Shard(await _name(connection), dsn, connection))
        between = Between(shards)
        await between.compare()
        return ShardsReport(reports, between.checks(), [between.keys.check()])


class _Shard(NamedTuple):
    """A shard as of one moment."""

    name: str
    dsn: str
    connection: Connection


class Between:
    """What is checked between shards."""

    def __init__(self, shards: Sequence[_Shard]) -> None:
        self.legs = Tally("legs are taken as they were sent", "I3")
        self.pairs = Tally("clearing accounts cancel but for what is in flight", "I1")
        self.totals = Tally("debits = credits over all shards", "I1")
        self.keys = Tally("request keys used on two shards", "R15")
        self._shards = {shard.name: shard for shard in shards}
        if len(self._shards) != len(shards):
            self.legs.breach("one shard was given twice")
        self._in_flight: dict[Unit, int] = defaultdict(int)

    def checks(self) -> list[Check]:
        """Return what was found; request keys are only a finding."""
        return [tally.check() for tally in (self.legs, self.pairs, self.totals)]

    async def compare(self) -> None:
        """Carry out all checks."""
        await self._require_all()
        for source, destination in itertools.permutations(self._shards.values(), 2):
            await self._compare_legs(source, destination)
        await self._compare_balances()
        await self._compare_keys()

    async def _require_all(self) -> None:
        for shard in self._shards.values():
            for (peer,) in await shard.connection.fetch(SELECT_PEERS):
                if peer not in self._shards:
                    self.legs.breach(f"{shard.name} has legs with {peer}, which was not given")

    async def _compare_legs(self, source: _Shard, destination: _Shard) -> None:
        sent = _legs(source.connection, SELECT_SENT, destination.name)
        received = _legs(destination.connection, SELECT_RECEIVED, source.name)
        ahead: dict[int, bytes] = {}
        one, other = await anext(sent, None), await anext(received, None)
        while one is not None or other is not None:
            self.legs.rows += 1
            if other is None or (one is not None and one[0] < other[0]):
                assert one is not None
                self._count(source, destination, *one, 1)
                one = await anext(sent, None)
            elif one is None or other[0] < one[0]:
                ahead[other[0]] = other[1]
                self._count(source, destination, *other, -1)
                other = await anext(received, None)
            else:
                self._compare_leg(source, destination, one[0], one[1], other[1])
                one, other = await anext(sent, None), await anext(received, None)
        if ahead:
            await self._compare_ahead(source, destination, ahead)

    async def _compare_ahead(
        self, source: _Shard, destination: _Shard, ahead: Mapping[int, bytes]
    ) -> None:
        """What was taken, but not sent when the source was looked at, must be sent by now."""
        async with snapshot(source.dsn) as later:
            found = {
                number: body
                async for number, body in _legs(
                    later, SELECT_SENT, destination.name, min(ahead) - 1
                )
                if number in ahead
            }
        for number, body in ahead.items():
            if number not in found:
                self.legs.breach(
                    f"leg {number} from {source.name} to {destination.name}: was taken, but never"
                    " sent"
                )
            else:
                self._compare_leg(source, destination, number, found[number], body)

    def _compare_leg(
        self, source: _Shard, destination: _Shard, number: int, sent: bytes, taken: bytes
    ) -> None:
        if sent != taken:
            self.legs.breach(
                f"leg {number} from {source.name} to {destination.name}: sent was {sent!r}, taken"
                f" was {taken!r}"
            )
            # What was sent has left its clearing account, what was taken has left the other's.
            self._count(source, destination, number, sent, 1)
            self._count(source, destination, number, taken, -1)

    def _count(
        self, source: _Shard, destination: _Shard, number: int, body: bytes, times: int
    ) -> None:
        content = _content(body)
        if content is None:
            self.legs.breach(
                f"leg {number} from {source.name} to {destination.name}: cannot be read"
            )
            return
        one, other = sorted((source.name, destination.name))
        unit = (one, other, content.tenant_id, content.currency)
        self._in_flight[unit] += times * content.moved

    async def _compare_balances(self) -> None:
        clearing: dict[Unit, int] = defaultdict(int)
        totals: dict[tuple[str, str], int] = defaultdict(int)
        for shard in self._shards.values():
            for account_id, tenant_id, currency, kind, posted in await shard.connection.fetch(
                SELECT_BALANCES
            ):
                if kind != "CLEARING":
                    totals[tenant_id, currency] += posted
                    self.totals.rows += 1
                    continue
                one, other = sorted((shard.name, unit_of(account_id)[0]))
                clearing[one, other, tenant_id, currency] += posted
                self.pairs.rows += 1
        for unit in sorted({*clearing, *self._in_flight}):
            if clearing[unit] != self._in_flight[unit]:
                one, other, tenant_id, currency = unit
                self.pairs.breach(
                    f"clearing between {one} and {other} of tenant_id={tenant_id} currency="
                    f"{currency}: adds up to {clearing[unit]}, in flight is {self._in_flight[unit]}"
                )
        for (*_, tenant_id, currency), amount in self._in_flight.items():
            totals[tenant_id, currency] += amount
        for (tenant_id, currency), total in sorted(totals.items()):
            if total:
                self.totals.breach(
                    f"accounts of tenant_id={tenant_id} currency={currency} and what is in flight"
                    f" add up to {total}, expected 0"
                )

    async def _compare_keys(self) -> None:
        before: Key = ("", "", "")
        async for key in _merged([_keys(shard) for shard in self._shards.values()]):
            self.keys.rows += 1
            if key[:2] == before[:2]:
                self.keys.breach(
                    f"tenant_id={key[0]} request_id={key[1]}: is stored on {before[2]} and {key[2]}"
                )
            before = key


async def _name(connection: Connection) -> str:
    lanes = await connection.fetch(SELECT_LANES)
    return str(lanes[0]["shard"]) if lanes else ""


async def _legs(
    connection: Connection, query: str, peer: str, after: int = 0
) -> AsyncIterator[tuple[int, bytes]]:
    """Return numbers and bodies in their order."""
    cursor = await connection.cursor(query, peer, after)
    while chunk := await cursor.fetch(ROWS_PER_CHUNK):
        for number, body in chunk:
            yield number, body


async def _keys(shard: _Shard) -> AsyncIterator[Key]:
    """Return the keys that the shard answers for: copies of what moved, or is to move, are none."""
    found = await shard.connection.fetch(SELECT_BUCKETS)
    owned = rows.buckets(found[0]) if found else None
    cursor = await shard.connection.cursor(SELECT_KEYS)
    while chunk := await cursor.fetch(ROWS_PER_CHUNK):
        for tenant_id, request_id, method, resource_id in chunk:
            key = StoredKey(tenant_id, request_id, method, b"", b"", resource_id)
            home = home_of_key(key)
            if owned is None or (home and owned.has(home)):
                yield tenant_id, request_id, shard.name


async def _merged(streams: Sequence[AsyncIterator[Key]]) -> AsyncIterator[Key]:
    """Return what all streams have, each of which is sorted, sorted."""
    heap = [(key, number) for number, one in enumerate(streams) if (key := await anext(one, None))]
    heapq.heapify(heap)
    while heap:
        key, number = heap[0]
        yield key
        following = await anext(streams[number], None)
        if following is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (following, number))


def _content(body: bytes) -> Content | None:
    try:
        return decode(body)
    except msgspec.MsgspecError:
        return None

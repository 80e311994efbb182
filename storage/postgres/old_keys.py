"""Finds request keys past their retention by walking their table, a few pages at a time.

Keys are stored in time order and those that are deleted make room for new ones, so the table is a
ring: where one page holds old keys the next ones do too. A walk costs the same at every size, and
needs no index; a block range index made every look read what had not been summarized yet, which
under load was most of the table.
"""

from typing import Final

import asyncpg

from storage.postgres import columns

PAGES_MIN: Final = 16
"""That one look reads: about 400 keys."""
LOOKS_PER_PASS: Final = 604_800
"""A look a second passes any table in a week: so much longer than its retention a key may stay."""

_PAGES = "SELECT pg_relation_size('requests') / current_setting('block_size')::bigint"
_OLD_KEYS = """
SELECT tenant_id, request_id FROM requests
 WHERE ctid >= format('(%s,0)', $1::bigint)::tid AND ctid < format('(%s,0)', $2::bigint)::tid
   AND created_at < $3
 LIMIT $4
"""


class OldKeys:
    """Where the walk through the table stands."""

    def __init__(self) -> None:
        self._page = 0

    async def find(
        self,
        connection: "asyncpg.Connection[asyncpg.Record]",
        older_than: int,
        limit: int,
        seconds_max: float,
    ) -> list[tuple[str, str]]:
        """Return at most `limit` keys stored before `older_than`, in µs since 1970, as pairs.

        While there are some the walk stays where it is: the caller deletes them and asks again.
        """
        pages = await connection.fetchval(_PAGES, timeout=seconds_max)
        if self._page >= pages:
            self._page = 0
        end = self._page + max(PAGES_MIN, pages // LOOKS_PER_PASS)
        found = await connection.fetch(
            _OLD_KEYS,
            self._page,
            end,
            columns.instant(older_than),
            limit,
            timeout=seconds_max,
        )
        if not found:
            self._page = end
        return [(row["tenant_id"], row["request_id"]) for row in found]

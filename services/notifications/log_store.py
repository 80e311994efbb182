"""The log of messages in Postgres, as people look at it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg

from services.database import Connection
from services.notifications import messages
from services.notifications.kinds import Channel

_COLUMNS: Final = """
    number, notification_id, user_id, event_id, type, channel, language, template_version, state,
    tries, problem, masked_address, provider_reference, resent_from, created_at, next_try_at,
    sent_at, body <> '' AS has_text
"""
# A filter that is empty is left out of the statement, so that each has its index.
_LIST: Final = f"""
SELECT {_COLUMNS}
  FROM notifications
 WHERE tenant_id = $1 AND number < $2 {{filters}}
 ORDER BY number DESC
 LIMIT $3
"""
_FILTERS: Final = ("user_id", "event_id", "state", "notification_id")
_GET: Final = f"""
SELECT {_COLUMNS} FROM notifications WHERE tenant_id = $1 AND notification_id = $2
"""
_RESEND: Final = """
INSERT INTO notifications (
    notification_id, tenant_id, user_id, event_id, type, channel, language, template_version,
    urgent, subject, body, html, due_at, next_try_at, expires_at, resent_from
)
SELECT $3, tenant_id, user_id, event_id, type, channel, language, template_version, urgent, subject,
       body, html, $4, $4, $5, notification_id
  FROM notifications
 WHERE tenant_id = $1 AND notification_id = $2 AND state <> 'pending' AND body <> ''
ON CONFLICT (notification_id) DO NOTHING
"""

NUMBER_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A message as the log has it."""

    number: int
    notification_id: str
    user_id: str
    event_id: str
    type: str
    channel: Channel
    language: str
    template_version: int
    state: str
    tries: int
    problem: str
    masked_address: str
    provider_reference: str
    resent_from: str
    created_at: datetime
    next_try_at: datetime
    sent_at: datetime | None
    has_text: bool


@dataclass(frozen=True, slots=True)
class Filters:
    """What is wanted of the log; empty for everything."""

    user_id: str = ""
    event_id: str = ""
    state: str = ""
    notification_id: str = ""


async def page(
    connection: Connection, tenant_id: str, filters: Filters, before: int, limit: int
) -> list[Entry]:
    """Return entries with lower numbers than that, the newest first."""
    given = [(name, getattr(filters, name)) for name in _FILTERS if getattr(filters, name)]
    written = "".join(f"AND {name} = ${place} " for place, (name, _) in enumerate(given, start=4))
    values = [value for _, value in given]
    rows = await connection.fetch(_LIST.format(filters=written), tenant_id, before, limit, *values)
    return [_entry(row) for row in rows]


async def get(connection: Connection, tenant_id: str, notification_id: str) -> Entry | None:
    """Return an entry."""
    row = await connection.fetchrow(_GET, tenant_id, notification_id)
    return None if row is None else _entry(row)


async def resend(
    connection: Connection,
    tenant_id: str,
    notification_id: str,
    request_id: str,
    now: datetime,
) -> Entry | None:
    """Store a copy to be sent, once for each request_id; None if there is nothing to send again."""
    new_id = messages.message_id(tenant_id, notification_id, request_id)
    await connection.execute(
        _RESEND, tenant_id, notification_id, new_id, now, now + messages.AGE_MAX
    )
    return await get(connection, tenant_id, new_id)


def _entry(row: asyncpg.Record) -> Entry:
    fields = {name: row[name] for name in Entry.__slots__ if name != "channel"}
    return Entry(channel=Channel(row["channel"]), **fields)

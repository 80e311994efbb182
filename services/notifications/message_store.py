"""Messages in Postgres: written with their events, leased to be sent, recorded, and shown.

A lease is the row's own next_try_at, put off, and a fence that grows: who sent too slowly finds
another fence and records nothing, for somebody else has the message by then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.database import Connection
from services.notifications.contact_store import contact_of
from services.notifications.contacts import Contact
from services.notifications.kinds import Channel
from services.notifications.messages import Message
from services.notifications.outcomes import Decision
from services.notifications.templates import Parts

_INSERT: Final = """
INSERT INTO notifications (
    notification_id, tenant_id, user_id, event_id, type, channel, language, template_version,
    urgent, subject, body, html, due_at, next_try_at, expires_at
)
SELECT notification_id, tenant_id, user_id, event_id, type, channel, language, template_version,
       urgent, subject, body, html, next_try_at, next_try_at, expires_at
  FROM unnest(
        $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::integer[], $9::boolean[], $10::text[], $11::text[], $12::text[], $13::timestamptz[],
        $14::timestamptz[]
    ) AS written (
        notification_id, tenant_id, user_id, event_id, type, channel, language, template_version,
        urgent, subject, body, html, next_try_at, expires_at
    )
    ON CONFLICT (notification_id) DO NOTHING
"""
# Materialized, or a plan that runs it twice would lease more than was asked for.
_LEASE: Final = """
WITH due AS MATERIALIZED (
    SELECT number, tenant_id, user_id
      FROM notifications
     WHERE channel = $1 AND state = 'pending' AND next_try_at <= $2
     ORDER BY next_try_at
     LIMIT $3
       FOR UPDATE SKIP LOCKED
)
UPDATE notifications AS leased
   SET next_try_at = $4::timestamptz, fence = leased.fence + 1
  FROM due
  LEFT JOIN contacts ON contacts.tenant_id = due.tenant_id AND contacts.user_id = due.user_id
 WHERE leased.number = due.number
RETURNING leased.number, leased.notification_id, leased.tenant_id, leased.user_id, leased.type,
          leased.channel, leased.language, leased.urgent, leased.subject, leased.body, leased.html,
          leased.tries, leased.expires_at, leased.fence, leased.created_at,
          contacts.user_id IS NOT NULL AS is_known, contacts.email_address,
          contacts.phone_number, contacts.push_token, contacts.time_zone, contacts.quiet_from,
          contacts.quiet_until, contacts.preferences
"""
_RECORD: Final = """
UPDATE notifications
   SET state              = $3,
       tries              = tries + $4,
       problem            = $5,
       provider_reference = $6,
       masked_address     = $7,
       next_try_at        = coalesce($8, next_try_at),
       sent_at            = CASE $3 WHEN 'sent' THEN $9::timestamptz END
 WHERE number = $1 AND fence = $2 AND state = 'pending'
"""
_POSTPONE: Final = """
UPDATE notifications SET next_try_at = $3 WHERE number = $1 AND fence = $2 AND state = 'pending'
"""
_BEHIND: Final = """
SELECT count(*) AS pending, min(due_at) AS oldest
  FROM (
    SELECT due_at FROM notifications
     WHERE state = 'pending' AND next_try_at <= $1 AND channel = $2
     ORDER BY next_try_at
     LIMIT $3
  ) AS due
"""
_FORGET_TEXTS: Final = """
UPDATE notifications SET subject = '', body = '', html = ''
 WHERE number IN (
    SELECT number FROM notifications
     WHERE created_at < $1 AND state <> 'pending' AND body <> ''
     ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED
 )
"""
_FORGET: Final = """
DELETE FROM notifications
 WHERE number IN (
    SELECT number FROM notifications
     WHERE created_at < $1 AND state <> 'pending'
     ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED
 )
"""
PENDING_COUNTED_MAX: Final = 10_000
"""Of a channel: beyond it, how many more there are helps nobody."""


@dataclass(frozen=True, slots=True)
class Leased:
    """A message to be sent now, by whoever has this."""

    number: int
    fence: int
    notification_id: str
    type: str
    channel: Channel
    language: str
    urgent: bool
    parts: Parts
    tries: int
    created_at: datetime
    expires_at: datetime
    contact: Contact | None
    """None if it was erased."""


@dataclass(frozen=True, slots=True)
class Behind:
    """How much waits to be sent."""

    pending: int
    oldest_at: datetime | None


async def insert(connection: Connection, messages: Sequence[Message]) -> int:
    """Store messages to be sent, each once however often it is stored; return how many were new."""
    if not messages:
        return 0
    status = await connection.execute(
        _INSERT,
        [it.notification_id for it in messages],
        [it.tenant_id for it in messages],
        [it.user_id for it in messages],
        [it.event_id for it in messages],
        [it.type for it in messages],
        [it.channel.value for it in messages],
        [it.language for it in messages],
        [it.template_version for it in messages],
        [it.urgent for it in messages],
        [it.parts.subject for it in messages],
        [it.parts.text for it in messages],
        [it.parts.html for it in messages],
        [it.next_try_at for it in messages],
        [it.expires_at for it in messages],
    )
    return int(status.rpartition(" ")[2])


async def lease(
    connection: Connection, channel: Channel, now: datetime, limit: int, lasts: timedelta
) -> list[Leased]:
    """Return messages that are due, for as long as the lease lasts nobody else's."""
    rows = await connection.fetch(_LEASE, channel.value, now, limit, now + lasts)
    return [
        Leased(
            row["number"],
            row["fence"],
            row["notification_id"],
            row["type"],
            Channel(row["channel"]),
            row["language"],
            row["urgent"],
            Parts(row["subject"], row["body"], row["html"]),
            row["tries"],
            row["created_at"],
            row["expires_at"],
            contact_of(row) if row["is_known"] else None,
        )
        for row in rows
    ]


async def record(
    connection: Connection, leased: Leased, decision: Decision, masked_address: str, now: datetime
) -> bool:
    """Note what became of a message; False if the lease was over and somebody else has it."""
    status = await connection.execute(
        _RECORD,
        leased.number,
        leased.fence,
        decision.state,
        int(decision.counts),
        decision.problem,
        decision.reference,
        masked_address,
        decision.next_try_at,
        now,
    )
    return status == "UPDATE 1"


async def postpone(connection: Connection, leased: Leased, until: datetime) -> None:
    """Give a message back, to be sent later."""
    await connection.execute(_POSTPONE, leased.number, leased.fence, until)


async def behind(connection: Connection, channel: Channel, now: datetime) -> Behind:
    """Return how much of a channel is due and not sent, counted up to PENDING_COUNTED_MAX."""
    row = await connection.fetchrow(_BEHIND, now, channel.value, PENDING_COUNTED_MAX)
    assert row is not None, "a count has a row"
    return Behind(row["pending"], row["oldest"])


async def forget_texts(connection: Connection, before: datetime, limit: int) -> int:
    """Erase the text of old messages; return of how many."""
    status = await connection.execute(_FORGET_TEXTS, before, limit)
    return int(status.rpartition(" ")[2])


async def forget(connection: Connection, before: datetime, limit: int) -> int:
    """Delete old messages from the log; return how many."""
    status = await connection.execute(_FORGET, before, limit)
    return int(status.rpartition(" ")[2])

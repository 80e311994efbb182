"""Queues deliveries: the effect of events, in the transaction of the inbox."""

from collections.abc import Sequence
from typing import Final, TypeAlias

import asyncpg

from services.webhooks import bodies, catalogue, ids, schedule
from services.webhooks.catalogue import Filter, Happened
from tender.v1 import event_pb2

NAME: Final = "webhooks"

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# Held until the commit, so that no endpoint is removed between; changes are not in the way.
_FILTERS: Final = """
SELECT endpoints.endpoint_id, tenant_id, merchant_id, event_types, pending
  FROM endpoints
  JOIN queues ON queues.endpoint_id = endpoints.endpoint_id
 WHERE tenant_id = ANY($1::text[])
   AND (merchant_id = '' OR merchant_id = ANY($2::text[]))
   AND state = 'enabled'
 ORDER BY endpoints.endpoint_id
   FOR KEY SHARE OF endpoints
"""
_ADD_MESSAGES: Final = """
INSERT INTO messages (event_id, tenant_id, event_type, entity_id, body)
SELECT event_id, tenant_id, event_type, entity_id, body
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
       AS rows (event_id, tenant_id, event_type, entity_id, body)
    ON CONFLICT (event_id) DO NOTHING
"""
# In the order of the events, by which places are given.
_ADD_DELIVERIES: Final = """
INSERT INTO deliveries (delivery_id, endpoint_id, event_id, state, cause, expires_at, ended_at)
SELECT delivery_id, endpoint_id, event_id,
       CASE WHEN cause = '' THEN 'pending' ELSE 'failed' END,
       cause,
       now() + $5::interval,
       CASE WHEN cause <> '' THEN now() END
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY
       AS rows (delivery_id, endpoint_id, event_id, cause, ordinal)
 ORDER BY ordinal
    ON CONFLICT (endpoint_id, event_id) DO NOTHING
"""
# Locked in one order, for two members may have events for the same endpoints.
_WAKE: Final = """
UPDATE queues
   SET due_at = coalesce(due_at, now()), touched = touched + 1
  FROM (
    SELECT endpoint_id FROM queues WHERE endpoint_id = ANY($1::text[]) ORDER BY endpoint_id
       FOR UPDATE
  ) AS locked
 WHERE queues.endpoint_id = locked.endpoint_id
"""


class WebhookHandler:
    """Makes a row for each event and endpoint that wants it."""

    name = NAME

    def __init__(self, topics: Sequence[str], pending_max: int) -> None:
        """With so many deliveries waiting, further ones of an endpoint are given up at once."""
        self.topics = topics
        self._pending_max = pending_max

    async def handle(self, messages: Sequence[event_pb2.Event], transaction: Connection) -> None:
        """Queue what is wanted; see `processor.consumers.handlers.Handler`."""
        all_happened = [happened(event) for event in messages]
        found = await transaction.fetch(
            _FILTERS,
            sorted({one.tenant_id for one in all_happened}),
            sorted({one.merchant_id for one in all_happened if one.merchant_id}),
        )
        filters = [_filter(row) for row in found]
        full = {row["endpoint_id"] for row in found if row["pending"] >= self._pending_max}
        wanted = [
            (event, filter.endpoint_id)
            for event, one in zip(messages, all_happened, strict=True)
            for filter in filters
            if catalogue.wants(filter, one)
        ]
        if not wanted:
            return
        by_id = {event.id: event for event, _ in wanted}
        await transaction.execute(
            _ADD_MESSAGES,
            list(by_id),
            [event.tenant_id for event in by_id.values()],
            [event.type for event in by_id.values()],
            [event.entity_id for event in by_id.values()],
            [bodies.body(event) for event in by_id.values()],
        )
        await transaction.execute(
            _ADD_DELIVERIES,
            [ids.new(ids.DELIVERY, index) for index in range(len(wanted))],
            [endpoint_id for _, endpoint_id in wanted],
            [event.id for event, _ in wanted],
            [schedule.QUEUE_FULL if of in full else "" for _, of in wanted],
            schedule.AGE_MAX,
        )
        await transaction.execute(_WAKE, sorted({endpoint_id for _, endpoint_id in wanted} - full))


def happened(event: event_pb2.Event) -> Happened:
    """Return what of an event decides who hears of it."""
    merchant_id = event.payment.payment.merchant_id if event.HasField("payment") else ""
    return Happened(event.tenant_id, merchant_id, event.type)


def _filter(row: asyncpg.Record) -> Filter:
    return Filter(
        row["endpoint_id"], row["tenant_id"], row["merchant_id"], frozenset(row["event_types"])
    )

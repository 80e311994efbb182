"""Writes the messages that events and requests make, in the transaction of their effect."""

from collections import Counter
from collections.abc import Sequence, Set
from datetime import datetime

from kit import metrics
from services.database import Connection
from services.notifications import contact_store, message_store, messages, template_store
from services.notifications.kinds import Channel
from services.notifications.messages import Matter, Message


async def write(
    connection: Connection, matters: Sequence[Matter], available: Set[Channel], now: datetime
) -> list[Message]:
    """Store what people are to be told who have a contact; return it. Raises NoTemplate."""
    if not matters:
        return []
    contacts = await contact_store.find(
        connection, list({(it.tenant_id, it.user_id): None for it in matters})
    )
    wanted = [it for it in matters if (it.tenant_id, it.user_id) in contacts]
    if not wanted:
        return []
    shelf = await template_store.shelf(
        connection, list({it.tenant_id for it in wanted}), list({it.kind.type for it in wanted})
    )
    written = [
        message
        for it in wanted
        for message in messages.written(
            it, contacts[it.tenant_id, it.user_id], available, shelf.find, now
        )
    ]
    await message_store.insert(connection, written)
    return written


def count(written: Sequence[Message]) -> None:
    """Count what was written, once that is committed or as good as that."""
    for channel, number in Counter(it.channel.value for it in written).items():
        metrics.notification_meter(channel).count("written", number)

"""Contacts, owners of accounts and names of merchants in Postgres."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg

from services.database import Connection
from services.notifications.contacts import Contact

_COLUMNS: Final = """
    tenant_id, user_id, email_address, phone_number, push_token, language, time_zone, quiet_from,
    quiet_until, preferences
"""
_FIND: Final = f"""
SELECT {_COLUMNS}
  FROM contacts
  JOIN unnest($1::text[], $2::text[]) AS wanted (tenant_id, user_id) USING (tenant_id, user_id)
"""
_GET: Final = f"""
SELECT {_COLUMNS}, created_at, updated_at FROM contacts WHERE tenant_id = $1 AND user_id = $2
"""
_PUT: Final = f"""
INSERT INTO contacts ({_COLUMNS})
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (tenant_id, user_id) DO UPDATE
   SET email_address = excluded.email_address,
       phone_number  = excluded.phone_number,
       push_token    = excluded.push_token,
       language      = excluded.language,
       time_zone     = excluded.time_zone,
       quiet_from    = excluded.quiet_from,
       quiet_until   = excluded.quiet_until,
       preferences   = excluded.preferences,
       updated_at    = now()
RETURNING created_at, updated_at
"""
# What is leased just now is on its way and cannot be called back; its text goes all the same.
_ERASE_MESSAGES: Final = """
UPDATE notifications
   SET subject        = '',
       body           = '',
       html           = '',
       masked_address = '',
       state          = CASE state WHEN 'pending' THEN 'cancelled' ELSE state END,
       problem        = CASE state WHEN 'pending' THEN 'ERASED' ELSE problem END,
       fence          = fence + 1
 WHERE tenant_id = $1 AND user_id = $2 AND body <> ''
"""
_DELETE: Final = "DELETE FROM contacts WHERE tenant_id = $1 AND user_id = $2"

_PUT_OWNERS: Final = """
INSERT INTO account_owners (account_id, tenant_id, user_id, version)
SELECT account_id, tenant_id, user_id, version
  FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
    AS told (account_id, tenant_id, user_id, version)
 ORDER BY account_id
ON CONFLICT (account_id) DO UPDATE
   SET tenant_id = excluded.tenant_id, user_id = excluded.user_id, version = excluded.version
 WHERE account_owners.version < excluded.version
"""
_OWNERS: Final = """
SELECT account_id, user_id FROM account_owners WHERE account_id = ANY($1::text[])
"""
_PUT_MERCHANTS: Final = """
INSERT INTO merchant_names (merchant_id, tenant_id, display_name, version)
SELECT merchant_id, tenant_id, display_name, version
  FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
    AS told (merchant_id, tenant_id, display_name, version)
 ORDER BY merchant_id
ON CONFLICT (merchant_id) DO UPDATE
   SET display_name = excluded.display_name, version = excluded.version
 WHERE merchant_names.version < excluded.version
"""
_MERCHANTS: Final = """
SELECT merchant_id, display_name FROM merchant_names WHERE merchant_id = ANY($1::text[])
"""


class Told(NamedTuple):
    """What an event says of an account's owner, or of a merchant's name."""

    id: str
    tenant_id: str
    name: str
    version: int


class Stored(NamedTuple):
    """A contact, and since when."""

    contact: Contact
    created_at: datetime
    updated_at: datetime


async def find(
    connection: Connection, users: Sequence[tuple[str, str]]
) -> Mapping[tuple[str, str], Contact]:
    """Return, by tenant and user, the contacts that there are."""
    tenants, names = [tenant for tenant, _ in users], [user for _, user in users]
    rows = await connection.fetch(_FIND, tenants, names)
    return {(row["tenant_id"], row["user_id"]): contact_of(row) for row in rows}


async def get(connection: Connection, tenant_id: str, user_id: str) -> Stored | None:
    """Return a contact."""
    row = await connection.fetchrow(_GET, tenant_id, user_id)
    return None if row is None else Stored(contact_of(row), row["created_at"], row["updated_at"])


async def put(connection: Connection, contact: Contact) -> Stored:
    """Set a contact, in place of what there was."""
    row = await connection.fetchrow(
        _PUT,
        contact.tenant_id,
        contact.user_id,
        contact.email_address,
        contact.phone_number,
        contact.push_token,
        contact.language,
        contact.time_zone,
        contact.quiet_from,
        contact.quiet_until,
        json.dumps(dict(contact.preferences)),
    )
    assert row is not None, "it returns what it wrote"
    return Stored(contact, row["created_at"], row["updated_at"])


async def erase(connection: Connection, tenant_id: str, user_id: str) -> None:
    """Delete a contact and the text of all messages; what is not sent yet is cancelled."""
    async with connection.transaction():
        await connection.execute(_DELETE, tenant_id, user_id)
        await connection.execute(_ERASE_MESSAGES, tenant_id, user_id)


async def put_owners(connection: Connection, told: Sequence[Told]) -> None:
    """Note whose accounts are; lower versions than are known change nothing."""
    await connection.execute(_PUT_OWNERS, *_latest(told))


async def put_merchants(connection: Connection, told: Sequence[Told]) -> None:
    """Note how merchants are called; lower versions than are known change nothing."""
    await connection.execute(_PUT_MERCHANTS, *_latest(told))


async def owners(connection: Connection, account_ids: Sequence[str]) -> Mapping[str, str]:
    """Return the users of those accounts that are known."""
    rows = await connection.fetch(_OWNERS, list(account_ids))
    return {row["account_id"]: row["user_id"] for row in rows}


async def merchant_names(connection: Connection, merchant_ids: Sequence[str]) -> Mapping[str, str]:
    """Return the names of those merchants that are known."""
    rows = await connection.fetch(_MERCHANTS, list(merchant_ids))
    return {row["merchant_id"]: row["display_name"] for row in rows}


def contact_of(row: asyncpg.Record) -> Contact:
    """Return the contact of a row that has its columns."""
    return Contact(
        row["tenant_id"],
        row["user_id"],
        row["email_address"],
        row["phone_number"],
        row["push_token"],
        row["language"],
        row["time_zone"],
        row["quiet_from"],
        row["quiet_until"],
        json.loads(row["preferences"]),
    )


def _latest(
    told: Sequence[Told],
) -> tuple[list[str], list[str], list[str], list[int]]:
    """Return columns with one row for each id: a statement may not touch a row twice."""
    newest: dict[str, Told] = {}
    for one in told:
        if one.id not in newest or newest[one.id].version < one.version:
            newest[one.id] = one
    rows = newest.values()
    return (
        [one.id for one in rows],
        [one.tenant_id for one in rows],
        [one.name for one in rows],
        [one.version for one in rows],
    )

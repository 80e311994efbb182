"""Templates in Postgres: every version that was ever put; the highest counts."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg

from services.database import Connection
from services.notifications import languages
from services.notifications.kinds import Channel
from services.notifications.money import Amount
from services.notifications.samples import Sample
from services.notifications.templates import Parts, Template

BUILT_IN: Final = ""
"""The tenant of what comes with Tender."""

_COLUMNS: Final = """
    tenant_id, type, channel, language, version, subject, body, html, sample, created_at
"""
_FIND: Final = f"""
SELECT DISTINCT ON (tenant_id, type, channel, language) {_COLUMNS}
  FROM templates
 WHERE tenant_id = ANY($1::text[]) AND type = ANY($2::text[])
 ORDER BY tenant_id, type, channel, language, version DESC
"""
# Two that put at once: one of them gets a unique violation and finds the other's version.
_PUT: Final = """
INSERT INTO templates (
    tenant_id, type, channel, language, version, subject, body, html, sample
)
SELECT $1, $2, $3, $4, coalesce(max(version), 0) + 1, $5, $6, $7, $8
  FROM templates
 WHERE tenant_id = $1 AND type = $2 AND channel = $3 AND language = $4
RETURNING version, created_at
"""
_LIST: Final = f"""
SELECT DISTINCT ON (type, channel, language, tenant_id) {_COLUMNS}
  FROM templates
 WHERE tenant_id IN ($1, '')
   AND ($2 = '' OR type = $2)
   AND (type, channel, language, tenant_id) > ($3, $4, $5, $6)
 ORDER BY type, channel, language, tenant_id, version DESC
 LIMIT $7
"""


class Stored(NamedTuple):
    """A template, whose it is, and since when."""

    template: Template
    tenant_id: str
    created_at: datetime


class Shelf:
    """The newest templates of some tenants and types, for writing messages."""

    def __init__(self, stored: Sequence[Stored]) -> None:
        self._found = {
            (it.tenant_id, it.template.type, it.template.channel, it.template.language): it
            for it in stored
        }

    def own(self, tenant_id: str, template: Template) -> Stored | None:
        """Return what a tenant has of the same type, channel and language, without a fallback."""
        return self._found.get((tenant_id, template.type, template.channel, template.language))

    def find(
        self, tenant_id: str, type_name: str, channel: Channel, language: str
    ) -> Template | None:
        """Return a template, the tenant's own before a built-in one of the same language."""
        found = self.stored(tenant_id, type_name, channel, language)
        return None if found is None else found.template

    def stored(
        self, tenant_id: str, type_name: str, channel: Channel, language: str
    ) -> Stored | None:
        """Return the same with what is stored beside it."""
        for tried in languages.chain(language):
            for owner in (tenant_id, BUILT_IN):
                found = self._found.get((owner, type_name, channel, tried))
                if found is not None:
                    return found
        return None


async def shelf(connection: Connection, tenants: Sequence[str], type_names: Sequence[str]) -> Shelf:
    """Return what there is for tenants and types."""
    rows = await connection.fetch(_FIND, [*tenants, BUILT_IN], list(type_names))
    return Shelf([_stored(row) for row in rows])


async def put(connection: Connection, tenant_id: str, template: Template) -> Stored:
    """Store another version, or return the newest one if it says the same."""
    while True:
        found = (await shelf(connection, [tenant_id], [template.type])).own(tenant_id, template)
        if found is not None and _same(found.template, template):
            return found
        try:
            row = await connection.fetchrow(
                _PUT,
                tenant_id,
                template.type,
                template.channel,
                template.language,
                template.parts.subject,
                template.parts.text,
                template.parts.html,
                _written(template.sample),
            )
        except asyncpg.UniqueViolationError:
            continue
        assert row is not None, "it returns what it wrote"
        made = Template(
            template.type,
            template.channel,
            template.language,
            row["version"],
            template.parts,
            template.sample,
            built_in=tenant_id == BUILT_IN,
        )
        return Stored(made, tenant_id, row["created_at"])


async def page(
    connection: Connection, tenant_id: str, type_name: str, after: Sequence[str], limit: int
) -> list[Stored]:
    """Return the newest versions in the order of type, channel, language and whose they are.

    `after` is these four of the last one before; four empty texts at the beginning.
    """
    rows = await connection.fetch(_LIST, tenant_id, type_name, *after, limit)
    return [_stored(row) for row in rows]


def _same(one: Template, other: Template) -> bool:
    return one.parts == other.parts and one.sample == other.sample


def _stored(row: asyncpg.Record) -> Stored:
    template = Template(
        row["type"],
        Channel(row["channel"]),
        row["language"],
        row["version"],
        Parts(row["subject"], row["body"], row["html"]),
        _read(json.loads(row["sample"])),
        built_in=row["tenant_id"] == BUILT_IN,
    )
    return Stored(template, row["tenant_id"], row["created_at"])


def _written(sample: Sample) -> str:
    amounts = {name: [it.currency_code, it.minor_units] for name, it in sample.amounts.items()}
    return json.dumps({"texts": dict(sample.texts), "amounts": amounts})


def _read(stored: Mapping[str, Any]) -> Sample:
    amounts = stored.get("amounts", {})
    return Sample(
        stored.get("texts", {}),
        {name: Amount(code, units) for name, (code, units) in amounts.items()},
    )

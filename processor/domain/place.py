"""Where a lane is, and which accounts of the tenant's own stand there under which names."""

from typing import Final, NamedTuple

from processor.domain import accounts, ids
from processor.domain.context import Context

WORLD_ALIAS: Final = "world"
FEES_ALIAS: Final = "fees"
ALIASES: Final = {WORLD_ALIAS: accounts.Kind.WORLD, FEES_ALIAS: accounts.Kind.FEES}
"""Names that stand for the tenant's own account in the currency of the amount."""


class Place(NamedTuple):
    """Region and shard of a lane."""

    region: str
    shard: str

    def own_account(self, tenant_id: str, kind: accounts.Kind, currency: str) -> str:
        """Return the id of a tenant's own account on this shard."""
        return ids.system_account(self.region, self.shard, tenant_id, kind, currency)

    def resolve(self, name: str, tenant_id: str, currency: str) -> str:
        """Return the account id behind a name, which may be an alias."""
        kind = ALIASES.get(name)
        return name if kind is None else self.own_account(tenant_id, kind, currency)


def place(context: Context) -> Place:
    """Return where a context's lane is."""
    return Place(context.region, context.shard)

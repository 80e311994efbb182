"""Where a lane is, which shard has an account, and the tenant's own accounts under their names."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from processor.domain import accounts, ids, refusals
from processor.domain.context import Context

WORLD_ALIAS: Final = "world"
FEES_ALIAS: Final = "fees"
ALIASES: Final = {WORLD_ALIAS: accounts.Kind.WORLD, FEES_ALIAS: accounts.Kind.FEES}
"""Names that stand for the tenant's own account in the currency of the amount."""


class Place(NamedTuple):
    """Region and shard of a lane, and which shard has each bucket of every region.

    `homes` maps a region, a slash and the bucket's two characters to a shard, or to nothing while
    nobody decides on the bucket; None when this shard has everything. `map_version` is that of the
    map that it comes from.
    """

    region: str
    shard: str
    homes: Mapping[str, str] | None = None
    map_version: int = 0

    def own_account(self, tenant_id: str, kind: accounts.Kind, currency: str) -> str:
        """Return the id of a tenant's own account on this shard."""
        return ids.system_account(self.region, self.shard, tenant_id, kind, currency)

    def clearing(self, tenant_id: str, peer: str, currency: str) -> str:
        """Return the id of the account here by which a tenant's money goes to and from a shard."""
        return ids.clearing_account(self.region, self.shard, tenant_id, peer, currency)

    def resolve(self, name: str, tenant_id: str, currency: str) -> str:
        """Return the account id behind a name, which may be an alias."""
        kind = ALIASES.get(name)
        return name if kind is None else self.own_account(tenant_id, kind, currency)

    def find(self, identifier: str) -> str:
        """Return the shard that has what an id names; empty when no shard has its bucket."""
        if self.homes is None:
            return self.shard
        return self.homes.get(ids.home_of_id(identifier), "") or ids.shard_of_own(identifier)

    def shard_of(self, identifier: str) -> str:
        """Return the shard that has what an id names. Raises RegionUnknown or BucketElsewhere."""
        found = self.find(identifier)
        if not found:
            home = ids.home_of_id(identifier)
            if self.homes is not None and home in self.homes:
                raise refusals.BucketElsewhere(bucket=home, map_version=str(self.map_version))
            raise refusals.RegionUnknown(id=identifier)
        return found

    def peer_of(self, identifier: str) -> str:
        """Return the other shard that has what an id names; empty when it is this one.

        Raises RegionUnknown or BucketElsewhere.
        """
        if self.homes is None:
            return ""
        found = self.shard_of(identifier)
        return "" if found == self.shard else found

    def peers(self) -> list[str]:
        """Return all other shards, in the order of their names."""
        return [] if self.homes is None else sorted({*self.homes.values()} - {self.shard, ""})


def place(context: Context) -> Place:
    """Return where a context's lane is."""
    return Place(context.region, context.shard, context.homes)

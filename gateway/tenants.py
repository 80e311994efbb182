"""How many commands of each tenant are under way: one alone cannot take all the room there is."""


class TenantShares:
    """Counts by tenant, for as long as it has any."""

    __slots__ = ("_commands_max", "_counts")

    def __init__(self, commands_max: int) -> None:
        self._commands_max = commands_max
        self._counts: dict[str, int] = {}

    def room(self, tenant_id: str) -> int:
        """Return how many more commands of a tenant may be under way."""
        return max(self._commands_max - self._counts.get(tenant_id, 0), 0)

    def take(self, tenant_id: str) -> None:
        """A command of the tenant is under way."""
        self._counts[tenant_id] = self._counts.get(tenant_id, 0) + 1

    def give_back(self, tenant_id: str) -> None:
        """A command of the tenant is so no longer."""
        left = self._counts[tenant_id] - 1
        if left:
            self._counts[tenant_id] = left
        else:
            del self._counts[tenant_id]

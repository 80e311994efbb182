"""Shops on shards of their own, one region each, and the legs between them."""

from processor.domain import ids
from processor.domain.accounts import Account, Kind
from processor.domain.legs import MONEY, Leg
from processor.domain.needs import Place
from tests.domain.ledger import Ledger
from tests.domain.shop import TENANT, Shop

REGIONS = {"eu": "s1", "us": "s2", "jp": "s3"}
HOMES = {
    f"{region}/{first}{second}": shard
    for region, shard in REGIONS.items()
    for first in ids.ALPHABET
    for second in ids.ALPHABET
}


class Street:
    """A shop on each shard; merchants are known on all of them."""

    def __init__(self, shards: int = 2, funds: int = 1_000, **terms: object) -> None:
        self.shops: dict[str, Shop] = {}
        homes = {name: shard for name, shard in HOMES.items() if int(shard[1]) <= shards}
        for region, shard in list(REGIONS.items())[:shards]:
            ledger = Ledger(Place(region, shard, homes))
            self.shops[shard] = Shop(funds, ledger=ledger, **terms)  # type: ignore[arg-type]
        self.carry_all()

    def __getitem__(self, shard: str) -> Shop:
        return self.shops[shard]

    def waiting(self, source: str, destination: str) -> list[Leg]:
        """Return the legs on their way."""
        taken = len(self.shops[destination].ledger.taken[source])
        return self.shops[source].ledger.legs[destination][taken:]

    def carry(self, source: str, destination: str) -> bool:
        """Carry one leg, if there is any."""
        for leg in self.waiting(source, destination)[:1]:
            self.shops[destination].ledger.take(leg)
            self.check()
            return True
        return False

    def carry_all(self) -> None:
        """Carry until nothing is on its way."""
        pairs = [(one, other) for one in self.shops for other in self.shops if one != other]
        while any([self.carry(*pair) for pair in pairs]):
            pass

    def clearing(self, shard: str, peer: str) -> Account | None:
        """Return the account on a shard that stands for another."""
        ledger = self.shops[shard].ledger
        currency = self.shops[shard].currency
        return ledger.accounts.get(ledger.place.clearing(TENANT, peer, currency))

    def suspense(self, shard: str) -> int:
        """Return what lies in suspense on a shard."""
        account = self.shops[shard].ledger.accounts.get(self.shops[shard].own_id(Kind.SUSPENSE))
        return account.posted if account else 0

    def check(self) -> None:
        """Any two clearing accounts differ by what is on its way between them."""
        for one in self.shops:
            for other in self.shops:
                if one < other:
                    both = (self.clearing(one, other), self.clearing(other, one))
                    on_its_way = [*self.waiting(one, other), *self.waiting(other, one)]
                    assert sum(account.posted for account in both if account) == sum(
                        leg.amount for leg in on_its_way if leg.kind in MONEY
                    )

"""Which buckets a shard owns (R20): what its own database says, above any map."""

from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from processor.domain import commands, ids, refusals
from processor.domain.legs import Leg
from processor.domain.place import ALIASES, Place

OWNED: Final = "OWNED"
"""The lane decides on these buckets, and nobody else does."""
FROZEN: Final = "FROZEN"
"""Still this shard's, but nothing is decided on them while they move."""
MOVED: Final = "MOVED"
"""They were here and are another shard's now."""
STATES: Final = (OWNED, FROZEN, MOVED)

NOWHERE: Final = ""
"""In homes: nobody is known to decide on the bucket just now."""

NAMES: Final = tuple(a + b for a in ids.ALPHABET for b in ids.ALPHABET)
"""The two characters of every bucket, by its number."""


_NUMBERS: Final = {name: number for number, name in enumerate(NAMES)}


class BucketRange(NamedTuple):
    """Buckets of the shard's region in one state; `shard` is where those that moved are."""

    first_bucket: int
    last_bucket: int
    state: str
    shard: str


class Buckets(NamedTuple):
    """What a shard's database says of its buckets. Those in no range were never here.

    Versions count from 1; 0 stands for a database that says nothing yet.
    """

    region: str
    version: int
    # Quoted: compiled, the class keeps no other annotation than a simple one or a text.
    ranges: "tuple[BucketRange, ...]"

    @property
    def has_all(self) -> bool:
        """Whether every bucket of the region is decided here."""
        return self.ranges == _ALL

    def state_of(self, bucket: int) -> str:
        """Return the state of a bucket; empty when it was never here."""
        for one in self.ranges:
            if one.first_bucket <= bucket <= one.last_bucket:
                return one.state
        return ""

    def has(self, home: str) -> bool:
        """Say whether what has this home (region, slash, two characters) is the shard's.

        So is what has no bucket of the region, and what is frozen while it moves.
        """
        region, _, name = home.partition("/")
        if region != self.region or name not in _NUMBERS:
            return True
        return self.state_of(_NUMBERS[name]) in (OWNED, FROZEN)

    def had(self, home: str) -> bool:
        """Say whether a bucket is or was the shard's: then what is stored of it was true once."""
        return self.state_of(_NUMBERS.get(home.partition("/")[2], -1)) != ""

    def shard_of(self, home: str) -> str:
        """Return the shard that a bucket has moved to from here; empty if it has not."""
        bucket = _NUMBERS.get(home.partition("/")[2], -1)
        for one in self.ranges:
            if one.first_bucket <= bucket <= one.last_bucket:
                return one.shard
        return ""

    def with_state(
        self, first_bucket: int, last_bucket: int, state: str, shard: str = ""
    ) -> "Buckets":
        """Return the next version, in which a range of buckets has another state."""
        assert 0 <= first_bucket <= last_bucket < ids.BUCKETS
        places = self.places()
        for bucket in range(first_bucket, last_bucket + 1):
            places[bucket] = (state, shard)
        return Buckets(self.region, self.version + 1, _ranges(places))

    def places(self) -> list[tuple[str, str]]:
        """Return state and shard of every bucket of the region, by its number."""
        places = [("", "")] * ids.BUCKETS
        for one in self.ranges:
            for bucket in range(one.first_bucket, one.last_bucket + 1):
                places[bucket] = (one.state, one.shard)
        return places


_ALL: Final = (BucketRange(0, ids.BUCKETS - 1, OWNED, ""),)


def everything(region: str) -> Buckets:
    """Return the first ownership of a shard that was alone: it had all there was."""
    return Buckets(region, 1, _ALL)


def as_mapped(place: Place) -> Buckets:
    """Return the first ownership of a new shard: what the map gives it."""
    homes = place.homes
    if homes is None:
        return everything(place.region)
    mine = [homes.get(f"{place.region}/{name}") == place.shard for name in NAMES]
    return Buckets(place.region, 1, _ranges([(OWNED if one else "", "") for one in mine]))


def released(buckets: Buckets | None, first: int, last: int, to: Place, shard: str) -> Buckets:
    """Return the ownership once a range is another shard's; raises BadBuckets.

    `to` is where the lane is that gives them, `shard` who gets them.
    """
    if buckets is None:
        raise refusals.BadBuckets("the shard is alone: no map names another one")
    if shard == to.shard:
        raise refusals.BadBuckets(f"the buckets are on {shard} already")
    if any(buckets.state_of(bucket) != OWNED for bucket in range(first, last + 1)):
        raise refusals.BadBuckets(f"{to.shard} does not own all of these buckets")
    if first <= NAMES.index(ids.bucket_of_owner(to.region, "")) <= last:
        # Transfers between a tenant's own accounts are routed by it; they stay on their shard.
        raise refusals.BadBuckets("one of these buckets is that of the tenants' own accounts")
    return buckets.with_state(first, last, MOVED, shard)


def taken(buckets: Buckets | None, leg: Leg, place: Place) -> Buckets:
    """Return the ownership once buckets that another shard released are this one's.

    Raises BadBuckets: then the two do not agree on who owns what, and a human must look.
    """
    assert leg.buckets is not None
    first, last = leg.buckets
    if buckets is None or not 0 <= first <= last < ids.BUCKETS:
        raise refusals.BadBuckets(f"{place.shard} cannot take buckets {first} to {last}")
    if any(buckets.state_of(bucket) not in ("", MOVED) for bucket in range(first, last + 1)):
        raise refusals.BadBuckets(f"{place.shard} owns some of buckets {first} to {last} already")
    return buckets.with_state(first, last, OWNED)


def owned_place(
    place: Place, buckets: Buckets | None, frozen: AbstractSet[int] = frozenset()
) -> Place:
    """Return a place whose homes are the map's, except for what the shard itself knows better.

    What it owns is here whatever the map says, and what it does not own is not. What it has frozen
    is nowhere for the time being.
    """
    if buckets is None or (place.homes is None and buckets.has_all):
        return place
    homes = dict(place.homes or {})
    for name, (state, shard) in zip(NAMES, buckets.places(), strict=True):
        home = f"{buckets.region}/{name}"
        if state == OWNED:
            homes[home] = place.shard
        elif state == FROZEN:
            homes[home] = NOWHERE
        elif homes.get(home, place.shard) == place.shard:
            homes[home] = shard or NOWHERE
    for bucket in frozen:
        home = f"{buckets.region}/{NAMES[bucket]}"
        if homes.get(home) == place.shard:
            homes[home] = NOWHERE
    return place._replace(homes=homes)


def home_of(command: commands.CallerCommand, place: Place) -> str:
    """Return region, slash and bucket that a command belongs to, as gateways route it (R15)."""
    match command:
        case commands.Authorize() | commands.Reverse():
            return ids.home_of_id(command.payer_account_id)
        case commands.Capture() | commands.Void() | commands.RefundPayment():
            return ids.home_of_id(command.payment_id)
        case commands.ChangeAccountState():
            return ids.home_of_id(command.account_id)
        case commands.UpdateMerchant():
            return ids.home_of_id(command.merchant_id)
        case commands.OpenAccount():
            return _of_owner(place, command.user_id)
        case commands.CreateMerchant():
            return _of_owner(place, command.reference)
        case commands.CreateTransfer():
            if command.source not in ALIASES:
                return ids.home_of_id(command.source)
            if command.destination not in ALIASES:
                return ids.home_of_id(command.destination)
            return _of_owner(place, "")


def _of_owner(place: Place, owner: str) -> str:
    return f"{place.region}/{ids.bucket_of_owner(place.region, owner)}"


def is_elsewhere(command: commands.CallerCommand, place: Place) -> bool:
    """Say whether a command is for a bucket that this shard does not decide on."""
    homes = place.homes
    if homes is None:
        return False
    return homes.get(home_of(command, place), place.shard) != place.shard


def elsewhere(command: commands.CallerCommand, place: Place) -> refusals.BucketElsewhere:
    """Return the refusal of such a command, with what this shard knows."""
    home = home_of(command, place)
    return refusals.BucketElsewhere(
        bucket=home,
        shard=(place.homes or {}).get(home, NOWHERE),
        map_version=str(place.map_version),
    )


def _ranges(places: list[tuple[str, str]]) -> tuple[BucketRange, ...]:
    """Return runs of equal places as ranges; buckets that were never here are left out."""
    found: list[BucketRange] = []
    first = 0
    for bucket in range(1, len(places) + 1):
        if bucket < len(places) and places[bucket] == places[first]:
            continue
        state, shard = places[first]
        if state:
            found.append(BucketRange(first, bucket - 1, state, shard))
        first = bucket
    return tuple(found)

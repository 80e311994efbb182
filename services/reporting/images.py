"""What an image of a payment or a refund changes: the newest state, and the totals of days. Pure.

An image says how a payment stands in sum. What a day brought is the difference between how the
payment stood at its end and how it stood before, so a repeated image changes nothing, and a late
one moves amounts between days and adds none: the totals do not depend on the order of arrival.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

from services.reporting.records import AccountImage, MerchantImage, PaymentImage, RefundImage

DAY_US: Final = 86_400_000_000

PENDING: Final = "PENDING"
SUCCEEDED: Final = "SUCCEEDED"


class Standing(NamedTuple):
    """How a payment stood, in sum, at the end of a day (days since 1970)."""

    day: int
    version: int
    captured: int
    fee: int


class Known(NamedTuple):
    """A payment as it is known, with how it stood at the end of each earlier day."""

    image: PaymentImage
    earlier: tuple[Standing, ...] = ()

    @property
    def standings(self) -> tuple[Standing, ...]:
        """By version, the newest last."""
        return (*self.earlier, standing(self.image))


class StateKey(NamedTuple):
    """Payments of a state, by the day on which they were authorized or declined."""

    tenant_id: str
    merchant_id: str
    currency: str
    day: int
    state: str


class DayKey(NamedTuple):
    """A merchant's day in a currency."""

    tenant_id: str
    merchant_id: str
    currency: str
    day: int


class Volume(NamedTuple):
    """Money of a day."""

    captured: int = 0
    fees: int = 0
    refunds: int = 0
    refunded: int = 0
    fees_refunded: int = 0


class Totals:
    """Differences to add to the totals of days."""

    def __init__(self) -> None:
        self._states: dict[StateKey, tuple[int, int]] = {}
        self._volumes: dict[DayKey, Volume] = {}

    def state(self, key: StateKey, payments: int, amount: int) -> None:
        """Add payments of a state."""
        before = self._states.get(key, (0, 0))
        self._states[key] = (before[0] + payments, before[1] + amount)

    def volume(self, key: DayKey, added: Volume) -> None:
        """Add money of a day."""
        before = self._volumes.get(key, Volume())
        self._volumes[key] = Volume(*(old + new for old, new in zip(before, added, strict=True)))

    def states(self) -> Sequence[tuple[StateKey, tuple[int, int]]]:
        """Return what changes, in the order in which rows are locked."""
        return sorted((key, it) for key, it in self._states.items() if any(it))

    def volumes(self) -> Sequence[tuple[DayKey, Volume]]:
        """Return what changes, in the order in which rows are locked."""
        return sorted((key, it) for key, it in self._volumes.items() if any(it))


def standing(image: PaymentImage) -> Standing:
    """Return how a payment stands by its image."""
    return Standing(image.updated_at // DAY_US, image.version, image.captured, image.fee)


Image = TypeVar("Image", PaymentImage, AccountImage, MerchantImage)


def is_newer(image: Image, known: Image) -> bool:
    """Say whether an image says more than the one that is known.

    Versions tell within a history, and across shards. Another history of the same shard may count
    some versions again, those that were lost with the former one: there the later one is right,
    and histories of a shard follow each other in time (docs/events.md).
    """
    if _other_history(image, known):
        return image.place.at > known.place.at
    return image.version > known.version


def _other_history(one: Image | RefundImage, other: Image | RefundImage) -> bool:
    return one.place.shard == other.place.shard and one.place.incarnation != other.place.incarnation


def take(known: Known | None, image: PaymentImage) -> Known:
    """Return what is known of a payment with one more image of it; the same if it says nothing."""
    if known is None:
        return Known(image)
    if is_newer(image, known.image):
        # What has this version or a later one was lost with its history.
        before = [it for it in known.standings if it.version < image.version]
        return Known(image, _compressed([*before, standing(image)])[:-1])
    if image.version >= known.image.version:
        return known
    if any(it.version == image.version for it in known.earlier):
        return known
    merged = _compressed(sorted((*known.standings, standing(image)), key=_version))
    return known if merged[:-1] == known.earlier else Known(known.image, merged[:-1])


def _version(it: Standing) -> int:
    return it.version


def _compressed(standings: Sequence[Standing]) -> tuple[Standing, ...]:
    """Return the last standing of each day; they are in the order of versions."""
    following = [*standings[1:], None]
    return tuple(
        it
        for it, after in zip(standings, following, strict=True)
        if after is None or after.day != it.day
    )


def take_refund(known: RefundImage | None, image: RefundImage) -> RefundImage:
    """Return what is known of a refund with one more image of it: what is settled stays so."""
    if known is None:
        return image
    if _other_history(image, known):
        return image if image.place.at > known.place.at else known
    return image if known.state == PENDING and image.state != PENDING else known


def add(totals: Totals, known: Known, sign: int) -> None:
    """Add (1) or take away (-1) all that a payment contributes to the totals."""
    image = known.image
    day = image.created_at // DAY_US
    key = StateKey(image.tenant_id, image.merchant_id, image.currency, day, image.state)
    totals.state(key, sign, sign * image.amount)
    captured = fee = 0
    for it in known.standings:
        totals.volume(
            DayKey(image.tenant_id, image.merchant_id, image.currency, it.day),
            Volume(captured=sign * (it.captured - captured), fees=sign * (it.fee - fee)),
        )
        captured, fee = it.captured, it.fee


def add_refund(totals: Totals, refund: RefundImage, sign: int) -> None:
    """Add (1) or take away (-1) what a refund contributes: nothing before it succeeded."""
    if refund.state == SUCCEEDED:
        totals.volume(
            DayKey(
                refund.tenant_id, refund.merchant_id, refund.currency, refund.created_at // DAY_US
            ),
            Volume(0, 0, sign, sign * refund.amount, sign * refund.fee_refunded),
        )


def newest(images: Iterable[Image]) -> Iterator[Image]:
    """Return of each entity the newest image, in the order of ids."""
    found: dict[str, Image] = {}
    for image in images:
        known = found.get(image.id)
        if known is None or is_newer(image, known):
            found[image.id] = image
    for _, image in sorted(found.items()):
        yield image

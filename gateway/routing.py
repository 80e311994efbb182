"""Where a request belongs: the bucket that its immutable fields name (R15)."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from gateway import methods
from kit import buckets
from tender.v1 import lane_pb2

_ID_BODY_LENGTH: Final = 22  # Time, serial and bucket; before it stand prefix and region.
_PREFIX_LENGTH: Final = 4  # "acc_"
_OWN: Final = "sys_"  # A tenant's own account: its shard stands in the id.
_ALIASES: Final = frozenset({"world", "fees"})


class Place(NamedTuple):
    """A bucket of a region, or a shard by its name; all shards when both are empty."""

    region: str = ""
    bucket: str = ""
    shard: str = ""


EVERYWHERE: Final = Place()
Route = Callable[[Any, str], Place]
"""Gives the place of a request; the second argument is the gateway's own region."""


def of_id(identifier: str) -> Place:
    """Return the place of an id, which validation has found well formed."""
    if identifier.startswith(_OWN):
        _, region, shard, _ = identifier.split("_", 3)
        return Place(region, "", shard)
    return Place(identifier[_PREFIX_LENGTH : -_ID_BODY_LENGTH - 1], identifier[-2:])


def of_owner(region: str, owner: str) -> Place:
    """Return the place of a user or of a merchant's reference."""
    return Place(region, buckets.bucket_of_owner(region, owner))


def _by(field: str) -> Route:
    return lambda request, _region: of_id(getattr(request, field))


def _by_owner(field: str) -> Route:
    return lambda request, region: of_owner(request.region or region, getattr(request, field))


def _transfer(request: Any, region: str) -> Place:
    """The side that gives; a tenant's own accounts are wherever the other side is."""
    source, destination = request.source_account_id, request.destination_account_id
    if source not in _ALIASES:
        return of_id(source)
    return of_owner(region, "") if destination in _ALIASES else of_id(destination)


def _payment(request: Any, _region: str) -> Place:
    return of_id(request.payment_id) if request.payment_id else EVERYWHERE


def _payments(request: Any, _region: str) -> Place:
    return of_id(request.payer_account_id) if request.payer_account_id else EVERYWHERE


def _updated_merchant(request: Any, _region: str) -> Place:
    return of_id(request.merchant.id)


_account: Final = _by("account_id")
ROUTES: Final[dict[int, Route]] = {
    lane_pb2.METHOD_AUTHORIZE_PAYMENT: _by("payer_account_id"),
    lane_pb2.METHOD_CAPTURE_PAYMENT: _by("payment_id"),
    lane_pb2.METHOD_VOID_PAYMENT: _by("payment_id"),
    lane_pb2.METHOD_REFUND_PAYMENT: _by("payment_id"),
    lane_pb2.METHOD_REVERSE_PAYMENT: _by("payer_account_id"),
    lane_pb2.METHOD_CREATE_ACCOUNT: _by_owner("user_id"),
    lane_pb2.METHOD_FREEZE_ACCOUNT: _account,
    lane_pb2.METHOD_UNFREEZE_ACCOUNT: _account,
    lane_pb2.METHOD_CLOSE_ACCOUNT: _account,
    lane_pb2.METHOD_CREATE_TRANSFER: _transfer,
    lane_pb2.METHOD_CREATE_MERCHANT: _by_owner("reference"),
    lane_pb2.METHOD_UPDATE_MERCHANT: _updated_merchant,
    lane_pb2.METHOD_GET_PAYMENT: _payment,
    lane_pb2.METHOD_LIST_PAYMENTS: _payments,
    lane_pb2.METHOD_GET_ACCOUNT: _account,
    # A user may have accounts in every region.
    lane_pb2.METHOD_LIST_ACCOUNTS: lambda _request, _region: EVERYWHERE,
    lane_pb2.METHOD_LIST_TRANSFERS: _account,
    lane_pb2.METHOD_GET_BALANCE_AT: _account,
    lane_pb2.METHOD_GET_MERCHANT: _by("merchant_id"),
    lane_pb2.METHOD_GET_REQUEST: lambda _request, _region: EVERYWHERE,
}
assert set(ROUTES) == set(methods.BY_NUMBER)
WITH_REGION: Final = frozenset({lane_pb2.METHOD_CREATE_ACCOUNT, lane_pb2.METHOD_CREATE_MERCHANT})
"""Methods whose request may name a region."""

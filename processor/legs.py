"""How a leg is written down: a JSON object with named fields, stored and carried as it is.

A field that is not known is passed over and one that is missing is empty, so that shards of
neighbouring versions understand each other.
"""

from typing import Final

import msgspec

from processor.domain.accounts import Account
from processor.domain.fees import FeeSchedule
from processor.domain.legs import Leg
from processor.domain.merchants import Merchant, Terms


class Unreadable(ValueError):
    """What came is not a leg."""


class _Terms(msgspec.Struct):
    currency: str
    account_id: str
    basis_points: int
    fixed: int
    refund_policy: str


class _Merchant(msgspec.Struct):
    id: str
    tenant_id: str
    reference: str
    display_name: str
    state: str
    settlement_terms: list[_Terms]
    version: int
    created_at: int
    updated_at: int


class _Leg(msgspec.Struct, omit_defaults=True):
    source: str
    destination: str
    number: int
    kind: str
    created_at: int
    tenant_id: str
    account_id: str = ""
    remote_account_id: str = ""
    amount: int = 0
    currency: str = ""
    fee: int = 0
    transfer_id: str = ""
    payment_id: str = ""
    refund_id: str = ""
    description: str = ""
    reason: str = ""
    concerning: int = 0
    buckets: tuple[int, int] | None = None
    copied: str = ""
    account: Account | None = None
    hops: tuple[tuple[str, int], ...] = ()
    merchant: _Merchant | None = None


assert _Leg.__struct_fields__ == Leg._fields
assert _Merchant.__struct_fields__ == Merchant._fields

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(_Leg).decode


def encode(leg: Leg) -> str:
    """Return the text of a leg."""
    merchant = None if leg.merchant is None else _written(leg.merchant)
    return _encode(_Leg(*leg[:-1], merchant)).decode()


def decode(text: str) -> Leg:
    """Return the leg of a text. Raises Unreadable."""
    try:
        record = _decode(text)
    except msgspec.MsgspecError as error:
        raise Unreadable(str(error)) from error
    merchant = None if record.merchant is None else _read(record.merchant)
    return Leg._make((*msgspec.structs.astuple(record)[:-1], merchant))


def _written(merchant: Merchant) -> _Merchant:
    terms = [
        _Terms(one.currency, one.account_id, *one.fee_schedule) for one in merchant.settlement_terms
    ]
    return _Merchant(
        merchant.id,
        merchant.tenant_id,
        merchant.reference,
        merchant.display_name,
        merchant.state,
        terms,
        merchant.version,
        merchant.created_at,
        merchant.updated_at,
    )


def _read(record: _Merchant) -> Merchant:
    terms = tuple(
        Terms(
            one.currency,
            one.account_id,
            FeeSchedule(one.basis_points, one.fixed, one.refund_policy),
        )
        for one in record.settlement_terms
    )
    return Merchant(
        record.id,
        record.tenant_id,
        record.reference,
        record.display_name,
        record.state,
        terms,
        record.version,
        record.created_at,
        record.updated_at,
    )

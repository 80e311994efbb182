"""Request fingerprints (R14): which fields of a request say what the caller wants.

The same request_id with an equal fingerprint is the same request, whatever the SDK that wrote its
bytes. A default that is spelled out equals one that is left away.

Layout: version, method, 16 bytes of BLAKE2b over all fields, then 4 bytes of CRC for each field,
with which a caller who reuses a request_id is told what differs.
"""

from collections.abc import Callable
from hashlib import blake2b
from struct import Struct
from typing import Any, Final
from zlib import crc32

from google.protobuf.message import Message

from tender.v1 import account_pb2, lane_pb2, merchant_pb2, payment_pb2

Encode = Callable[[Any], bytes]
Fields = tuple[tuple[str, Encode], ...]

VERSION: Final = 1
_DIGEST_SIZE: Final = 16
_HEAD_SIZE: Final = 2 + _DIGEST_SIZE
_HOLD_DURATION_DEFAULT: Final = b"604800"
_UNSET: Final = b""

_AUTOMATIC: Final = payment_pb2.CAPTURE_METHOD_AUTOMATIC
_CONSUMER_WALLET: Final = account_pb2.Account.KIND_CONSUMER_WALLET
_KEEP: Final = merchant_pb2.FEE_REFUND_POLICY_KEEP


def _text(name: str) -> Encode:
    return lambda request: getattr(request, name).encode()


def _integer(name: str) -> Encode:
    return lambda request: b"%d" % getattr(request, name)


def _integer_or(name: str, default: int) -> Encode:
    return lambda request: b"%d" % (getattr(request, name) or default)


def _amount_units(request: Any) -> bytes:
    return b"%d" % request.amount.minor_units if request.HasField("amount") else _UNSET


def _amount_currency(request: Any) -> bytes:
    return request.amount.currency_code.encode() if request.HasField("amount") else _UNSET


def _hold_duration(request: Any) -> bytes:
    """Automatic capture does not use it: whatever stands there is as good as the default."""
    if (request.capture_method or _AUTOMATIC) == _AUTOMATIC:
        return _HOLD_DURATION_DEFAULT
    seconds = request.hold_duration_seconds
    return b"%d" % seconds if seconds else _HOLD_DURATION_DEFAULT


def _pairs(request: Any) -> bytes:
    pairs = request.metadata
    return _joined([part.encode() for key in sorted(pairs) for part in (key, pairs[key])])


def _settlement_terms(terms: Any) -> bytes:
    """One per currency, so their order says nothing."""
    return _joined(
        [
            _joined(
                [
                    term.currency_code.encode(),
                    term.account_id.encode(),
                    b"%d" % term.fee_schedule.basis_points,
                    b"%d" % term.fee_schedule.fixed_minor_units,
                    b"%d" % (term.fee_schedule.refund_policy or _KEEP),
                ]
            )
            for term in sorted(terms, key=lambda term: (term.currency_code, term.account_id))
        ]
    )


def _mask(request: Any) -> bytes:
    return _joined([path.encode() for path in sorted(set(request.update_mask.paths))])


def _masked(path: str, encode: Encode) -> Encode:
    return lambda request: encode(request.merchant) if path in request.update_mask.paths else _UNSET


_AMOUNT: Final[Fields] = (
    ("amount.minor_units", _amount_units),
    ("amount.currency_code", _amount_currency),
)
_ACCOUNT: Final[Fields] = (("account_id", _text("account_id")),)

# The order and the names are part of the version: a change here is a new version.
FIELDS: Final[dict[int, Fields]] = {
    lane_pb2.METHOD_AUTHORIZE_PAYMENT: (
        ("payer_account_id", _text("payer_account_id")),
        ("merchant_id", _text("merchant_id")),
        *_AMOUNT,
        ("capture_method", _integer_or("capture_method", _AUTOMATIC)),
        ("hold_duration_seconds", _hold_duration),
        ("description", _text("description")),
        ("metadata", _pairs),
    ),
    lane_pb2.METHOD_CAPTURE_PAYMENT: (
        ("payment_id", _text("payment_id")),
        *_AMOUNT,
        ("final", _integer("final")),
    ),
    lane_pb2.METHOD_VOID_PAYMENT: (("payment_id", _text("payment_id")),),
    lane_pb2.METHOD_REFUND_PAYMENT: (
        ("payment_id", _text("payment_id")),
        *_AMOUNT,
        ("description", _text("description")),
    ),
    lane_pb2.METHOD_REVERSE_PAYMENT: (
        ("original_request_id", _text("original_request_id")),
        ("payer_account_id", _text("payer_account_id")),
        ("merchant_id", _text("merchant_id")),
    ),
    lane_pb2.METHOD_CREATE_ACCOUNT: (
        ("user_id", _text("user_id")),
        ("kind", _integer_or("kind", _CONSUMER_WALLET)),
        ("currency_code", _text("currency_code")),
        ("floor_minor_units", _integer("floor_minor_units")),
        ("region", _text("region")),
    ),
    lane_pb2.METHOD_FREEZE_ACCOUNT: _ACCOUNT,
    lane_pb2.METHOD_UNFREEZE_ACCOUNT: _ACCOUNT,
    lane_pb2.METHOD_CLOSE_ACCOUNT: _ACCOUNT,
    lane_pb2.METHOD_CREATE_TRANSFER: (
        ("source_account_id", _text("source_account_id")),
        ("destination_account_id", _text("destination_account_id")),
        *_AMOUNT,
        ("description", _text("description")),
    ),
    lane_pb2.METHOD_CREATE_MERCHANT: (
        ("reference", _text("reference")),
        ("display_name", _text("display_name")),
        ("settlement_terms", lambda request: _settlement_terms(request.settlement_terms)),
        ("region", _text("region")),
    ),
    lane_pb2.METHOD_UPDATE_MERCHANT: (
        ("merchant.id", lambda request: request.merchant.id.encode()),
        ("update_mask", _mask),
        ("merchant.display_name", _masked("display_name", _text("display_name"))),
        ("merchant.state", _masked("state", _integer("state"))),
        (
            "merchant.settlement_terms",
            _masked(
                "settlement_terms", lambda merchant: _settlement_terms(merchant.settlement_terms)
            ),
        ),
    ),
}
_HEADS: Final = {method: bytes((VERSION, method)) for method in FIELDS}
_ENCODERS: Final = {
    method: tuple(encode for _, encode in fields) for method, fields in FIELDS.items()
}
# One unsigned 32-bit number for each field.
_NUMBERS: Final = {method: Struct(f">{len(fields)}I") for method, fields in FIELDS.items()}

_AUTHORIZATION: Final[int] = lane_pb2.METHOD_AUTHORIZE_PAYMENT
_pack_authorization: Final = _NUMBERS[lane_pb2.METHOD_AUTHORIZE_PAYMENT].pack
_METHOD_TEXTS: Final = tuple(b"%d" % number for number in range(4))


def fingerprint(method: int, request: Message) -> bytes:
    """Return what tells this request from every other one, request_id left aside."""
    head = _HEADS[method]
    pack = _NUMBERS[method].pack
    parts = [encode(request) for encode in _ENCODERS[method]]
    # All lengths first: no two lists of parts give the same bytes.
    content = b"".join((head, pack(*map(len, parts)), *parts))
    digest = blake2b(content, digest_size=_DIGEST_SIZE).digest()
    return head + digest + pack(*map(crc32, parts))


def of_authorization(
    payer_account_id: str,
    merchant_id: str,
    minor_units: int,
    currency_code: str,
    capture_method: int,
    hold_duration_seconds: int,
    description: str,
) -> bytes:
    """Return the fingerprint of an authorization without metadata, whose amount is given.

    The same bytes as `fingerprint`, at half the cost: every payment pays for it.
    """
    method = capture_method or _AUTOMATIC
    hold = b"%d" % hold_duration_seconds if method != _AUTOMATIC and hold_duration_seconds else b""
    payer, merchant = payer_account_id.encode(), merchant_id.encode()
    amount, currency = b"%d" % minor_units, currency_code.encode()
    kind = _METHOD_TEXTS[method] if method < len(_METHOD_TEXTS) else b"%d" % method
    hold = hold or _HOLD_DURATION_DEFAULT
    text = description.encode()
    # Spelled out, since a list of parts that is walked thrice costs as much as the digest.
    lengths = _pack_authorization(
        len(payer), len(merchant), len(amount), len(currency), len(kind), len(hold), len(text), 0
    )
    head = _HEADS[_AUTHORIZATION]
    content = b"".join((head, lengths, payer, merchant, amount, currency, kind, hold, text))
    sums = _pack_authorization(
        crc32(payer),
        crc32(merchant),
        crc32(amount),
        crc32(currency),
        crc32(kind),
        crc32(hold),
        crc32(text) if text else 0,
        0,
    )
    return b"".join((head, blake2b(content, digest_size=_DIGEST_SIZE).digest(), sums))


def differing_fields(stored: bytes, method: int, request: Message) -> list[str]:
    """Return the names of fields that differ from the stored request; empty when none does."""
    if stored[0] != VERSION:
        raise ValueError(f"unknown fingerprint version {stored[0]}")
    if stored[1] != method:
        return ["method"]
    fresh = fingerprint(method, request)
    if stored == fresh:
        return []
    names = [name for name, _ in FIELDS[method]]
    unpack = _NUMBERS[method].unpack
    crcs = zip(names, unpack(stored[_HEAD_SIZE:]), unpack(fresh[_HEAD_SIZE:]), strict=True)
    # The digests differ: should every checksum collide, any field may be the one.
    return [name for name, before, now in crcs if before != now] or names


def _joined(parts: list[bytes]) -> bytes:
    """Join parts of any number so that no two lists give the same bytes."""
    return b"".join([b"%d:%b" % (len(part), part) for part in parts])

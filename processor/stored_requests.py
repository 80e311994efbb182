"""What is stored of a call that changed something, as callers see it."""

from typing import Final

from processor import answers
from processor.domain.reads import StoredRequest
from processor.domain.view import TOMBSTONE
from tender.v1 import lane_pb2, request_pb2

_State = request_pb2.StoredRequest.State

FIELDS: Final = {
    "AUTHORIZE_PAYMENT": "authorized",
    "CAPTURE_PAYMENT": "captured",
    "VOID_PAYMENT": "voided",
    "REFUND_PAYMENT": "refunded",
    "REVERSE_PAYMENT": "reversed",
    "CREATE_ACCOUNT": "account_created",
    "FREEZE_ACCOUNT": "account_frozen",
    "UNFREEZE_ACCOUNT": "account_unfrozen",
    "CLOSE_ACCOUNT": "account_closed",
    "CREATE_TRANSFER": "transferred",
    "CREATE_MERCHANT": "merchant_created",
    "UPDATE_MERCHANT": "merchant_updated",
}
"""Where the answer to each method stands."""
assert {f"METHOD_{name}" for name in FIELDS} <= set(lane_pb2.Method.keys())


def message(request_id: str, stored: StoredRequest, shard: str) -> request_pb2.StoredRequest:
    """Return a stored request with its answer; a tombstone has none."""
    found = request_pb2.StoredRequest(
        request_id=request_id,
        shard=shard,
        create_time=answers.timestamp(stored.created_at),
        resource_id=stored.resource_id,
    )
    if stored.method == TOMBSTONE:
        # What a tombstone leads to is who may fulfil it, and no resource.
        found.resource_id = ""
        found.state = _State.STATE_REVERSED_BEFORE_ARRIVAL
        return found
    found.state = _State.STATE_ANSWERED
    found.method = stored.method.title().replace("_", "")
    found.fingerprint = stored.fingerprint.hex()
    getattr(found, FIELDS[stored.method]).ParseFromString(stored.outcome)
    return found

"""What answers mean to a load: paid, declined, failed, or two payments for one request_id."""

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

import tender
from loadtest.tally import DUPLICATE
from tender import errors
from tender.v1 import payment_pb2

REPLAY_DIFFERS = "replay_differs"
"""The error of a repeated call that names the same payment but is another answer."""

DECLINED = tender.Payment.STATE_DECLINED
PAID = frozenset({tender.Payment.STATE_CAPTURED, tender.Payment.STATE_AUTHORIZED})

parse = payment_pb2.AuthorizePaymentResponse.FromString


class Failure(Exception):
    """What Locust lists among the failures; calls that failed alike are one line there."""


def reason_of(error: grpc.RpcError) -> str:
    """Return code and reason of a failed call."""
    failure = errors.read(error)
    return f"{failure.code.name} {failure.reason}"


def reason_in(status: Status) -> str:
    """Return the reason in the error of one command of a bulk call."""
    for detail in status.details:
        if detail.Is(ErrorInfo.DESCRIPTOR):
            info = ErrorInfo()
            detail.Unpack(info)
            return info.reason
    return f"code {status.code}"


def compare(first: bytes, again: bytes) -> str | None:
    """Return what is wrong with the answers to one request_id: both must say the same."""
    if first == again:
        return None
    one, other = parse(first), parse(again)
    if one.payment.id != other.payment.id:
        return DUPLICATE
    return None if one == other else REPLAY_DIFFERS

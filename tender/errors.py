"""What a call raises: a refusal that is final, or an outcome that nobody can tell."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import (
    BadRequest,
    ErrorInfo,
    RetryInfo,
)
from google.rpc.status_pb2 import Status

DOMAIN = "tender"
DETAILS_KEY = "grpc-status-details-bin"

# After these nobody can tell whether the call was carried out, unless it only reads.
UNKNOWN_CODES = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DATA_LOSS,
    }
)
# Answered at the edge, before anyone has looked the request_id up: they speak of the attempt that
# they answer, and say nothing about an earlier one that got no answer.
EDGE_CODES = frozenset(
    {
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field of the request that was refused, and why."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt as the other side described it."""

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    field_violations: tuple[FieldViolation, ...] = ()
    # Whether Tender said it; proxies, load balancers and gRPC itself make errors too.
    ours: bool = False
    # Seconds until the server expects another attempt to succeed.
    retry_delay: float | None = None


class TenderError(Exception):
    """A call was not answered with a result."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.reason}: {failure.message}")
        self.reason = failure.reason
        self.code = failure.code
        self.message = failure.message
        self.metadata = dict(failure.metadata)
        self.field_violations = failure.field_violations
        self.retry_delay = failure.retry_delay


class Refused(TenderError):
    """The call was not carried out. `final` is False when only the same call later can tell."""

    @property
    def final(self) -> bool:
        return self.code not in UNKNOWN_CODES


class InvalidArgument(Refused):
    """The request is wrong in itself; see field_violations."""


class NotFound(Refused):
    """No such account, payment or merchant, or not yours."""


class Unauthenticated(Refused):
    """The API key is missing or wrong."""


class PermissionDenied(Refused):
    """The API key lacks a scope."""


class PreconditionFailed(Refused):
    """The state of an account, payment or merchant does not allow it."""


class PaymentStateRefused(PreconditionFailed):
    """The payment is in a state from which this is not possible."""


class AlreadyExists(Refused):
    """Something of this name exists already."""


class RequestIdReused(AlreadyExists):
    """The request_id belongs to another request; metadata names the fields that differ."""


class Overloaded(Refused):
    """More was asked than is served at the moment; nothing was carried out."""


class Unavailable(Refused):
    """A read got no answer; repeat it."""


class OutcomeUnknown(TenderError):
    """No answer came: the call may have been carried out. Repeat it with the same request_id, or
    reverse the payment by it."""

    def __init__(self, failure: Failure, request_id: str) -> None:
        super().__init__(failure)
        self.request_id = request_id
        self.add_note(f"Repeat the call with request_id={request_id!r}, or reverse it.")


BY_REASON: dict[str, type[Refused]] = {
    "MESSAGE_TOO_LARGE": InvalidArgument,
    "REQUEST_ID_REUSED": RequestIdReused,
    "PAYMENT_STATE": PaymentStateRefused,
}
BY_CODE: dict[grpc.StatusCode, type[Refused]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.FAILED_PRECONDITION: PreconditionFailed,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    **dict.fromkeys(UNKNOWN_CODES, Unavailable),
}


def refused(failure: Failure) -> Refused:
    kind = BY_REASON.get(failure.reason) or BY_CODE.get(failure.code, Refused)
    return kind(failure)


def read(error: grpc.RpcError) -> Failure:
    """Reads google.rpc.Status from an error of either kind of channel."""
    # Every error that a channel raises is a call as well; only the types do not say so.
    call = cast(grpc.Call, error)
    code, message = call.code(), call.details() or ""
    status = _status(call)
    if status is None:
        return Failure(code, message, reason=code.name)
    return _failure(code, message, status)


def read_status(status: Status) -> Failure:
    """Reads the error of one command of a bulk call."""
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    return _failure(code, status.message, status)


_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _failure(code: grpc.StatusCode, message: str, status: Status) -> Failure:
    info, bad_request, retry_info = ErrorInfo(), BadRequest(), RetryInfo()
    for detail in status.details:
        for known in (info, bad_request, retry_info):
            detail.Unpack(known)
    delay = retry_info.retry_delay
    return Failure(
        code,
        message,
        reason=info.reason if info.domain == DOMAIN else code.name,
        ours=info.domain == DOMAIN,
        metadata=dict(info.metadata),
        field_violations=tuple(
            FieldViolation(each.field, each.description) for each in bad_request.field_violations
        ),
        retry_delay=delay.seconds + delay.nanos / 1e9
        if retry_info.HasField("retry_delay")
        else None,
    )


def _status(call: grpc.Call) -> Status | None:
    metadata: Any = call.trailing_metadata() or ()
    for key, value in metadata:
        if key == DETAILS_KEY:
            try:
                return Status.FromString(value)
            except DecodeError:
                return None
    return None

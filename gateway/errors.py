"""Refusals: how one is raised, and the google.rpc.Status that a caller gets. See reasons.py."""

import functools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from gateway import reasons
from kit import logs
from tender.v1 import lane_pb2

DOMAIN: Final = "tender"
REASONS: Final = reasons.REASONS
_TEXT_LENGTH_MAX: Final = 300
_METADATA_PAIRS_MAX: Final = 10
_PLAIN_STATUSES_MAX: Final = 512


@dataclass(frozen=True, slots=True)
class Violation:
    """A field that is not valid; the text is fixed and never repeats the value."""

    field: str
    description: str
    reason: str = "FIELD_INVALID"


class Refused(Exception):
    """The call is not carried out. One class for all: reasons also come as text from the lane."""

    def __init__(
        self,
        reason: str,
        *,
        message: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_delay_ms: int = 0,
    ) -> None:
        row = REASONS[reason]
        super().__init__(reason)
        self.reason = reason
        self.code = row.code
        self.message = message or row.sentence
        self.metadata = metadata or {}
        self.violations = violations[: reasons.VIOLATIONS_MAX]
        self.retry_delay_ms = retry_delay_ms or row.retry_delay_ms

    def status(self) -> status_pb2.Status:
        """Return the refusal as a client reads it."""
        details: list[Message] = [
            error_details_pb2.ErrorInfo(
                reason=self.reason, domain=DOMAIN, metadata=dict(self.metadata)
            )
        ]
        if self.violations:
            details.append(
                error_details_pb2.BadRequest(
                    field_violations=[
                        error_details_pb2.BadRequest.FieldViolation(
                            field=violation.field, description=violation.description
                        )
                        for violation in self.violations
                    ]
                )
            )
        if self.retry_delay_ms:
            delay = duration_pb2.Duration()
            delay.FromMilliseconds(self.retry_delay_ms)
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        return status_pb2.Status(
            code=self.code.value[0],
            message=self.message,
            details=[_packed(detail) for detail in details],
        )

    def encoded(self) -> bytes:
        """Return the status, serialized."""
        if self.metadata or self.violations:
            return self.status().SerializeToString()
        return _plain_status(self.reason, self.message, self.retry_delay_ms)


# Many callers are refused for the same reason at once, above all when there is too much to do.
@functools.lru_cache(maxsize=_PLAIN_STATUSES_MAX)
def _plain_status(reason: str, message: str, retry_delay_ms: int) -> bytes:
    refused = Refused(reason, message=message, retry_delay_ms=retry_delay_ms)
    return refused.status().SerializeToString()


def encoded_refusal(refusal: lane_pb2.Refusal) -> bytes:
    """Return what the processor refused as a google.rpc.Status, serialized."""
    if refusal.metadata or refusal.field_problems:
        return from_refusal(refusal).encoded()
    return _plain_refusal(refusal.reason, refusal.message, refusal.retry_delay_ms)


@functools.lru_cache(maxsize=_PLAIN_STATUSES_MAX)
def _plain_refusal(reason: str, message: str, retry_delay_ms: int) -> bytes:
    refusal = lane_pb2.Refusal(reason=reason, message=message, retry_delay_ms=retry_delay_ms)
    return from_refusal(refusal).encoded()


def from_refusal(refusal: lane_pb2.Refusal) -> Refused:
    """Translate what the processor refused; a reason outside the catalogue is a fault of ours."""
    if refusal.reason not in REASONS:
        raise UnknownReason(refusal.reason)
    pairs = list(refusal.metadata.items())[:_METADATA_PAIRS_MAX]
    return Refused(
        refusal.reason,
        message=_presentable(refusal.message),
        metadata={_presentable(key): _presentable(value) for key, value in pairs},
        violations=[
            Violation(_presentable(problem.field), _presentable(problem.description))
            for problem in refusal.field_problems
        ],
        retry_delay_ms=max(refusal.retry_delay_ms, 0),
    )


class UnknownReason(Exception):
    """The processor refused with a reason that the catalogue does not have."""


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def _presentable(text: str) -> str:
    return logs.redact(text[:_TEXT_LENGTH_MAX])


if __name__ == "__main__":
    sys.stdout.write(reasons.catalogue())

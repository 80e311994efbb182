"""Refusals: how one is raised, and the google.rpc.Status that a caller gets. See reasons.py."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Never, Protocol

from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from gateway import reasons
from kit import logs
from tender.v1 import lane_pb2

DOMAIN: Final = "tender"
REASONS: Final = reasons.REASONS
_TEXT_LENGTH_MAX: Final = 300
_METADATA_PAIRS_MAX: Final = 10


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


class AbortingContext(Protocol):
    """The part of a servicer's context that a refusal needs."""

    async def abort_with_status(self, status: Any) -> Never: ...


async def abort(context: AbortingContext, refused: Refused) -> Never:
    await context.abort_with_status(rpc_status.to_status(refused.status()))


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def _presentable(text: str) -> str:
    return logs.redact(text[:_TEXT_LENGTH_MAX])


if __name__ == "__main__":
    sys.stdout.write(reasons.catalogue())

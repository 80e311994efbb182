"""A command on its way through the lane, and the reply it gets."""

import secrets
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import structlog
from google.protobuf.message import Message

from processor.domain import commands
from processor.domain.refusals import Refused

log = structlog.get_logger()

QUEUE_RETRY_MS: Final = 100
"""Retry hint when the queue is full: a few hundred batches later."""

UNAVAILABLE_RETRY_MS: Final = 500
"""Retry hint while the shard is away: about the time a Postgres restart takes."""

IN_PROGRESS_RETRY_MS: Final = 50
"""Retry hint for a second call while the first with the same request_id is still running."""


class Reply(NamedTuple):
    """The answer to a command: a public response, or a refusal by its reason."""

    response: bytes = b""
    reason: str = ""
    message: str = ""
    metadata: Mapping[str, str] = {}
    retry_delay_ms: int = 0
    replayed: bool = False
    declined: bool = False

    @property
    def outcome(self) -> str:
        """What became of the command, for the metrics."""
        if self.reason:
            return self.reason
        if self.replayed:
            return "replayed"
        return "declined" if self.declined else "ok"


def refusal(error: Refused) -> Reply:
    """Return the reply to a refused command; the exception's docstring is the message."""
    return Reply(
        reason=error.reason, message=error.__doc__ or error.reason, metadata=error.metadata
    )


QUEUE_FULL: Final = Reply(
    reason="LANE_QUEUE_FULL",
    message="The lane's queue is full; nothing was done.",
    retry_delay_ms=QUEUE_RETRY_MS,
)
SHARD_UNAVAILABLE: Final = Reply(
    reason="SHARD_UNAVAILABLE",
    message="The shard cannot be reached at the moment.",
    retry_delay_ms=UNAVAILABLE_RETRY_MS,
)
OUTCOME_UNKNOWN: Final = Reply(
    reason="OUTCOME_UNKNOWN",
    message="The outcome is unknown; repeat the call with the same request_id.",
    retry_delay_ms=UNAVAILABLE_RETRY_MS,
)
IN_PROGRESS: Final = Reply(
    reason="REQUEST_IN_PROGRESS",
    message="The first call with this request_id is still running.",
    retry_delay_ms=IN_PROGRESS_RETRY_MS,
)
MOVED: Final = Reply(
    reason="LANE_MOVED",
    message="The lane is given up; its successor answers what is sent again.",
)
"""Told to nobody outside: a gateway gets no answer, its stream ends, and it sends the command to
the lane's next owner. So it is right for commands whose fate is unknown too."""

LEG_WAITS: Final = "LEG_WAITS"
"""Reason for which a leg is not taken yet: its bucket is on its way. Told to couriers alone."""

COPY_STANDS: Final = "COPY_STANDS"
"""Reason for which copies are not taken: they do not continue what is here. Told to movers."""

LEG_GAP: Final = "LEG_GAP"
"""Reason for which a leg is not taken: one before it is missing. Told to couriers alone."""

DEADLINE_PASSED: Final = Reply(
    reason="DEADLINE_PASSED",
    message="The deadline passed before the command was decided; nothing was done.",
)


class Entry:
    """One command from admission to reply."""

    __slots__ = (
        "attempts",
        "awaiting",
        "background",
        "bulk",
        "command",
        "deadline",
        "decided",
        "fingerprint",
        "method",
        "method_name",
        "order_key",
        "reply",
        "request",
        "request_key",
        "size",
        "uncertain",
    )

    def __init__(
        self,
        command: commands.Command,
        reply: Callable[[Reply], None],
        *,
        method: int = 0,
        method_name: str = "",
        request: Message | None = None,
        fingerprint: bytes = b"",
        size: int = 0,
        deadline: float = float("inf"),
        bulk: bool = False,
        background: bool = False,
    ) -> None:
        self.command = command
        self.reply = reply
        self.method = method
        self.method_name = method_name
        self.request = request
        self.fingerprint = fingerprint
        self.size = size
        self.deadline = deadline  # Of the monotonic clock, in seconds.
        self.bulk = bulk  # It gives way to single calls.
        self.background = background  # Nobody waits for it: it gives way to all others.
        self.awaiting = 0  # Loads that are under way.
        self.attempts = 0  # Batches that failed with this command in them.
        self.decided = False  # It is in a batch that is not committed yet.
        self.uncertain = False  # It was in a batch whose fate is unknown.
        # Tenant and request_id, and what orders the command; of the lane's own only legs have one.
        self.request_key: tuple[str, str] | None = None
        self.order_key = ""
        if not isinstance(command, commands.OwnCommand):
            self.request_key = (command.principal.tenant_id, command.request_id)
            self.order_key = command.order_key
        elif isinstance(command, commands.ReceiveLeg | commands.TakeCopies):
            self.order_key = command.order_key


def internal_error(entry: Entry, error: BaseException) -> Reply:
    """Log a failure of our own, and return a reply that says nothing but its id."""
    tenant_id, request_id = entry.request_key or ("", "")
    return _failed(error, method=entry.method_name, tenant_id=tenant_id, request_id=request_id)


def untranslatable(method: str, error: BaseException) -> Reply:
    """Reply to a command that the gateway should not have sent."""
    return _failed(error, method=method)


def _failed(error: BaseException, **fields: str) -> Reply:
    error_id = secrets.token_hex(8)
    log.error("command_failed", error_id=error_id, **fields, exc_info=error)
    return Reply(
        reason="INTERNAL",
        message="An internal error occurred.",
        metadata={"error_id": error_id},
    )

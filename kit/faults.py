"""What happens to an exception nobody expected: it is logged once, and only its id is told."""

import asyncio
import secrets
from typing import Final

from kit import logs, metrics

INTERNAL_SENTENCE: Final = "Something went wrong inside; the operator finds it by its error id."

_log = logs.logger()


def record(server: str, method: str, error: BaseException) -> str:
    """Log an exception and return the id under which it is found."""
    error_id = secrets.token_hex(8)
    metrics.INTERNAL_ERRORS.labels(server).inc()
    _log.error("unexpected_error", error_id=error_id, method=method, exc_info=error)
    return error_id


def cancelled_from_within() -> bool:
    """Say whether a CancelledError came from something awaited and not from the RPC's own end.

    grpc cancels the task of an RPC whose client left or whose deadline passed. If it did not, the
    client still waits, and grpc would never answer it.
    """
    task = asyncio.current_task()
    return task is None or task.cancelling() == 0

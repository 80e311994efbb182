"""When a failed attempt is worth another, always with the same request_id."""

from dataclasses import dataclass

import grpc

from tender import errors

# Status texts of messages that are too large; sending them again cannot help.
TOO_LARGE = "larger than max"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon a call is repeated. The defaults ride out the five seconds in which a
    killed processor comes back, within the default timeout."""

    # The first attempt included.
    attempts_max: int = 10
    # One lost connection must not use up the whole timeout.
    attempt_timeout: float = 4.0
    delay_first: float = 0.05
    delay_max: float = 2.0

    def __post_init__(self) -> None:
        if self.attempts_max < 1 or min(self.attempt_timeout, self.delay_first) <= 0:
            raise ValueError("attempts_max, attempt_timeout and delay_first are above zero")


CHANNEL_CLOSED = "Channel closed!"  # What gRPC says of calls whose own channel was closed.
NO_RETRIES = RetryPolicy(attempts_max=1, attempt_timeout=float("inf"))


def is_retried(failure: errors.Failure) -> bool:
    """Whether another attempt may bring the answer, or do no harm if the first one did."""
    match failure.code:
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.DEADLINE_EXCEEDED:
            return True
        case grpc.StatusCode.CANCELLED:
            # A server that stops answers so what came too late. A caller's own cancelling does not
            # come here: nobody waits for that call any more, or it closed the channel.
            return CHANNEL_CLOSED not in failure.message
        case grpc.StatusCode.ABORTED:
            return failure.reason == "REQUEST_IN_PROGRESS"
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            overload_of_grpc = not failure.ours and TOO_LARGE not in failure.message
            return failure.retry_delay is not None or overload_of_grpc
        case _:
            return False


def is_ambiguous(failure: errors.Failure) -> bool:
    """Whether the attempt may have been carried out: whatever Tender itself has not refused."""
    if failure.code in errors.UNKNOWN_CODES:
        return True
    return not failure.ours and failure.code is not grpc.StatusCode.UNIMPLEMENTED


class Budget:
    """What one call may still spend: attempts, and time until its deadline."""

    __slots__ = ("_ambiguous", "_attempts", "_deadline", "_policy", "_request_id")

    def __init__(
        self, policy: RetryPolicy, timeout: float, now: float, request_id: str | None
    ) -> None:
        self._policy = policy
        self._deadline = now + timeout
        self._request_id = request_id
        self._attempts = 1
        # Whether an attempt may have been carried out without an answer.
        self._ambiguous = False

    def attempt_timeout(self, now: float) -> float:
        return max(min(self._policy.attempt_timeout, self._deadline - now), 0.0)

    def delay_after(self, failure: errors.Failure, now: float, jitter: float) -> float:
        """Seconds to wait before the next attempt; raises what the caller gets if there is none.

        `jitter` is random from 0 to 1.
        """
        self._ambiguous |= is_ambiguous(failure)
        delay = self._delay(failure, jitter)
        over = self._attempts >= self._policy.attempts_max or now + delay >= self._deadline
        if over or not is_retried(failure):
            raise self._verdict(failure)
        self._attempts += 1
        return delay

    def _delay(self, failure: errors.Failure, jitter: float) -> float:
        backoff = min(
            self._policy.delay_first * 2.0 ** (self._attempts - 1), self._policy.delay_max
        )
        # The server's hint is the least; the jitter above it keeps clients from coming in step.
        if failure.retry_delay is not None:
            return failure.retry_delay + backoff * jitter / 2
        return backoff * (1 + jitter) / 2

    def _verdict(self, failure: errors.Failure) -> errors.TenderError:
        if self._request_id is None:
            return errors.refused(failure)
        # An answer from the edge says nothing of an earlier attempt that got none.
        if is_ambiguous(failure) or (self._ambiguous and failure.code in errors.EDGE_CODES):
            return errors.OutcomeUnknown(failure, self._request_id)
        return errors.refused(failure)

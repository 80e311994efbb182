"""What becomes of payment commands that are sent many at a time; knows nothing of connections.

`Batch` is for calls of AuthorizePayments, `Flight` for a stream. Both decide, command by command,
what is sent, sent again, answered or given up.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import grpc

from tender import errors, payments, retries
from tender.calls import Answer, Call
from tender.errors import Failure
from tender.v1 import payment_pb2 as pb

COMMANDS_MAX = 1_000  # Of a message, by the contract.
MESSAGE_BYTES_MAX = 960 * 1024  # The contract's 1 MiB, less what frames each command.
T = TypeVar("T")

# The field of PaymentCommand for each method, and that of PaymentOutcome.
FIELDS = {
    payments.AUTHORIZE.path: ("authorize", "authorized"),
    payments.CAPTURE.path: ("capture", "captured"),
    payments.VOID.path: ("void", "voided"),
    payments.REFUND.path: ("refund", "refunded"),
    payments.REVERSE.path: ("reverse", "reversed"),
}
BudgetOf = Callable[[Call[Any]], retries.Budget]


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Answer]):
    """What became of one command: an answer or an error."""

    request_id: str
    # What the single call would have returned; None if it would have raised.
    answer: Answer | None
    # What the single call would have raised.
    error: errors.TenderError | None = None
    # The answer is that of an earlier call with the same request_id.
    replayed: bool = False

    def result(self) -> Answer:
        """Returns the answer or raises the error, as the single call would have done."""
        if self.error is not None:
            raise self.error
        assert self.answer is not None
        return self.answer


@dataclass(slots=True)
class Sending(Generic[T]):
    """A command from its call to its outcome; `owner` is whoever waits for that."""

    call: Call[Any]
    budget: retries.Budget
    deadline: float
    owner: T
    is_sent: bool = False

    @property
    def request_id(self) -> str:
        assert self.call.request_id is not None
        return self.call.request_id

    def failed(self, failure: Failure, now: float, jitter: float) -> float | Outcome[Any]:
        """Returns the seconds until the next attempt, or the error if there is none."""
        try:
            return self.budget.delay_after(failure, now, jitter)
        except errors.TenderError as error:
            return Outcome(self.request_id, None, error)

    def settled(self, outcome: pb.PaymentOutcome, now: float, jitter: float) -> Any:
        """Returns the outcome, or the seconds until the next attempt."""
        result = outcome.WhichOneof("result")
        if result == "error":
            return self.failed(errors.read_status(outcome.error), now, jitter)
        if result != FIELDS[self.call.method.path][1]:
            return self.failed(_UNREADABLE, now, jitter)
        return Outcome(self.request_id, getattr(outcome, result), None, outcome.replayed)


_UNREADABLE = Failure(grpc.StatusCode.INTERNAL, "The outcome cannot be read.", "INTERNAL")
_EXPIRED = Failure(
    grpc.StatusCode.DEADLINE_EXCEEDED, "No outcome came in time.", "DEADLINE_EXCEEDED"
)


def chunks(calls: Iterable[Call[Answer]]) -> Iterator[list[Call[Answer]]]:
    """Splits calls so that each part fits into one message."""
    chunk: list[Call[Answer]] = []
    size = 0
    for call in calls:
        size_of_call = call.request.ByteSize()
        if chunk and (len(chunk) >= COMMANDS_MAX or size + size_of_call > MESSAGE_BYTES_MAX):
            yield chunk
            chunk, size = [], 0
        chunk.append(call)
        size += size_of_call
    if chunk:
        yield chunk


class Batch:
    """The authorizations of one call, and of its repetitions with those that are left."""

    def __init__(self, calls: Sequence[Call[pb.AuthorizePaymentResponse]], budget: BudgetOf):
        self._left = [Sending(call, budget(call), 0.0, index) for index, call in enumerate(calls)]
        self._found: dict[int, Outcome[pb.AuthorizePaymentResponse]] = {}

    def request(self) -> pb.AuthorizePaymentsRequest | None:
        """Returns what is to be sent; None when every authorization has its outcome."""
        if not self._left:
            return None
        return pb.AuthorizePaymentsRequest(
            requests=[_authorization(sending.call) for sending in self._left]
        )

    def attempt_timeout(self, now: float) -> float:
        return max(sending.budget.attempt_timeout(now) for sending in self._left)

    def answered(self, answer: pb.AuthorizePaymentsResponse, now: float, jitter: float) -> float:
        """Takes the outcomes of an attempt; returns the seconds until the next one."""
        if len(answer.outcomes) != len(self._left):
            return self.failed(_UNREADABLE, now, jitter)
        return self._note(
            sending.settled(outcome, now, jitter)
            for sending, outcome in zip(self._left, answer.outcomes, strict=True)
        )

    def failed(self, failure: Failure, now: float, jitter: float) -> float:
        """Takes the failure of an attempt; returns the seconds until the next one."""
        return self._note(sending.failed(failure, now, jitter) for sending in self._left)

    def outcomes(self) -> list[Outcome[pb.AuthorizePaymentResponse]]:
        """Returns the outcomes in the order of the calls."""
        return [self._found[index] for index in range(len(self._found))]

    def _note(self, results: Iterable[float | Outcome[Any]]) -> float:
        left, delay = [], 0.0
        for sending, result in zip(self._left, list(results), strict=True):
            if isinstance(result, Outcome):
                self._found[sending.owner] = result
            else:
                left.append(sending)
                delay = max(delay, result)
        self._left = left
        return delay


def _authorization(call: Call[Any]) -> pb.AuthorizePaymentRequest:
    if not isinstance(call.request, pb.AuthorizePaymentRequest):
        raise TypeError("authorize_many takes commands made with tender.commands.authorize")
    return call.request


class Flight(Generic[T]):
    """The commands of a stream that have no outcome yet, in the order in which they came."""

    def __init__(self, budget: BudgetOf, timeout: Callable[[Call[Any]], float], size_max: int):
        if not 1 <= size_max <= 100_000:
            raise ValueError(f"in_flight_max is 1 to 100000, not {size_max}")
        self._budget = budget
        self._timeout = timeout
        self._size_max = size_max
        self._sendings: dict[str, Sending[T]] = {}
        self._unsent: deque[str] = deque()
        self._later: list[tuple[float, int, str]] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._sendings)

    @property
    def has_room(self) -> bool:
        return len(self._sendings) < self._size_max

    def put(self, call: Call[Any], owner: T, now: float) -> None:
        """Adds a command; one at a time may be under way with a request_id."""
        if call.method.path not in FIELDS or call.request_id is None:
            raise TypeError("a stream takes commands made with tender.commands")
        if call.request_id in self._sendings:
            raise ValueError(f"request_id {call.request_id!r} is under way on this stream")
        deadline = now + self._timeout(call)
        self._sendings[call.request_id] = Sending(call, self._budget(call), deadline, owner)
        self._unsent.append(call.request_id)

    def next_due(self) -> float | None:
        """Returns when the next command is to be sent again."""
        return self._later[0][0] if self._later else None

    def message(self, now: float) -> pb.StreamPaymentsRequest | None:
        """Returns the next message to send, None if there is nothing to send."""
        while self._later and self._later[0][0] <= now:
            self._unsent.append(heapq.heappop(self._later)[2])
        message, size = pb.StreamPaymentsRequest(), 0
        while self._unsent and len(message.commands) < COMMANDS_MAX:
            sending = self._sendings.get(self._unsent[0])
            if sending is not None:
                size += sending.call.request.ByteSize()
                if message.commands and size > MESSAGE_BYTES_MAX:
                    break
                field = FIELDS[sending.call.method.path][0]
                getattr(message.commands.add(), field).CopyFrom(sending.call.request)
                sending.is_sent = True
            self._unsent.popleft()
        return message if message.commands else None

    def settle(
        self, outcome: pb.PaymentOutcome, now: float, jitter: float
    ) -> tuple[T, Outcome[Any]] | None:
        """Takes an outcome; returns it with its owner, or None if the command is sent again."""
        sending = self._sendings.get(outcome.request_id)
        if sending is None or not sending.is_sent:
            return None  # Given up before it came.
        result = sending.settled(outcome, now, jitter)
        if isinstance(result, Outcome):
            del self._sendings[outcome.request_id]
            return sending.owner, result
        sending.is_sent = False
        heapq.heappush(self._later, (now + result, next(self._numbers), outcome.request_id))
        return None

    def broken(self, failure: Failure, now: float, jitter: float) -> list[tuple[T, Outcome[Any]]]:
        """Takes the end of a stream: what has no outcome is sent again on the next one, in order.

        Returns what is given up.
        """
        given_up: list[tuple[T, Outcome[Any]]] = []
        waiting = {request_id for _, _, request_id in self._later}
        for request_id, sending in list(self._sendings.items()):
            if request_id in waiting:
                continue
            if sending.is_sent or not retries.is_retried(failure):
                result = sending.failed(failure, now, jitter)
                if isinstance(result, Outcome):
                    del self._sendings[request_id]
                    given_up.append((sending.owner, result))
                    continue
            sending.is_sent = False
        self._unsent = deque(key for key in self._sendings if key not in waiting)
        return given_up

    def expired(self, now: float) -> list[tuple[T, Outcome[Any]]]:
        """Returns the commands whose time is over; nobody can tell what became of them."""
        late = [key for key, sending in self._sendings.items() if sending.deadline <= now]
        return [(self._sendings.pop(key).owner, _unknown(key)) for key in late]


def _unknown(request_id: str) -> Outcome[Any]:
    return Outcome(request_id, None, errors.OutcomeUnknown(_EXPIRED, request_id))

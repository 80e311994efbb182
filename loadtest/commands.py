"""Messages of many commands, and what their outcomes were."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import tender
from loadtest import payloads, replies
from tender.v1 import payment_pb2

NOT_IN_ORDER = "outcome_not_in_order"
UNEXPECTED = "outcome_of_no_command"
UNDECIDED = "outcome_without_result"

# Of the authorizations on a stream, so many are holds; the next message captures or voids them.
HELD_SHARE = 0.1
# Of the holds every fourth is voided; of the captured ones every second is refunded.
VOID_EVERY, REFUND_EVERY = 4, 2

MANUAL = payment_pb2.AuthorizePaymentRequest(
    capture_method=tender.CAPTURE_METHOD_MANUAL
).SerializeToString()

CAPTURED = tender.Payment.STATE_CAPTURED
AUTHORIZED = tender.Payment.STATE_AUTHORIZED


@dataclass
class Outcomes:
    """Counts of outcomes."""

    paid: int = 0
    declined: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: payment_pb2.PaymentOutcome) -> None:
        kind = outcome.WhichOneof("result")
        if kind == "authorized":
            self._add_state(outcome.authorized.payment.state)
        elif kind == "error":
            self.errors[replies.reason_in(outcome.error)] += 1
        elif kind is None:
            self.errors[UNDECIDED] += 1
        else:
            self.paid += 1

    def _add_state(self, state: int) -> None:
        if state in replies.PAID:
            self.paid += 1
        elif state == replies.DECLINED:
            self.declined += 1
        else:
            self.errors[f"state {state}"] += 1


def check_in_order(
    request_ids: Sequence[str], outcomes: Sequence[payment_pb2.PaymentOutcome]
) -> Outcomes:
    """Return the counts; an outcome that is missing or in another's place is an error."""
    found = Outcomes()
    for request_id, outcome in zip(request_ids, outcomes, strict=False):
        if outcome.request_id == request_id:
            found.add(outcome)
        else:
            found.errors[NOT_IN_ORDER] += 1
    if missing := abs(len(request_ids) - len(outcomes)):
        found.errors[NOT_IN_ORDER] += missing
    return found


class Desk:
    """One service's side of a stream: what it sent, what it waits for, what it does next."""

    def __init__(self, draw: Callable[[], tuple[str, bytes]], new_id: Callable[[], str]) -> None:
        self._draw = draw
        self._new_id = new_id
        self._waiting: set[str] = set()
        self._held: list[str] = []
        self._captured: list[str] = []
        self._outcomes = Outcomes()

    @property
    def waits(self) -> bool:
        return bool(self._waiting)

    def message(self, count: int) -> bytes:
        """Return a message of so many commands: first what follows the message before."""
        commands = self._follow_ups()[:count]
        holds = int((count - len(commands)) * HELD_SHARE)
        for number in range(count - len(commands)):
            request_id, request = self._draw()
            self._waiting.add(request_id)
            request += MANUAL if number < holds else b""
            commands.append(payloads.authorize_command(request))
        return payloads.stream_message(commands)

    def _follow_ups(self) -> list[bytes]:
        held, self._held = self._held, []
        captured, self._captured = self._captured, []
        commands = [self._capture_or_void(number, each) for number, each in enumerate(held)]
        commands += [self._refund(each) for each in captured[::REFUND_EVERY]]
        return [each.SerializeToString() for each in commands]

    def _capture_or_void(self, number: int, payment_id: str) -> payment_pb2.PaymentCommand:
        request_id = self._waits_for_new()
        if number % VOID_EVERY == 0:
            void = payment_pb2.VoidPaymentRequest(request_id=request_id, payment_id=payment_id)
            return payment_pb2.PaymentCommand(void=void)
        capture = payment_pb2.CapturePaymentRequest(request_id=request_id, payment_id=payment_id)
        return payment_pb2.PaymentCommand(capture=capture)

    def _refund(self, payment_id: str) -> payment_pb2.PaymentCommand:
        refund = payment_pb2.RefundPaymentRequest(
            request_id=self._waits_for_new(), payment_id=payment_id
        )
        return payment_pb2.PaymentCommand(refund=refund)

    def _waits_for_new(self) -> str:
        request_id = self._new_id()
        self._waiting.add(request_id)
        return request_id

    def read(self, outcomes: Iterable[payment_pb2.PaymentOutcome]) -> None:
        """Match outcomes with what was sent, in any order; each comes once."""
        waiting = self._waiting
        for outcome in outcomes:
            request_id = outcome.request_id
            if request_id not in waiting:
                self._outcomes.errors[UNEXPECTED] += 1
                continue
            waiting.remove(request_id)
            self._outcomes.add(outcome)
            if outcome.HasField("captured"):
                self._captured.append(outcome.captured.payment.id)
            elif outcome.authorized.payment.state == AUTHORIZED:
                self._held.append(outcome.authorized.payment.id)

    def give_up(self) -> int:
        """Forget what is unanswered; return how many commands that were."""
        unanswered = len(self._waiting)
        self._waiting.clear()
        return unanswered

    def take_outcomes(self) -> Outcomes:
        """Return the counts since the last time."""
        taken, self._outcomes = self._outcomes, Outcomes()
        return taken

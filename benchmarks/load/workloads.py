"""Unary workloads: which call comes next, and whether its answer is the one that was due."""

import random
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from benchmarks.load import answers, plan
from benchmarks.load.answers import Layout, Wrong
from benchmarks.load.plan import Plan, Wish
from benchmarks.load.record import Recorder
from benchmarks.load.world import World
from tender.v1 import payment_pb2

SERVICE: Final = b"/tender.v1.PaymentService/"
AUTHORIZE: Final = SERVICE + b"AuthorizePayment"
CAPTURE: Final = SERVICE + b"CapturePayment"
VOID: Final = SERVICE + b"VoidPayment"
REFUND: Final = SERVICE + b"RefundPayment"
GET: Final = SERVICE + b"GetPayment"

AUTOMATIC: Final = plan.number(5, plan.AUTOMATIC)
MANUAL: Final = plan.number(5, plan.MANUAL)

REPEAT_SHARE: Final = 0.10
REPEATABLE_MAX: Final = 10_000
"""Answers of which one is asked for again; some are still in memory, some are not."""

Settle = Callable[[bytes], bool]
"""Judges the body of an OK answer: true if it is to be counted. Raises Wrong."""


class Ask(NamedTuple):
    """A call to make."""

    path: bytes
    body: bytes
    request_id: bytes
    """Empty for a call that changes nothing."""
    settle: Settle


class Workload(Protocol):
    """An endless supply of calls."""

    def next(self) -> Ask:
        """Return the next call."""


class Judge:
    """Compares answers with what was asked for, and notes them for the checker."""

    def __init__(self, world: World, recorder: Recorder) -> None:
        self.world = world
        self.layout = Layout(world.payer_id_bytes)
        self.recorder = recorder

    def note(self, kind: bytes, request_id: bytes, seen: answers.Seen, wish: Wish) -> None:
        """Write an answer down."""
        self.recorder.lines.append(
            b"%b\t%b\t%b\t%d\t%d\t%d\t%d\n"
            % (
                kind,
                request_id,
                seen.payment_id,
                seen.state,
                wish.amount,
                wish.payer,
                wish.merchant,
            )
        )

    def authorization(self, body: bytes, wish: Wish, state: int) -> answers.Seen | None:
        """Return what came of an authorization; None if it was declined."""
        seen = answers.unary(self.layout, body, wish.answered_amount)
        carried_out = answers.require(seen, wish, state)
        self.note(b"A", wish.request_id, seen, wish)
        if carried_out:
            return seen
        self.recorder.declined += 1
        return None


class Pay:
    """Authorizations with automatic capture."""

    def __init__(self, made: Plan, judge: Judge) -> None:
        self._plan, self._judge = made, judge
        self._count = 0

    def next(self) -> Ask:
        self._count += 1
        body, wish = self._plan.authorize(self._count, AUTOMATIC)
        return Ask(AUTHORIZE, body, wish.request_id, lambda answer: self._settle(answer, wish))

    def _settle(self, answer: bytes, wish: Wish) -> bool:
        return self._judge.authorization(answer, wish, answers.CAPTURED) is not None


class Replay:
    """The same, and now and then one that was answered before: it must get the same answer."""

    def __init__(self, made: Plan, judge: Judge, seed: int) -> None:
        self._plan, self._judge = made, judge
        self._count = 0
        self._dice = random.Random(seed)
        self._answered: deque[tuple[bytes, Wish, answers.Seen]] = deque(maxlen=REPEATABLE_MAX)

    def next(self) -> Ask:
        if self._answered and self._dice.random() < REPEAT_SHARE:
            body, wish, first = self._dice.choice(self._answered)
            return Ask(AUTHORIZE, body, b"", lambda answer: self._again(answer, wish, first))
        self._count += 1
        body, wish = self._plan.authorize(self._count, AUTOMATIC)
        return Ask(
            AUTHORIZE, body, wish.request_id, lambda answer: self._settle(answer, body, wish)
        )

    def _settle(self, answer: bytes, body: bytes, wish: Wish) -> bool:
        seen = self._judge.authorization(answer, wish, answers.CAPTURED)
        if seen is None:
            return False
        self._answered.append((body, wish, seen))
        return True

    def _again(self, answer: bytes, wish: Wish, first: answers.Seen) -> bool:
        seen = self._judge.authorization(answer, wish, answers.CAPTURED)
        if seen is None or seen.payment_id != first.payment_id:
            raise Wrong(f"duplicate: {wish.request_id!r} has another payment when repeated")
        if self._judge.recorder.measuring:
            self._judge.recorder.repeated += 1
        return True


class Mixed:
    """What shops do: of 100 calls 55 authorize, 25 capture, 5 refund, 5 void and 10 look."""

    SHARES: Final = {"pay": 25, "hold": 30, "capture": 25, "void": 5, "refund": 5, "get": 10}

    def __init__(self, made: Plan, judge: Judge, seed: int) -> None:
        self._plan, self._judge = made, judge
        self._count = 0
        self._dice = random.Random(seed)
        self._cycle: list[str] = []
        self._held: deque[tuple[bytes, Wish]] = deque()
        self._paid: deque[tuple[bytes, Wish]] = deque(maxlen=REPEATABLE_MAX)
        self._makers: dict[str, Callable[[], Ask]] = {
            "pay": self._pay,
            "hold": self._hold,
            "capture": lambda: self._follow(CAPTURE, b"C", answers.CAPTURED),
            "void": lambda: self._follow(VOID, b"V", answers.VOIDED),
            "refund": self._refund,
            "get": self._get,
        }

    def next(self) -> Ask:
        if not self._cycle:
            self._cycle = [kind for kind, share in self.SHARES.items() for _ in range(share)]
            self._dice.shuffle(self._cycle)
        kind = self._cycle.pop()
        if kind in ("capture", "void") and not self._held:
            kind = "hold"
        if kind in ("refund", "get") and not self._paid:
            kind = "pay"
        return self._makers[kind]()

    def _pay(self) -> Ask:
        return self._authorize(AUTOMATIC, answers.CAPTURED, self._paid)

    def _hold(self) -> Ask:
        return self._authorize(MANUAL, answers.AUTHORIZED, self._held)

    def _authorize(self, method: bytes, state: int, kept: "deque[tuple[bytes, Wish]]") -> Ask:
        self._count += 1
        body, wish = self._plan.authorize(self._count, method)

        def settle(answer: bytes) -> bool:
            seen = self._judge.authorization(answer, wish, state)
            if seen is None:
                return False
            kept.append((seen.payment_id, wish))
            return True

        return Ask(AUTHORIZE, body, wish.request_id, settle)

    def _follow(self, path: bytes, kind: bytes, state: int) -> Ask:
        payment_id, wish = self._held.popleft()
        self._count += 1
        request_id = self._plan.request_id(self._count)

        def settle(answer: bytes) -> bool:
            seen = answers.unary(self._judge.layout, answer, wish.answered_amount)
            require_payment(seen, payment_id)
            answers.require(seen, wish, state)
            self._judge.note(kind, request_id, seen, wish)
            return True

        body = plan.text(1, request_id) + plan.text(2, payment_id)
        return Ask(path, body, request_id, settle)

    def _refund(self) -> Ask:
        payment_id, wish = self._paid.popleft()
        self._count += 1
        request_id = self._plan.request_id(self._count)

        def settle(answer: bytes) -> bool:
            message = answers.parsed(answer, payment_pb2.RefundPaymentResponse)
            seen = answers.of(message.payment)
            require_payment(seen, payment_id)
            if message.refund.amount.minor_units != wish.amount:
                raise Wrong(f"{message.refund.amount.minor_units} of {wish.amount} refunded")
            self._judge.note(b"R", request_id, seen, wish)
            return True

        body = plan.text(1, request_id) + plan.text(2, payment_id)
        return Ask(REFUND, body, request_id, settle)

    def _get(self) -> Ask:
        payment_id, wish = self._paid[-1]

        def settle(answer: bytes) -> bool:
            seen = answers.unary(self._judge.layout, answer, wish.answered_amount)
            require_payment(seen, payment_id)
            return True

        return Ask(GET, plan.text(1, payment_id), b"", settle)


def require_payment(seen: answers.Seen, payment_id: bytes) -> None:
    """Raise Wrong unless an answer is about that payment."""
    if seen.payment_id != payment_id:
        raise Wrong(f"asked about {payment_id!r}, answered {seen.payment_id!r}")

"""Workloads of several shards, of Redis and of standbys: repeats, money that crosses, reads."""

import random
from collections import deque
from typing import Final

from benchmarks.load import answers, plan
from benchmarks.load.answers import Wrong
from benchmarks.load.plan import Plan, Wish
from benchmarks.load.record import clock
from benchmarks.load.workloads import (
    AUTHORIZE,
    AUTOMATIC,
    GET,
    Ask,
    Judge,
    require_payment,
)
from benchmarks.load.world import World
from tender.v1 import account_pb2, payment_pb2

GET_ACCOUNT: Final = b"/tender.v1.AccountService/GetAccount"

REPEATED: Final = 300
"""Payments of which each is repeated again and again."""

READ_PAYMENTS: Final = 200
"""Payments of which each is read again and again."""

SAMPLED_MAX: Final = 8
LOOK_PAUSE_SECONDS: Final = 0.05
"""Between two looks at a payment: a look costs as much as some payments."""

POSTED: Final = payment_pb2.Leg.STATE_POSTED
SUSPENSE: Final = payment_pb2.Leg.STATE_SUSPENSE


class Repeat:
    """Some payments, and from then on only repeats of them: each must get its first answer."""

    def __init__(self, made: Plan, judge: Judge) -> None:
        self._plan, self._judge = made, judge
        self._count = self._turn = 0
        self._answered: list[tuple[bytes, Wish, answers.Seen]] = []

    def next(self) -> Ask:
        if len(self._answered) >= REPEATED:
            self._turn = (self._turn + 1) % REPEATED
            body, wish, first = self._answered[self._turn]
            return Ask(AUTHORIZE, body, b"", lambda answer: self._again(answer, wish, first))
        self._count += 1
        body, wish = self._plan.authorize(self._count, AUTOMATIC)
        return Ask(
            AUTHORIZE, body, wish.request_id, lambda answer: self._settle(answer, body, wish)
        )

    def _settle(self, answer: bytes, body: bytes, wish: Wish) -> bool:
        seen = self._judge.authorization(answer, wish, answers.CAPTURED)
        if seen is not None:
            self._answered.append((body, wish, seen))
        # Only repeats count, and by then there should be no others.
        return not self._judge.recorder.measuring

    def _again(self, answer: bytes, wish: Wish, first: answers.Seen) -> bool:
        seen = answers.unary(self._judge.layout, answer, wish.answered_amount)
        answers.require(seen, wish, answers.CAPTURED)
        if seen.payment_id != first.payment_id:
            raise Wrong(f"duplicate: {wish.request_id!r} has another payment when repeated")
        if self._judge.recorder.measuring:
            self._judge.recorder.repeated += 1
        return True


class Credited:
    """Payments to other shards; of a few it asks until the payee has the money."""

    def __init__(self, made: Plan, judge: Judge) -> None:
        self._plan, self._judge = made, judge
        self._count = 0
        # Looked at: payment, when it was asked for, and when to ask about it next.
        self._looked_at: deque[tuple[bytes, float, float]] = deque()
        self._sampled = 0

    def next(self) -> Ask:
        now = clock()
        if self._looked_at and self._looked_at[0][2] <= now:
            payment_id, began, _ = self._looked_at.popleft()
            return Ask(
                GET,
                plan.text(1, payment_id),
                b"",
                lambda answer: self._look(answer, payment_id, began),
            )
        self._count += 1
        body, wish = self._plan.authorize(self._count, AUTOMATIC)
        return Ask(AUTHORIZE, body, wish.request_id, lambda answer: self._settle(answer, wish, now))

    def _settle(self, answer: bytes, wish: Wish, began: float) -> bool:
        seen = self._judge.authorization(answer, wish, answers.CAPTURED)
        if seen is None:
            return False
        if self._sampled < SAMPLED_MAX:
            self._sampled += 1
            self._looked_at.append((seen.payment_id, began, clock()))
        return True

    def _look(self, answer: bytes, payment_id: bytes, began: float) -> bool:
        message = answers.parsed(answer, payment_pb2.GetPaymentResponse)
        require_payment(answers.of(message.payment), payment_id)
        if not message.legs or any(leg.state == SUSPENSE for leg in message.legs):
            raise Wrong(f"{payment_id!r} went to another shard, but its money did not")
        now = clock()
        if all(leg.state == POSTED for leg in message.legs):
            self._sampled -= 1
            if self._judge.recorder.measuring:
                self._judge.recorder.credited.append(now - began)
        else:
            self._looked_at.append((payment_id, began, now + LOOK_PAUSE_SECONDS))
        return False  # It is no payment.


class Reads:
    """After some payments only reads: of one of these, and of a payer's balance, in turn."""

    def __init__(self, made: Plan, judge: Judge, world: World, seed: int) -> None:
        self._plan, self._judge = made, judge
        self._dice = random.Random(seed)
        self._count = self._reads = 0
        self._paid: list[tuple[bytes, Wish]] = []
        self._payers = range(world.payers_count)
        self._payer = world.payer

    def next(self) -> Ask:
        if len(self._paid) < READ_PAYMENTS:
            self._count += 1
            body, wish = self._plan.authorize(self._count, AUTOMATIC)
            return Ask(AUTHORIZE, body, wish.request_id, lambda answer: self._settle(answer, wish))
        self._reads += 1
        return self._balance() if self._reads % 2 else self._payment()

    def _settle(self, answer: bytes, wish: Wish) -> bool:
        seen = self._judge.authorization(answer, wish, answers.CAPTURED)
        if seen is not None:
            self._paid.append((seen.payment_id, wish))
        return not self._judge.recorder.measuring  # Only reads count.

    def _payment(self) -> Ask:
        payment_id, wish = self._dice.choice(self._paid)

        def settle(answer: bytes) -> bool:
            seen = answers.unary(self._judge.layout, answer, wish.answered_amount)
            require_payment(seen, payment_id)
            return answers.require(seen, wish, answers.CAPTURED)

        return Ask(GET, plan.text(1, payment_id), b"", settle)

    def _balance(self) -> Ask:
        account_id = self._payer(self._dice.choice(self._payers))

        def settle(answer: bytes) -> bool:
            found = answers.parsed(answer, account_pb2.GetAccountResponse).account
            if found.id != account_id or not found.available.minor_units:
                raise Wrong(f"asked about {account_id}, answered {found.id}")
            return True

        return Ask(GET_ACCOUNT, plan.text(1, account_id.encode()), b"", settle)

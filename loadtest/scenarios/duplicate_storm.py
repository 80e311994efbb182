"""30 % of the calls repeat an earlier request_id, at once or later, and must get its answer."""

import itertools
import random
from collections import deque
from typing import NamedTuple

import gevent  # type: ignore[import-untyped]
from locust import task
from locust.env import Environment

from loadtest import catalogue, hooks, payloads, replies, users
from loadtest.session import counting
from tender.v1 import payment_pb2

hooks.register()

# Of a hundred turns: calls sent twice at once, and calls that repeat one of an earlier turn.
# 110 calls come of them, 33 of which repeat.
TWICE, LATER = 0.10, 0.23
# Every tenth later repeat comes in a bulk call, whose answer must be the same payment too.
IN_BULK_EVERY = 10
REMEMBERED_MAX = 20_000
AUTHORIZE_BATCH = "/tender.v1.PaymentService/AuthorizePayments"


class Answered(NamedTuple):
    """A request and the answer that it must get for ever."""

    request: bytes
    answer: bytes


# Of all users of the process, so that repeats come from other users and over other connections.
remembered: deque[Answered] = deque(maxlen=REMEMBERED_MAX)


class Forgetful(users.PaymentUser):
    """Is never sure that its call arrived."""

    scenario = catalogue.DUPLICATE_STORM

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        elsewhere = self.session.next_channel()
        self._authorize_elsewhere: users.Stub = elsewhere.unary_unary(users.AUTHORIZE)
        self._authorize_batch: users.Stub = self.channel.unary_unary(AUTHORIZE_BATCH)
        self._turns = itertools.count(1)

    @task
    def storm(self) -> None:
        dice = random.random()
        if dice < TWICE:
            self._pay_twice_at_once()
        elif dice < TWICE + LATER and remembered:
            self._repeat(random.choice(remembered))
        else:
            self._pay_once()

    def _new_request(self) -> bytes:
        payer, merchant = self.session.payers.draw(), self.session.merchants.draw()
        return self.session.payloads.authorize(payer, merchant)[1]

    def _pay_once(self) -> None:
        request = self._new_request()
        answer = self.call("duplicate_storm authorize", self.authorize, request)
        if answer is not None:
            self._count_first(request, answer)

    def _pay_twice_at_once(self) -> None:
        request = self._new_request()
        name = "duplicate_storm authorize twice"
        both = [
            gevent.spawn(self.call, name, stub, request)
            for stub in (self.authorize, self._authorize_elsewhere)
        ]
        gevent.joinall(both, raise_error=True)
        answers = [each.value for each in both if each.value is not None]
        if answers:
            self._count_first(request, answers[0])
        if len(answers) == len(both):
            self._count_again(*answers)

    def _repeat(self, earlier: Answered) -> None:
        if next(self._turns) % IN_BULK_EVERY == 0:
            self._repeat_in_bulk(earlier)
            return
        answer = self.call("duplicate_storm repeat", self.authorize, earlier.request)
        if answer is not None:
            self._count_again(earlier.answer, answer)

    def _repeat_in_bulk(self, earlier: Answered) -> None:
        message = payloads.batch([earlier.request])
        answer = self.call("duplicate_storm repeat in bulk", self._authorize_batch, message)
        if answer is not None:
            [outcome] = payment_pb2.AuthorizePaymentsResponse.FromString(answer).outcomes
            self._count_again(earlier.answer, outcome.authorized.SerializeToString())

    def _count_first(self, request: bytes, answer: bytes) -> None:
        self.count(replies.parse(answer).payment.state)
        remembered.append(Answered(request, answer))

    def _count_again(self, first: bytes, again: bytes) -> None:
        wrong = replies.compare(first, again)
        if wrong is None:
            counting.tally.repeats += 1
        else:
            self.fail("duplicate_storm answer", wrong)

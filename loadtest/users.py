"""A Locust user who calls Tender over gRPC and writes down what became of it, cheaply."""

import random
import time
from collections.abc import Callable
from typing import Any, ClassVar

import gevent  # type: ignore[import-untyped]
import grpc
import locust
from locust.env import Environment

from loadtest import replies, session
from loadtest.catalogue import Scenario
from loadtest.pacing import Schedule
from loadtest.session import clock, counting
from loadtest.tally import bucket

AUTHORIZE = "/tender.v1.PaymentService/AuthorizePayment"

Stub = Callable[..., bytes]
"""A method of a channel: bytes in, bytes out."""

_NO_CONTEXT: dict[str, Any] = {}


class PaymentUser(locust.User):
    """Sends on a schedule of its own; bytes in, bytes out, no message is encoded anew."""

    abstract = True
    scenario: ClassVar[Scenario]
    commands_per_call: ClassVar[int] = 1

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        options: Any = environment.parsed_options
        self.session = session.of(environment)
        self.deadline_seconds = self.scenario.deadline_seconds
        pace = self.scenario.pace if options.pace is None else options.pace
        period = self.commands_per_call / pace if pace else 0.0
        self.schedule = Schedule(period, random.random(), clock)
        self.channel = self.session.next_channel()
        self.authorize: Stub = self.channel.unary_unary(AUTHORIZE)
        self._fire: Callable[..., None] = environment.events.request.fire

    def on_start(self) -> None:
        gevent.sleep(self.schedule.wait_seconds())

    def wait_time(self) -> float:
        return self.schedule.wait_seconds()

    # Calls

    def call(self, name: str, stub: Stub, request: bytes, commands: int = 1) -> bytes | None:
        """Make a unary call; None when it failed, which is then counted for all its commands."""
        started = clock()
        intended = self.schedule.begin(started)
        try:
            answer = stub(request, timeout=self.deadline_seconds, metadata=self.session.metadata)
        except grpc.RpcError as error:
            reason = replies.reason_of(error)
            self.record(name, started, intended, 0, reason)
            counting.tally.errors[reason] += commands
            return None
        self.record(name, started, intended, len(answer))
        return answer

    def record(
        self, name: str, started: float, intended: float, size: int, reason: str | None = None
    ) -> None:
        """Note a call that ends now, for Locust and for the tally."""
        ended = clock()
        tally = counting.tally
        tally.calls += 1
        if counting.is_measured(intended):
            tally.latency[bucket(ended - started)] += 1
            tally.scheduled[bucket(ended - intended)] += 1
        self._fire(
            request_type="gRPC",
            name=name,
            response_time=(ended - started) * 1_000,
            response_length=size,
            exception=replies.Failure(reason) if reason else None,
            context=_NO_CONTEXT,
        )

    # Commands

    def pay(self, name: str, merchant: int) -> None:
        """Pay that merchant from an account that Zipf draws."""
        _, request = self.session.payloads.authorize(self.session.payers.draw(), merchant)
        answer = self.call(name, self.authorize, request)
        if answer is not None:
            self.count(replies.parse(answer).payment.state)

    def count(self, state: int) -> None:
        """Count a first answer by the state of its payment."""
        if state in replies.PAID:
            self.count_paid(1)
        elif state == replies.DECLINED:
            counting.tally.declined += 1
        else:
            self.fail("answer", f"state {state}")

    def count_paid(self, payments: int) -> None:
        tally = counting.tally
        tally.payments += payments
        tally.by_second[int(time.time())] += payments

    def fail(self, name: str, reason: str, commands: int = 1) -> None:
        """Note that an answer is wrong, though the call was answered."""
        counting.tally.errors[reason] += commands
        self._fire(
            request_type="check",
            name=name,
            response_time=None,
            response_length=0,
            exception=replies.Failure(reason),
            context=_NO_CONTEXT,
        )

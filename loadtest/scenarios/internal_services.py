"""Internal services: commands by the hundred, half of them in batch calls, half over streams."""

from typing import Any

import gevent  # type: ignore[import-untyped]
import grpc
from gevent.queue import SimpleQueue  # type: ignore[import-untyped]
from locust import task
from locust.env import Environment

from loadtest import catalogue, commands, hooks, payloads, replies, users
from loadtest.session import clock, counting
from tender.v1 import payment_pb2

hooks.register()

COMMANDS_PER_CALL = 100
AUTHORIZE_BATCH = "/tender.v1.PaymentService/AuthorizePayments"
STREAM = "/tender.v1.PaymentService/StreamPayments"
# A stream is opened anew after this, as a client does that finds new servers; it has a deadline.
STREAM_SECONDS_MAX = 600.0
CLOSE_SECONDS_MAX = 1.0


class BatchService(users.PaymentUser):
    """Sends authorizations a hundred to a call and reads as many outcomes in their order."""

    scenario = catalogue.INTERNAL_SERVICES
    commands_per_call = COMMANDS_PER_CALL

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._authorize_batch: users.Stub = self.channel.unary_unary(AUTHORIZE_BATCH)

    @task
    def send(self) -> None:
        drawn = [self._draw() for _ in range(COMMANDS_PER_CALL)]
        message = payloads.batch(request for _, request in drawn)
        answer = self.call(
            "internal_services batch", self._authorize_batch, message, COMMANDS_PER_CALL
        )
        if answer is not None:
            outcomes = payment_pb2.AuthorizePaymentsResponse.FromString(answer).outcomes
            self.count_outcomes(
                "internal_services batch",
                commands.check_in_order([request_id for request_id, _ in drawn], outcomes),
            )

    def _draw(self) -> tuple[str, bytes]:
        session = self.session
        return session.payloads.authorize(session.payers.draw(), session.merchants.draw())

    def count_outcomes(self, name: str, found: commands.Outcomes) -> None:
        if found.paid:
            self.count_paid(found.paid)
        counting.tally.declined += found.declined
        for reason, count in found.errors.items():
            self.fail(name, reason, count)


class StreamService(BatchService):
    """Keeps a stream open: authorizes, and captures, voids and refunds what it paid before."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._open: Any = self.channel.stream_stream(STREAM)
        self._desk = commands.Desk(self._draw, self.session.payloads.new_id)
        self._messages = SimpleQueue()
        self._stream: Any = None

    @task
    def send(self) -> None:
        """Send a message and read until each of its commands has its outcome."""
        name = "internal_services stream"
        message = self._desk.message(COMMANDS_PER_CALL)
        started = clock()
        intended = self.schedule.begin(started)
        if self._stream is None:
            self._connect()
        watchdog = gevent.spawn_later(self.deadline_seconds, self._stream.cancel)
        try:
            self._messages.put(message)
            size = self._read_outcomes()
        except grpc.RpcError as error:
            reason = replies.reason_of(error)
            self.record(name, started, intended, 0, reason)
            counting.tally.errors[reason] += self._desk.give_up()
            self._stream = None
        else:
            self.record(name, started, intended, size)
        finally:
            watchdog.kill(block=False)
        self.count_outcomes(name, self._desk.take_outcomes())

    def _connect(self) -> None:
        self._messages = SimpleQueue()
        self._stream = self._open(
            iter(self._messages.get, None),
            timeout=STREAM_SECONDS_MAX,
            metadata=self.session.metadata,
        )

    def _read_outcomes(self) -> int:
        """Return how many bytes came."""
        size = 0
        while self._desk.waits:
            answer: bytes = next(self._stream)
            size += len(answer)
            self._desk.read(payment_pb2.StreamPaymentsResponse.FromString(answer).outcomes)
        return size

    def on_stop(self) -> None:
        """Say that no more comes, and let the other side end the stream."""
        if self._stream is None:
            return
        stream, self._stream = self._stream, None
        self._messages.put(None)
        gevent.spawn_later(CLOSE_SECONDS_MAX, stream.cancel)

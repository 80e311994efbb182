"""A small real server that takes payments, honestly or not: it may pay one request_id twice."""

import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

import tender
from kit.serving import Context
from loadtest import world
from tender.v1 import payment_pb2, payment_pb2_grpc

WORLD = world.World("EUR", tuple(f"acc_{n}" for n in range(50)), ("mer_1", "mer_2"))


@dataclass
class Clerk(payment_pb2_grpc.PaymentServiceServicer):
    """Remembers the answer to each request_id; every so many repeats it forgets one (0: never)."""

    lies_every: int = 0
    state: int = tender.Payment.STATE_CAPTURED
    repeats: int = 0
    _answers: dict[str, payment_pb2.AuthorizePaymentResponse] = field(default_factory=dict)
    _numbers: Any = field(default_factory=itertools.count)

    async def AuthorizePayment(self, request: Any, context: Context) -> Any:
        return self._answer(request)

    async def AuthorizePayments(self, request: Any, context: Context) -> Any:
        outcomes = [
            payment_pb2.PaymentOutcome(request_id=each.request_id, authorized=self._answer(each))
            for each in request.requests
        ]
        return payment_pb2.AuthorizePaymentsResponse(outcomes=outcomes)

    def _answer(self, request: Any) -> payment_pb2.AuthorizePaymentResponse:
        known = self._answers.get(request.request_id)
        if known is not None:
            self.repeats += 1
            if not self.lies_every or self.repeats % self.lies_every:
                return known
        payment = tender.Payment(id=f"pay_{next(self._numbers)}", state=self.state)  # type: ignore[arg-type]
        answer = payment_pb2.AuthorizePaymentResponse(payment=payment)
        self._answers[request.request_id] = answer
        return answer


@contextlib.asynccontextmanager
async def serving(clerk: Clerk, folder: Path) -> AsyncIterator[list[str]]:
    """Serve on loopback; yields the arguments with which a load finds the clerk."""
    people, key = folder / "world.json", folder / "key"
    world.save(WORLD, people)
    key.write_text("any")
    server = grpc.aio.server()
    payment_pb2_grpc.add_PaymentServiceServicer_to_server(clerk, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield [
            *("--target", f"127.0.0.1:{port}", "--api-key-file", str(key)),
            *("--world", str(people)),
        ]
    finally:
        await server.stop(None)

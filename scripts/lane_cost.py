"""Says what a bulk payment costs a lane and its Postgres session, without network and gateway.

  python -m scripts.lane_cost [FOLDER]    a stack of its own, in a temporary folder if none is named

Messages of authorizations with automatic capture and a fee go through the servicer's own steps,
from their bytes to the bytes of the outcomes, into a lane on a real Postgres. Prints µs of CPU per
payment: the processor's one thread and the session that applies. Each is given for windows of 2,000
payments as a fifth of them, the median and all together: other work on the machine raises the last
two. Compare two versions by running them in turn.
"""

import argparse
import asyncio
import itertools
import json
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import asyncpg
import uvloop

from deploy.local import seed
from deploy.local.options import StackOptions
from deploy.local.stack import Stack
from kit import collector
from processor.lane import Lane
from processor.servicer import LaneServicer
from storage.postgres.lane_store import PostgresLaneStore
from tender.v1 import lane_pb2, money_pb2, payment_pb2

SHARD: Final = "s1"
LEDGER: Final = seed.Seed(payers=100_000, merchants=1_000)
WARM_UP: Final = 20_000
MEASURED: Final = 60_000
COMMANDS_PER_MESSAGE: Final = 100
UNANSWERED_MAX: Final = 900
"""Enough for full batches, and under the half of the queue from which bulk is turned away."""
WINDOW: Final = 2_000
OPEN_SECONDS_MAX: Final = 30.0
TIMEOUT_MS: Final = 30_000


class Mark(NamedTuple):
    """How far it is: payments answered, and CPU so far in ns."""

    payments: int
    processor: int
    session: int


def messages(seeded: seed.Seeded, tag: str, count: int) -> list[bytes]:
    """Return as many authorizations as the gateway's stream would bring them."""
    dice = random.Random(tag)
    made: list[bytes] = []
    for first in range(0, count, COMMANDS_PER_MESSAGE):
        message = lane_pb2.ExecuteRequest(bulk_round=1)
        for number in range(first, first + COMMANDS_PER_MESSAGE):
            request = payment_pb2.AuthorizePaymentRequest(
                request_id=f"{tag}-{number:028d}",
                payer_account_id=dice.choice(seeded.payers),
                merchant_id=dice.choice(seeded.shops).merchant_id,
                amount=money_pb2.Money(
                    currency_code=seed.CURRENCY, minor_units=dice.randrange(200, 900)
                ),
                capture_method=payment_pb2.CAPTURE_METHOD_AUTOMATIC,
            )
            message.commands.add(
                correlation_id=number + 1,
                method=lane_pb2.METHOD_AUTHORIZE_PAYMENT,
                request=request.SerializeToString(),
                risk_verdict=lane_pb2.RISK_VERDICT_ALLOW,
                timeout_ms=TIMEOUT_MS,
                bulk=True,
            )
        message.commands[0].principal.tenant_id = "dev"
        made.append(message.SerializeToString())
    return made


class Unnamed:
    """The context of a stream that names no shard."""

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()


class Drive:
    """Sends all messages, never more than so many commands unanswered, and marks the way."""

    def __init__(self, lane: Lane, session_pid: int, sent: Sequence[bytes]) -> None:
        self._servicer = LaneServicer({SHARD: lane})
        self._pid = session_pid
        self._sent = sent
        self._answered = 0
        self._has_answers = asyncio.Event()

    async def run(self) -> list[Mark]:
        """Return the marks."""
        marks = [_mark(0, self._pid)]
        context: Any = Unnamed()
        responses: Any = self._servicer.Execute(self._requests(), context)
        async for response in responses:
            response.SerializeToString()
            refused = [one.refusal.reason for one in response.outcomes if one.HasField("refusal")]
            assert not refused, refused[0]
            self._answered += len(response.outcomes)
            self._has_answers.set()
            if self._answered - marks[-1].payments >= WINDOW:
                marks.append(_mark(self._answered, self._pid))
            if self._answered == len(self._sent) * COMMANDS_PER_MESSAGE:
                break
        await responses.aclose()
        return marks

    async def _requests(self) -> AsyncIterator[lane_pb2.ExecuteRequest]:
        for count, message in enumerate(self._sent, start=1):
            while count * COMMANDS_PER_MESSAGE - self._answered > UNANSWERED_MAX:
                self._has_answers.clear()
                await self._has_answers.wait()
            yield lane_pb2.ExecuteRequest.FromString(message)
        await asyncio.Event().wait()  # A stream that ends takes its unanswered commands along.


def _mark(payments: int, session_pid: int) -> Mark:
    on_cpu = Path(f"/proc/{session_pid}/schedstat").read_text().split()[0]
    return Mark(payments, time.thread_time_ns(), int(on_cpu))


def summary(marks: Sequence[Mark], kind: str) -> dict[str, float]:
    """Return µs per payment over the windows."""
    spent = sorted(
        (getattr(after, kind) - getattr(before, kind)) / (after.payments - before.payments) / 1_000
        for before, after in itertools.pairwise(marks)
    )
    all_of_it = getattr(marks[-1], kind) - getattr(marks[0], kind)
    return {
        "fifth": round(spent[len(spent) // 5], 1),
        "median": round(spent[len(spent) // 2], 1),
        "mean": round(all_of_it / marks[-1].payments / 1_000, 1),
    }


async def _session_pid(database_url: str) -> int:
    connection = await asyncpg.connect(database_url)
    try:
        return int(await connection.fetchval("SELECT backend_pid FROM lanes"))
    finally:
        await connection.close()


async def measure(database_url: str) -> dict[str, object]:
    """Fill a shard, and pay in it."""
    seeded = await seed.fill(database_url, LEDGER, region="eu", shard=SHARD, tenant_id="dev")
    store = PostgresLaneStore(database_url, SHARD)
    lane = Lane(store, region="eu", shard=SHARD, owner="lane-cost")
    running = asyncio.create_task(lane.run())
    await asyncio.wait_for(lane.opened(), OPEN_SECONDS_MAX)
    pid = await _session_pid(database_url)
    await Drive(lane, pid, messages(seeded, "warm-up", WARM_UP)).run()
    sent = messages(seeded, "measured", MEASURED)
    collector.step()
    first = lane.committed_seq
    marks = await Drive(lane, pid, sent).run()
    batches = lane.committed_seq - first
    await lane.stop(1.0)
    await running
    return {
        "processor": summary(marks, "processor"),
        "session": summary(marks, "session"),
        "batch": round(MEASURED / batches),
    }


def main(arguments: list[str]) -> None:
    """Print what was measured, as JSON."""
    described, _, _ = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(prog="python -m scripts.lane_cost", description=described)
    parser.add_argument("folder", nargs="?", type=Path, help="for the stack; else a temporary one")
    chosen = parser.parse_args(arguments).folder
    with tempfile.TemporaryDirectory(prefix="tender-lane-cost-") as temporary:
        folder = chosen or Path(temporary)
        options = StackOptions(data_dir=folder, replicas=0, with_servers=False)
        with Stack(options) as stack:
            collector.begin()
            print(json.dumps(uvloop.run(measure(stack.endpoints.processor_url))))


if __name__ == "__main__":
    main(sys.argv[1:])

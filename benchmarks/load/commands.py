"""The process that writes a spike of commands to Kafka, as somebody else's producer would.

Records are made before the spike begins: it is to take from the machine what brokers take, and not
what making half a million requests does. It says `ready`, waits for a line, and writes on a
schedule; what it wrote it says in a line of JSON.
"""

import json
import random
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

from confluent_kafka import Producer

from benchmarks.load.world import CURRENCY, World
from tender.v1 import payment_pb2

TOPIC: Final = "commands"
AMOUNT: Final = 100
"""Callers pay 2.00 and more (`plan.AMOUNT_MIN`), so that this tells the payments of a spike."""
REQUEST_ID_START: Final = "spike-"
TICK_SECONDS: Final = 0.005
FLUSH_SECONDS_MAX: Final = 300.0


class Spike(NamedTuple):
    """What to write."""

    bootstrap: str
    world: str
    tenant: str
    rate: float
    seconds: float


class Written(NamedTuple):
    """What became of it."""

    records: int
    seconds: float
    """From the first until the brokers had all of them."""
    failures: int


def made(world: World, count: int) -> list[tuple[bytes, bytes]]:
    """Return so many commands, each with its key."""
    run = f"{random.getrandbits(48):012x}"
    command = payment_pb2.PaymentCommand()
    asked = command.authorize
    asked.amount.currency_code, asked.amount.minor_units = CURRENCY, AMOUNT
    found = []
    for number in range(count):
        asked.request_id = f"{REQUEST_ID_START}{run}-{number}"
        asked.payer_account_id = world.payer(random.randrange(world.payers_count))
        asked.merchant_id = world.merchants[number % len(world.merchants)].id
        found.append((asked.payer_account_id.encode(), command.SerializeToString()))
    return found


def write(spike: Spike, records: list[tuple[bytes, bytes]]) -> Written:
    """Write records at the rate that is asked for; return once the brokers have all of them."""
    failures = 0

    def told(error: object, _record: object) -> None:
        nonlocal failures
        failures += error is not None

    producer = Producer(
        {
            "bootstrap.servers": spike.bootstrap,
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": "lz4",
            "linger.ms": 5,
            "queue.buffering.max.messages": len(records) + 1,
            "partitioner": "murmur2_random",
        }
    )
    headers: list[tuple[str, str | bytes | None]] = [("tenant", spike.tenant.encode())]
    began, count = time.monotonic(), 0
    while count < len(records):
        due = min(int((time.monotonic() - began) * spike.rate), len(records))
        for key, value in records[count:due]:
            producer.produce(TOPIC, value, key, on_delivery=told, headers=headers)
        count = due
        producer.poll(0)
        time.sleep(TICK_SECONDS)
    left = producer.flush(FLUSH_SECONDS_MAX)
    return Written(count, time.monotonic() - began, failures + left)


def main() -> None:
    """Do the spike of one line of stdin, at the word of the next."""
    spike = Spike(**json.loads(sys.stdin.readline()))
    records = made(World.load(Path(spike.world)), round(spike.rate * spike.seconds))
    _say("ready")
    sys.stdin.readline()
    _say(json.dumps(write(spike, records)._asdict()))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

"""Cross-check with nghttp2's h2load: both send one fixed payment, over and over: replays."""

import argparse
import asyncio
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import uvloop

from benchmarks.http2.connection import Connection, Reply
from benchmarks.load import plan
from benchmarks.load.session import Session, Target
from benchmarks.load.workloads import AUTHORIZE, AUTOMATIC

CONNECTIONS: Final = 4
IN_FLIGHT: Final = 128
AMOUNT: Final = 500
EXTRA_SECONDS_MAX: Final = 60.0
_RATE: Final = re.compile(r"finished in .*?, ([0-9.]+) req/s")
_STATUS: Final = re.compile(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx")


class H2loadFailed(Exception):
    """h2load did not do its work; the text is what it said."""


def body(payer: str, merchant: str) -> bytes:
    """Return a payment whose request_id never changes within a run."""
    return b"".join(
        (
            plan.text(1, b"req_h2load_%d" % time.time_ns()),
            plan.text(2, payer.encode()),
            plan.text(3, merchant.encode()),
            plan.text(4, plan.money(AMOUNT)),
            AUTOMATIC,
        )
    )


def h2load(program: str, target: Target, message: bytes, seconds: int) -> float:
    """Return the calls per second that h2load gets."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"\0" + len(message).to_bytes(4) + message)
        file.flush()
        done = subprocess.run(
            [
                *(program, f"--duration={seconds}", "--warm-up-time=1", "--threads=1"),
                *(
                    f"--clients={CONNECTIONS}",
                    f"--max-concurrent-streams={IN_FLIGHT // CONNECTIONS}",
                ),
                *(f"--data={file.name}", "--header=te: trailers"),
                "--header=content-type: application/grpc",
                f"--header=authorization: Bearer {target.api_key}",
                f"http://{target.host}:{target.port}{AUTHORIZE.decode()}",
            ],
            capture_output=True,
            text=True,
            timeout=seconds + EXTRA_SECONDS_MAX,
            check=False,
        )
    rate, status = _RATE.search(done.stdout), _STATUS.search(done.stdout)
    if done.returncode or rate is None or status is None or any(map(int, status.groups()[1:])):
        raise H2loadFailed(done.stdout + done.stderr)
    return float(rate[1])


async def ours(target: Target, message: bytes, seconds: float) -> float:
    """Return the calls per second that the generator gets with the same message."""
    done, errors, running = 0, 0, True

    def replied(connection: Connection, _token: None, reply: Reply) -> None:
        nonlocal done, errors
        done += 1
        errors += reply.status != 0
        if running and connection.has_room:
            connection.call(AUTHORIZE, message, 0)

    session = Session(target, replied, lambda _: None)
    await session.open(CONNECTIONS)
    for connection in session.connections:
        for _ in range(IN_FLIGHT // CONNECTIONS):
            connection.call(AUTHORIZE, message, 0)
    await asyncio.sleep(1)
    before, began = done, time.perf_counter()
    await asyncio.sleep(seconds)
    rate = (done - before) / (time.perf_counter() - began)
    running = False
    session.close()
    if errors > IN_FLIGHT:
        raise H2loadFailed(f"{errors} of our own calls failed")
    return rate


def main() -> None:
    """Compare the two."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.h2load", description=__doc__)
    parser.add_argument("--target", required=True, help="host:port of a gateway without TLS")
    parser.add_argument("--api-key-file", required=True, type=Path)
    parser.add_argument("--payer", required=True, help="an account with money")
    parser.add_argument("--merchant", required=True)
    parser.add_argument("--seconds", type=int, default=5)
    given = parser.parse_args()
    program = shutil.which("h2load")
    if program is None:
        sys.exit("h2load is not installed: it is in the package nghttp2-client")
    host, _, port = given.target.rpartition(":")
    target = Target(host, int(port), given.api_key_file.read_text().strip())
    message = body(given.payer, given.merchant)
    mine = uvloop.run(ours(target, message, given.seconds))
    theirs = h2load(program, target, message, given.seconds)
    print(f"replays per second: h2load {theirs:,.0f}, this generator {mine:,.0f}")


if __name__ == "__main__":
    main()

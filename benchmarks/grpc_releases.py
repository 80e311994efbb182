"""Compares releases of grpcio by what a raw unary call costs their server.

    python -m benchmarks.grpc_releases 1.75.0 1.85.1 --rounds 3

Each release gets a virtual environment of its own. The servers run one after the other, round by
round, so that a busy machine is unfair to none; CPU time is that of the server's process.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from pathlib import Path

import grpc
import psutil

SERVER = """
import asyncio, grpc, uvloop

async def main():
    async def echo(data, context):
        return data
    handler = grpc.unary_unary_rpc_method_handler(echo)
    class Handlers(grpc.GenericRpcHandler):
        def service(self, details):
            return handler
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Handlers(),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()

uvloop.run(main())
"""
CALLS = 20_000
IN_FLIGHT = 64
CHANNELS = 4
BODY = bytes(150)
ALONE = [("grpc.use_local_subchannel_pool", 1)]


def python_with(release: str, folder: Path) -> Path:
    """Return the interpreter of an environment with this release, made unless it is there."""
    home = folder / release
    python = home / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        packages = [f"grpcio=={release}", "uvloop"]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


async def load(target: str) -> None:
    """Make all calls, so many at a time."""
    channels = [grpc.aio.insecure_channel(target, options=ALONE) for _ in range(CHANNELS)]
    numbers = iter(range(CALLS))

    async def call() -> None:
        for number in numbers:
            await channels[number % CHANNELS].unary_unary("/raw/Echo")(BODY, timeout=10)  # type: ignore[arg-type]

    await asyncio.gather(*(call() for _ in range(IN_FLIGHT)))
    for channel in channels:
        await channel.close()


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def measure(python: Path) -> tuple[float, float]:
    """Return the server's CPU µs per call, and calls per second."""
    server = await asyncio.create_subprocess_exec(
        python, "-c", SERVER, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        target = f"127.0.0.1:{int(await server.stdout.readline())}"
        process = psutil.Process(server.pid)
        await load(target)  # Warm.
        cpu, started = cpu_seconds(process), time.perf_counter()
        await load(target)
        seconds = time.perf_counter() - started
        return (cpu_seconds(process) - cpu) / CALLS * 1e6, CALLS / seconds
    finally:
        server.terminate()
        await server.wait()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("releases", nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(".tender/grpc-releases"))
    given = parser.parse_args()
    pythons = {each: python_with(each, given.folder.resolve()) for each in given.releases}
    found: dict[str, list[float]] = {each: [] for each in pythons}
    for number in range(given.rounds):
        for release, python in pythons.items():
            cpu, rate = await measure(python)
            found[release].append(cpu)
            print(f"round {number + 1}  {release:10} {cpu:6.1f} µs  {rate:8,.0f}/s", flush=True)
    for release, values in found.items():
        print(f"{release:10} median {statistics.median(values):6.1f} µs per call")


if __name__ == "__main__":
    asyncio.run(main())

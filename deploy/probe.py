"""Asks a server for its health: `python -m deploy.probe HOST:PORT... http://HOST:PORT/healthz...`.

For container engines that start a program to find out. Of several addresses the first that somebody
listens on is asked, so that one image has one check. Exit code 0 means SERVING, or 200 over
HTTP for those that nobody calls by gRPC.
"""

import argparse
import socket
import sys
import urllib.request
from collections.abc import Sequence
from typing import Final

import grpc
from grpc_health.v1 import health_pb2

from kit import addresses, serving

SECONDS_MAX: Final = 3.0
HTTP: Final = "http://"


def is_well(address: str, seconds: float = SECONDS_MAX) -> bool:
    """Whether the server says within so many seconds that it is well."""
    return _is_ok(address, seconds) if address.startswith(HTTP) else is_serving(address, seconds)


def _is_ok(url: str, seconds: float) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=seconds):
            return True
    except OSError:
        return False


def is_serving(address: str, seconds: float = SECONDS_MAX) -> bool:
    """Whether the server says SERVING within so many seconds; false if it says anything else."""
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        check = channel.unary_unary(
            serving.HEALTH_CHECK,
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = check(health_pb2.HealthCheckRequest(), timeout=seconds)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def listening(candidates: Sequence[str]) -> str | None:
    """Return the first address that takes a connection."""
    for address in candidates:
        try:
            where = address.removeprefix(HTTP).partition("/")[0]
            socket.create_connection(addresses.host_and_port(where), SECONDS_MAX / 3).close()
        except OSError:
            continue
        return address
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy.probe", description=__doc__)
    parser.add_argument("address", nargs="+", help="host:port or an http:// URL")
    given = parser.parse_args(arguments)
    address = listening(given.address)
    return 0 if address is not None and is_well(address) else 1


if __name__ == "__main__":
    sys.exit(main())

"""What the users of one worker process share: connections, requests, dice and counters."""

import itertools
import time
from pathlib import Path
from typing import Any

import grpc
from grpc.experimental import gevent as grpc_gevent
from locust.env import Environment

from loadtest import world
from loadtest.payloads import Payloads
from loadtest.tally import Tally
from loadtest.zipf import Zipf
from tender import endpoints

clock = time.perf_counter

MERCHANTS_SEED = 7_919
"""Keeps the draws of merchants apart from those of accounts."""


class Counting:
    """The tally of this process since the last report."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._measure_from = 0.0
        self._cpu_before = time.process_time()

    def restart(self, warm_up_seconds: float) -> None:
        self.tally = Tally()
        self._measure_from = clock() + warm_up_seconds
        self._cpu_before = time.process_time()

    def take(self) -> Tally:
        """Return what was counted since the last time."""
        taken, self.tally = self.tally, Tally()
        before, self._cpu_before = self._cpu_before, time.process_time()
        taken.cpu_seconds = self._cpu_before - before
        return taken

    def is_measured(self, started: float) -> bool:
        return started >= self._measure_from


counting = Counting()


class Session:
    """Made by the first user of a process, after Locust has forked: gRPC does not stand a fork."""

    def __init__(self, environment: Environment) -> None:
        options: Any = environment.parsed_options
        for name in ("world", "api_key_file"):
            if getattr(options, name) is None:
                raise ValueError(f"--{name.replace('_', '-')} is missing")
        if not environment.host:
            raise ValueError("--host is missing: the gateway's host:port")
        runner: Any = environment.runner
        seed = options.seed + getattr(runner, "worker_index", 0)
        self.world = world.load(Path(options.world))
        self.payloads = Payloads(self.world)
        self.payers = Zipf(len(self.world.accounts), options.zipf, seed)
        self.merchants = Zipf(len(self.world.merchants), options.zipf, seed + MERCHANTS_SEED)
        api_key = Path(options.api_key_file).read_text().strip()
        self.metadata = (("authorization", f"Bearer {api_key}"),)
        grpc_gevent.init_gevent()
        endpoint = endpoints.endpoint(environment.host, None, options.insecure)
        self._channels = itertools.cycle([_connect(endpoint) for _ in range(options.channels)])

    def next_channel(self) -> grpc.Channel:
        return next(self._channels)


def _connect(endpoint: endpoints.Endpoint) -> grpc.Channel:
    if endpoint.credentials is None:
        return grpc.insecure_channel(endpoint.target, endpoints.OPTIONS)
    return grpc.secure_channel(endpoint.target, endpoint.credentials, endpoints.OPTIONS)


_sessions: dict[str | None, Session] = {}


def of(environment: Environment) -> Session:
    """Return the session with the host of the environment, opened at the first call."""
    found = _sessions.get(environment.host)
    if found is None:
        found = _sessions[environment.host] = Session(environment)
    return found

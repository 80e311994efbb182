"""The gateway process: `python -m deploy.servers.gateway [--workers N] [--check]`."""

import asyncio
import time
from typing import Final, Protocol

from deploy.servers import command, workers
from gateway import (
    directory,
    endpoint,
    forwarding,
    identity,
    lane_stream,
    lanes,
    methods,
    queries,
    reads,
)
from gateway.edge import grpc_aio
from gateway.edge.http2.edge import Http2Edge
from gateway.front import Front
from gateway.limits import Limits
from gateway.replays import Replays
from gateway.topology import Topology
from kit import logs, metrics, serving, settings
from kit.rate_limits import BadLimits
from storage.redis.address import BadAddress
from storage.redis.rates import RateStore
from storage.redis.replays import ReplayStore

# Beyond the gateway's own limits, which answer with a reason. It is a coarse one: this release of
# gRPC counts a call that it refuses as one that ended.
_RPCS_PER_COMMAND_IN_FLIGHT: Final = 2
# Ends connections that open calls and never send them; gRPC lets running calls finish.
_CONNECTION_AGE_MS: Final = 20 * 60 * 1_000

_log = logs.logger()


async def serve(
    gateway: settings.GatewaySettings,
    stop: asyncio.Future[str] | None = None,
    *,
    shares_port: bool = False,
) -> None:
    """Serve until told to stop, by `stop` or by a signal.

    `shares_port` lets other workers listen on the same port.
    """
    token = gateway.internal_token()
    pepper = gateway.api_key_pepper()
    # Two channels to each, so that a large page of a list cannot hold up the lane's stream.
    targets = gateway.processor_targets
    lane_channels = {target: lane_stream.create_channel(target) for target in targets}
    query_channels = {target: lane_stream.create_channel(target) for target in targets}
    topology = Topology()
    all_lanes = lanes.Lanes(
        topology,
        lane_channels,
        token,
        region=gateway.region,
        in_flight_max=gateway.max_in_flight,
        tenant_max=gateway.max_in_flight_per_tenant,
    )
    processors = directory.Directory(query_channels, token, topology, all_lanes.look_again)
    all_reads = reads.Reads(
        topology,
        {target: queries.QueryClient(query_channels[target], token) for target in targets},
        region=gateway.region,
    )
    service_channels = {
        name: lane_stream.create_channel(target)
        for name, target in gateway.service_targets().items()
    }
    tasks = serving.Tasks()
    health = serving.Health(methods.SERVICE_NAMES)
    redis = _Redis(gateway, all_lanes)
    backends = endpoint.Backends(
        directory=identity.ProcessorKeyDirectory(all_reads, pepper, tasks=tasks),
        lanes=all_lanes,
        queries=all_reads,
        write_timeout_seconds=gateway.write_timeout_ms / 1_000,
        read_timeout_seconds=gateway.read_timeout_ms / 1_000,
        replays=redis.replays,
        limits=redis.limits,
        services={
            name: forwarding.ServiceClient(name, channel, token)
            for name, channel in service_channels.items()
        },
    )
    front = Front(backends)
    make_server = _http2_server if gateway.gateway_edge == "http2" else _grpc_server
    server, edge, port = make_server(gateway, front, health, shares_port)
    metrics_server = metrics.serve(gateway.metrics_listen, lambda: health.is_serving)
    async with asyncio.TaskGroup() as group:
        parts: list[_Part] = [processors, edge, front.streams, *redis.parts]
        running = [group.create_task(part.run()) for part in parts]
        # With several shards nothing can be sent before one knows of them, and with one it is known
        # then how to reach it.
        await processors.heard()
        running.append(group.create_task(all_lanes.run()))
        await server.start()
        health.set_serving(True)
        _log.info(
            "gateway_started",
            listen=gateway.gateway_listen,
            port=port,
            metrics_port=metrics_server.port,
            processors=",".join(targets),
        )
        _log.info("gateway_stopping", why=await (stop or serving.wait_for_stop_signal()))
        stop_by = time.monotonic() + gateway.quiet_seconds + gateway.drain_seconds
        await serving.stop_gracefully(
            server,
            health,
            quiet_seconds=gateway.quiet_seconds,
            drain_seconds=gateway.drain_seconds,
            before_stop=[front.streams.end_all],
        )
        # Commands whose callers left are still on their way.
        await all_lanes.drain(max(stop_by - time.monotonic(), 0))
        await tasks.drain(identity.LOOKUP_TIMEOUT_SECONDS)
        for task in running:
            task.cancel()
    for channel in (
        *lane_channels.values(),
        *query_channels.values(),
        *service_channels.values(),
    ):
        await channel.close()
    metrics_server.close()
    _log.info("gateway_stopped")


class _Part(Protocol):
    async def run(self) -> None: ...


class _Redis:
    """What this gateway uses Redis for, if there is one; limits hold without it too."""

    def __init__(self, gateway: settings.GatewaySettings, all_lanes: lanes.Lanes) -> None:
        self.parts: list[_Part] = []
        self.replays: Replays | None = None
        self.limits: Limits | None = None
        url, timeout_seconds = gateway.redis_url, gateway.redis_timeout_ms / 1_000
        rates = gateway.rate_limits()
        try:
            if rates:
                store = RateStore(url, timeout_seconds=timeout_seconds) if url else None
                self.limits = Limits(rates, store)
                self.parts.append(self.limits)
            if url and gateway.replay_cache:
                answers = ReplayStore(
                    url,
                    gateway.internal_token().encode(),
                    answer_seconds=gateway.replay_cache_seconds,
                    timeout_seconds=timeout_seconds,
                )
                self.replays = Replays(answers, all_lanes.incarnation_of)
                self.parts.append(self.replays)
        except BadAddress as bad:
            raise settings.BadSettings(f"{settings.PREFIX}REDIS_URL: {bad}") from None
        except BadLimits as bad:
            raise settings.BadSettings(f"{settings.PREFIX}RATE_LIMITS_FILE: {bad}") from None


class _Server(serving.Stoppable, Protocol):
    async def start(self) -> None: ...


class _Edge(Protocol):
    async def run(self) -> None: ...


def _grpc_server(
    gateway: settings.GatewaySettings, front: Front, health: serving.Health, shares_port: bool
) -> tuple[_Server, _Edge, int]:
    """Return a server of grpc.aio, what looks after its calls, and its port."""
    edge = grpc_aio.GrpcEdge(front, health, shows_reflection=gateway.reflection)
    server = serving.create_server(
        rpcs_max=gateway.max_in_flight * _RPCS_PER_COMMAND_IN_FLIGHT,
        connection_age_ms=_CONNECTION_AGE_MS,
        reuse_port=shares_port,
    )
    server.add_generic_rpc_handlers((edge,))
    if gateway.reflection:
        serving.enable_reflection(server, methods.SERVICE_NAMES)
    return server, edge, serving.bind(server, gateway.gateway_listen)


def _http2_server(
    gateway: settings.GatewaySettings, front: Front, health: serving.Health, shares_port: bool
) -> tuple[_Server, _Edge, int]:
    """Return our own transport, which is its server too, and its port."""
    edge = Http2Edge(
        front,
        health,
        shows_reflection=gateway.reflection,
        calls_max=gateway.max_in_flight * _RPCS_PER_COMMAND_IN_FLIGHT,
        reuse_port=shares_port,
    )
    return edge, edge, edge.bind(gateway.gateway_listen)


async def serve_or_supervise(gateway: settings.GatewaySettings) -> None:
    """Serve in this process, or keep workers that do."""
    if gateway.gateway_workers == 1:
        await serve(gateway)
    else:
        await workers.supervise(gateway)


def main() -> None:
    """Run the gateway."""
    command.run(
        "gateway",
        __doc__,
        settings.GatewaySettings,
        serve_or_supervise,
        options={"--workers": "gateway_workers"},
    )


if __name__ == "__main__":
    main()

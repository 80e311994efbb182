"""The gateway process: `python -m deploy.servers.gateway [--check]`."""

import asyncio
import time
from typing import Final

from deploy.servers import command
from gateway import endpoint, guard, identity, lane_client, methods, queries
from kit import logs, metrics, serving, settings

# Beyond the guard's own limit, which answers with a reason; this one protects memory.
_RPCS_PER_COMMAND_IN_FLIGHT: Final = 2
# Ends connections that open calls and never send them; gRPC lets running calls finish.
_CONNECTION_AGE_MS: Final = 20 * 60 * 1_000

_log = logs.logger()


async def serve(gateway: settings.GatewaySettings, stop: asyncio.Future[str] | None = None) -> None:
    """Serve until told to stop, by `stop` or by a signal."""
    token = gateway.internal_token()
    pepper = gateway.api_key_pepper()
    # Two channels, so that a large page of a list cannot hold up the lane's stream.
    lane_channel = lane_client.create_channel(gateway.processor_target)
    query_channel = lane_client.create_channel(gateway.processor_target)
    lane = lane_client.LaneClient(lane_channel, token, in_flight_max=gateway.max_in_flight)
    reads = queries.QueryClient(query_channel, token)
    tasks = serving.Tasks()
    health = serving.Health(methods.SERVICE_NAMES)
    backends = endpoint.Backends(
        directory=identity.ProcessorKeyDirectory(reads, pepper, tasks=tasks),
        lane=lane,
        queries=reads,
        write_timeout_seconds=gateway.write_timeout_ms / 1_000,
        read_timeout_seconds=gateway.read_timeout_ms / 1_000,
    )
    server = serving.create_server(
        [guard.Guard(backends, health, shows_reflection=gateway.reflection)],
        rpcs_max=gateway.max_in_flight * _RPCS_PER_COMMAND_IN_FLIGHT,
        connection_age_ms=_CONNECTION_AGE_MS,
    )
    if gateway.reflection:
        serving.enable_reflection(server, methods.SERVICE_NAMES)
    port = serving.bind(server, gateway.gateway_listen)
    metrics_server = metrics.serve(gateway.metrics_listen, lambda: health.is_serving)
    async with asyncio.TaskGroup() as group:
        streaming = group.create_task(lane.run())
        await server.start()
        health.set_serving(True)
        _log.info(
            "gateway_started",
            listen=gateway.gateway_listen,
            port=port,
            metrics_port=metrics_server.port,
            processor=gateway.processor_target,
        )
        _log.info("gateway_stopping", why=await (stop or serving.wait_for_stop_signal()))
        stop_by = time.monotonic() + gateway.quiet_seconds + gateway.drain_seconds
        await serving.stop_gracefully(
            server,
            health,
            quiet_seconds=gateway.quiet_seconds,
            drain_seconds=gateway.drain_seconds,
        )
        # Commands whose callers left are still on their way.
        await lane.drain(max(stop_by - time.monotonic(), 0))
        await tasks.drain(identity.LOOKUP_TIMEOUT_SECONDS)
        streaming.cancel()
    await lane_channel.close()
    await query_channel.close()
    metrics_server.close()
    _log.info("gateway_stopped")


def main() -> None:
    """Run the gateway."""
    command.run("gateway", __doc__, settings.GatewaySettings, serve)


if __name__ == "__main__":
    main()

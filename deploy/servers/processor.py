"""The processor process: `python -m deploy.servers.processor [--check]`."""

import asyncio
import secrets
from typing import Final

from deploy import COMPILED
from deploy.servers import command
from kit import internal_auth, logs, metrics, serving, settings
from processor.lane import Lane, Limits
from processor.queries import QueryServicer
from processor.servicer import LaneServicer
from storage.postgres.lane_store import PostgresLaneStore
from storage.postgres.queries import PostgresQueries
from storage.redis.lease import RedisLease
from tender.v1 import lane_pb2_grpc, query_pb2_grpc

_RPCS_MAX: Final = 1_000
"""Streams and reads at a time; gateways are few and each read is short."""

_DRAIN_SECONDS: Final = 5.0
"""For commands that wait for a batch when the processor is told to stop."""

_log = logs.logger()


async def serve(
    processor: settings.ProcessorSettings, stop: asyncio.Future[str] | None = None
) -> None:
    """Own the lane and serve until told to stop, by `stop` or by a signal."""
    lane_url = processor.database_url
    lane = Lane(
        PostgresLaneStore(lane_url, processor.shard),
        region=processor.region,
        shard=processor.shard,
        # A restarted process is another owner, whatever its pid.
        owner=f"{processor.lane_owner}:{secrets.token_hex(4)}",
        lease=RedisLease(processor.redis_url, processor.shard) if processor.redis_url else None,
        limits=Limits(
            queue_commands_max=processor.queue_commands_max,
            batch_commands_max=processor.batch_commands_max,
            cache_items_max=processor.cache_items_max,
            request_key_retention_seconds=processor.request_key_retention_days * 24 * 3600,
            housekeeping_seconds=processor.sweep_interval_seconds,
        ),
    )
    queries = PostgresQueries(processor.query_database_url or lane_url, processor.shard)
    health = serving.Health()
    server = serving.create_server(
        [internal_auth.InternalGuard(processor.internal_token())],
        rpcs_max=_RPCS_MAX,
    )
    streams = LaneServicer(lane)
    lane_pb2_grpc.add_LaneServiceServicer_to_server(streams, server)
    query_pb2_grpc.add_QueryServiceServicer_to_server(QueryServicer(queries), server)
    health.add_to(server)
    port = serving.bind(server, processor.processor_listen)
    metrics_server = metrics.serve(processor.metrics_listen, lambda: health.is_serving)
    async with asyncio.TaskGroup() as group:
        group.create_task(lane.run())
        await server.start()
        health.set_serving(True)
        _log.info(
            "processor_started",
            listen=processor.processor_listen,
            port=port,
            metrics_port=metrics_server.port,
            shard=processor.shard,
            compiled=COMPILED,
        )
        _log.info("processor_stopping", why=await (stop or serving.wait_for_stop_signal()))
        health.set_serving(False)
        await lane.stop(_DRAIN_SECONDS)
        streams.end_streams()
        await server.stop(_DRAIN_SECONDS / 5)
    await queries.close()
    metrics_server.close()
    _log.info("processor_stopped")


def main() -> None:
    """Run the processor."""
    command.run("processor", __doc__, settings.ProcessorSettings, serve)


if __name__ == "__main__":
    main()

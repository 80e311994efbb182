"""The processor process: `python -m deploy.servers.processor [--check]`."""

import asyncio
import secrets
from collections.abc import Iterable
from typing import Final

from deploy import COMPILED
from deploy.servers import command
from kit import internal_auth, logs, metrics, serving, settings
from kit.shard_map import ShardMap
from kit.shard_settings import ShardSettings
from processor import hosting
from processor.directory import Directory, DirectoryServicer
from processor.lane import Lane, Limits
from processor.peers import NearestPeers, RemotePeers
from processor.ports import Peers
from processor.queries import QueryServicer
from processor.servicer import LaneServicer
from storage.postgres.lane_store import PostgresLaneStore
from storage.postgres.queries import PostgresQueries
from storage.redis.lease import RedisLease
from storage.shards.store import ShardMapStore
from tender.v1 import directory_pb2_grpc, lane_pb2_grpc, query_pb2_grpc

_RPCS_MAX: Final = 2_000
"""Streams, watchers and reads at a time; gateways are few and each read is short."""

_DRAIN_SECONDS: Final = 5.0
"""For commands that wait for a batch when the processor is told to stop."""

_log = logs.logger()


async def serve(
    processor: settings.ProcessorSettings, stop: asyncio.Future[str] | None = None
) -> None:
    """Own lanes and serve until told to stop, by `stop` or by a signal."""
    shards = processor.shards()
    directory = Directory(processor.lane_owner)
    lanes: dict[str, Lane] = {}

    def use_map(shard_map: ShardMap) -> None:
        directory.note_map(shard_map)
        for shard, lane in lanes.items():
            lane.set_homes(hosting.homes(shard_map, shard), shard_map.version)

    newest = hosting.NewestMap(use_map)
    others = RemotePeers(processor.peer_targets, processor.internal_token(), newest.hear)
    peers = NearestPeers(lanes, others)
    for each in shards:
        lanes[each.shard] = _lane(processor, each, directory, peers)
    reads = {each.shard: PostgresQueries(each.reading_url, each.shard) for each in shards}
    directory_url = processor.directory_database_url or shards[0].reading_url
    keys = PostgresQueries(directory_url, "")
    shard_map = ShardMapStore(directory_url)
    health = serving.Health()
    server = serving.create_server(
        [internal_auth.InternalGuard(processor.internal_token())],
        rpcs_max=_RPCS_MAX,
    )
    streams = LaneServicer(lanes)
    lane_pb2_grpc.add_LaneServiceServicer_to_server(streams, server)
    query_pb2_grpc.add_QueryServiceServicer_to_server(QueryServicer(reads, keys), server)
    directory_pb2_grpc.add_DirectoryServiceServicer_to_server(DirectoryServicer(directory), server)
    health.add_to(server)
    port = serving.bind(server, processor.processor_listen)
    metrics_server = metrics.serve(processor.metrics_listen, lambda: health.is_serving)
    async with asyncio.TaskGroup() as group:
        for lane in lanes.values():
            group.create_task(_run(lane, newest, is_alone=processor.is_alone))
        watching = [
            group.create_task(shard_map.watch(newest.note)),
            group.create_task(others.run()),
            group.create_task(streams.run()),
        ]
        await server.start()
        health.set_serving(True)
        _log.info(
            "processor_started",
            listen=processor.processor_listen,
            port=port,
            metrics_port=metrics_server.port,
            shards=sorted(lanes),
            compiled=COMPILED,
        )
        _log.info("processor_stopping", why=await (stop or serving.wait_for_stop_signal()))
        health.set_serving(False)
        await _stop_all(lanes.values())
        streams.end_streams()
        directory.close()
        await server.stop(_DRAIN_SECONDS / 5)
        for task in watching:
            task.cancel()
    for queries in (*reads.values(), keys):
        await queries.close()
    await shard_map.close()
    await others.close()
    metrics_server.close()
    _log.info("processor_stopped")


async def _run(lane: Lane, newest: hosting.NewestMap, *, is_alone: bool) -> None:
    """Run a lane; one of several decides nothing before it knows where the others' users are."""
    if not is_alone:
        known = asyncio.create_task(newest.known())
        stopped = asyncio.create_task(lane.told_to_stop())
        await asyncio.wait((known, stopped), return_when=asyncio.FIRST_COMPLETED)
        known.cancel()
        stopped.cancel()
    await lane.run()


def _lane(
    processor: settings.ProcessorSettings, shard: ShardSettings, directory: Directory, peers: Peers
) -> Lane:
    return Lane(
        PostgresLaneStore(shard.database_url, shard.shard),
        region=shard.region,
        shard=shard.shard,
        # A restarted process is another owner, whatever its pid.
        owner=f"{processor.lane_owner}:{secrets.token_hex(4)}",
        lease=RedisLease(processor.redis_url, shard.shard) if processor.redis_url else None,
        limits=Limits(
            queue_commands_max=processor.queue_commands_max,
            batch_commands_max=processor.batch_commands_max,
            cache_items_max=processor.cache_items_max,
            request_key_retention_seconds=processor.request_key_retention_days * 24 * 3600,
            housekeeping_seconds=processor.sweep_interval_seconds,
        ),
        on_ownership=directory.note_ownership,
        peers=peers,
    )


async def _stop_all(lanes: Iterable[Lane]) -> None:
    """Let all lanes end what waits, each for as long as one may take."""
    async with asyncio.TaskGroup() as group:
        for lane in lanes:
            group.create_task(lane.stop(_DRAIN_SECONDS))


def main() -> None:
    """Run the processor."""
    command.run("processor", __doc__, settings.ProcessorSettings, serve)


if __name__ == "__main__":
    main()

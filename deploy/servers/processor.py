"""The processor process: `python -m deploy.servers.processor [--check]`."""

import asyncio
import functools
import secrets
import time
from typing import Final

from deploy import COMPILED
from deploy.servers import command
from kit import internal_auth, logs, metrics, serving, settings
from kit.shard_map import ShardMap
from kit.shard_settings import ShardSettings
from processor import hosting
from processor.cached_reads import CachedReads
from processor.directory import Directory, DirectoryServicer
from processor.keeper import Keeper
from processor.lane import Lane, Limits
from processor.peers import NearestPeers, RemotePeers
from processor.pipes import LanePipes
from processor.ports import Peers
from processor.queries import QueryServicer
from processor.servicer import LaneServicer
from storage.balances import BalanceCache
from storage.postgres.lane_store import PostgresLaneStore
from storage.postgres.queries import PostgresQueries
from storage.postgres.replicas import ReplicatedQueries
from storage.redis.address import BadAddress
from storage.redis.lease import RedisLease
from storage.redis.witness import RedisWitness
from storage.shards.store import ShardMapStore
from tender.v1 import directory_pb2_grpc, lane_pb2_grpc, query_pb2_grpc

_RPCS_MAX: Final = 2_000
"""Streams, watchers and reads at a time; gateways are few and each read is short."""

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
    news = asyncio.Event()
    others = RemotePeers(
        processor.peer_targets, processor.internal_token(), newest.hear, changed=news.set
    )
    peers = NearestPeers(lanes, others)
    balances = _balances(processor)
    for each in shards:
        lanes[each.shard] = _lane(processor, each, directory, peers, balances)
    reads = {each.shard: _reads(processor, each, lanes[each.shard]) for each in shards}
    caches = {
        each.shard: CachedReads(
            balances,
            each.shard,
            staleness_seconds_max=processor.replica_staleness_seconds_max,
            incarnation=functools.partial(_incarnation, lanes[each.shard]),
        )
        for each in shards
        if balances is not None
    }
    directory_url = processor.directory_database_url or shards[0].reading_url
    keys = PostgresQueries(directory_url, "")
    shard_map = ShardMapStore(directory_url)
    health = serving.Health()
    server = serving.create_server(
        [internal_auth.InternalGuard(processor.internal_token())],
        rpcs_max=_RPCS_MAX,
    )
    streams = LaneServicer(lanes, shared=bool(processor.peer_targets))
    lane_pb2_grpc.add_LaneServiceServicer_to_server(streams, server)
    query_pb2_grpc.add_QueryServiceServicer_to_server(
        QueryServicer(reads, keys, caches=caches), server
    )
    directory_pb2_grpc.add_DirectoryServiceServicer_to_server(DirectoryServicer(directory), server)
    health.add_to(server)
    port = serving.bind(server, processor.processor_listen)
    pipes = LanePipes(streams, processor.internal_token())
    if processor.processor_pipe_listen is not None:
        directory.pipe_port = await pipes.listen(processor.processor_pipe_listen)
    metrics_server = metrics.serve(processor.metrics_listen, lambda: health.is_serving)
    keeper = Keeper(
        processor.lane_owner,
        lanes,
        others,
        changed=news,
        end_streams=streams.end_streams,
        steady_seconds=processor.handover_after_seconds,
    )
    async with asyncio.TaskGroup() as group:
        if processor.is_alone:
            newest.stop_waiting()
        running = {shard: group.create_task(_run(lane, newest)) for shard, lane in lanes.items()}
        keeping = group.create_task(_keep(keeper, newest))
        watching = [
            group.create_task(shard_map.watch(newest.note)),
            group.create_task(others.run()),
            group.create_task(streams.run()),
            *(group.create_task(one.run()) for one in reads.values()),
            *([group.create_task(balances.run())] if balances is not None else ()),
        ]
        await server.start()
        health.set_serving(True)
        _log.info(
            "processor_started",
            listen=processor.processor_listen,
            port=port,
            pipe_port=directory.pipe_port,
            metrics_port=metrics_server.port,
            shards=sorted(lanes),
            compiled=COMPILED,
        )
        _log.info("processor_stopping", why=await (stop or serving.wait_for_stop_signal()))
        stop_by = time.monotonic() + processor.drain_seconds
        health.set_serving(False)
        keeping.cancel()
        await asyncio.wait([keeping])
        newest.stop_waiting()
        directory.note_leaving()
        await keeper.stop(running, processor.drain_seconds)
        directory.close()
        await pipes.stop(max(stop_by - time.monotonic(), 0.0))
        await server.stop(max(stop_by - time.monotonic(), 0.0))
        for task in watching:
            task.cancel()
    for one in reads.values():
        await one.close()
    await keys.close()
    await shard_map.close()
    await others.close()
    metrics_server.close()
    _log.info("processor_stopped")


async def _run(lane: Lane, newest: hosting.NewestMap) -> None:
    """Run a lane; one of several decides nothing before it knows where the others' users are."""
    await newest.known()
    await lane.run()


async def _keep(keeper: Keeper, newest: hosting.NewestMap) -> None:
    await newest.known()
    await keeper.run()


def _lane(
    processor: settings.ProcessorSettings,
    shard: ShardSettings,
    directory: Directory,
    peers: Peers,
    balances: BalanceCache | None,
) -> Lane:
    return Lane(
        PostgresLaneStore(shard.database_url, shard.shard),
        region=shard.region,
        shard=shard.shard,
        # A restarted process is another owner, whatever its pid.
        owner=f"{processor.lane_owner}:{secrets.token_hex(4)}",
        lease=RedisLease(processor.redis_url, shard.shard) if processor.redis_url else None,
        witness=RedisWitness(processor.redis_url, shard.shard) if processor.redis_url else None,
        limits=Limits(
            queue_commands_max=processor.queue_commands_max,
            batch_commands_max=processor.batch_commands_max,
            cache_items_max=processor.cache_items_max,
            request_key_retention_seconds=processor.request_key_retention_days * 24 * 3600,
            housekeeping_seconds=processor.sweep_interval_seconds,
        ),
        on_ownership=directory.note_ownership,
        peers=peers,
        balances=balances,
        # Nobody else seeks it.
        pursued=not processor.peer_targets,
    )


def _incarnation(lane: Lane) -> str:
    return lane.incarnation


def _balances(processor: settings.ProcessorSettings) -> BalanceCache | None:
    """Return the cache of balances, if there is one."""
    if not (processor.redis_url and processor.balance_cache):
        return None
    try:
        return BalanceCache(
            processor.redis_url,
            processor.internal_token().encode(),
            entry_seconds=processor.balance_cache_seconds,
            timeout_seconds=processor.redis_timeout_ms / 1_000,
        )
    except BadAddress as bad:
        raise settings.BadSettings(f"{settings.PREFIX}REDIS_URL: {bad}") from None


def _reads(
    processor: settings.ProcessorSettings, shard: ShardSettings, lane: Lane
) -> ReplicatedQueries:
    return ReplicatedQueries(
        shard.reading_url,
        shard.replica_database_urls,
        shard.shard,
        staleness_seconds_max=processor.replica_staleness_seconds_max,
        known_seq=lambda: lane.committed_seq,
    )


def main() -> None:
    """Run the processor."""
    command.run("processor", __doc__, settings.ProcessorSettings, serve)


if __name__ == "__main__":
    main()

"""Tender's own two servers as children: what they are told, and when they are ready."""

import functools
import os
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

import deploy
from deploy.local import folder, ports, supervisor

START_SECONDS_MAX = 20.0
STOP_SECONDS_MAX = 20.0  # Longer than the servers give themselves to drain.
CHECK_SECONDS_MAX = 1.0


def environment() -> dict[str, str]:
    """Our environment, in which the children find the same packages as we do."""
    here = str(Path(deploy.__file__).parent.parent)
    path = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
    return dict(os.environ) | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def processor_environment(
    endpoints: folder.Endpoints,
    database_url: str,
    query_url: str,
    region: str,
    shard: str,
    shards_file: Path | None = None,
    own: folder.ProcessorEndpoints | None = None,
    replica_urls: Sequence[str] | None = None,
) -> dict[str, str]:
    """Of a processor with one shard; with a file it has those of the file instead.

    `own` says which one of the stack's processors it is; else it is alone.
    """
    standbys = endpoints.replica_urls if replica_urls is None else replica_urls
    several = {} if shards_file is None else {"TENDER_SHARDS_FILE": str(shards_file)}
    alone = {
        "TENDER_PROCESSOR_LISTEN": endpoints.processor,
        "TENDER_METRICS_LISTEN": endpoints.processor_metrics,
    }
    named = alone if own is None else _named(own, endpoints.processors)
    return (
        several
        | named
        | {
            "TENDER_PROCESSOR_PIPE_LISTEN": "127.0.0.1:0",
            "TENDER_DATABASE_URL": database_url,
            "TENDER_QUERY_DATABASE_URL": query_url,
            "TENDER_REPLICA_DATABASE_URLS": ",".join(standbys),
            "TENDER_REDIS_URL": endpoints.redis_url,
            "TENDER_KAFKA_BOOTSTRAP": endpoints.kafka_bootstrap,
            "TENDER_INTERNAL_TOKEN_FILE": str(endpoints.internal_token_file),
            "TENDER_REGION": region,
            "TENDER_SHARD": shard,
        }
    )


def _named(
    own: folder.ProcessorEndpoints, all_of_them: Sequence[folder.ProcessorEndpoints]
) -> dict[str, str]:
    return {
        "TENDER_LANE_OWNER": own.name,
        "TENDER_PROCESSOR_LISTEN": own.address,
        "TENDER_METRICS_LISTEN": own.metrics,
        "TENDER_PEER_TARGETS": ",".join(
            each.address for each in all_of_them if each.name != own.name
        ),
    }


def gateway_environment(
    endpoints: folder.Endpoints, region: str, *, reflection: bool, workers: int = 1
) -> dict[str, str]:
    return {
        "TENDER_GATEWAY_LISTEN": endpoints.gateway,
        "TENDER_PROCESSOR_TARGETS": ",".join(each.address for each in endpoints.processors)
        or endpoints.processor,
        "TENDER_METRICS_LISTEN": endpoints.gateway_metrics,
        "TENDER_INTERNAL_TOKEN_FILE": str(endpoints.internal_token_file),
        "TENDER_API_KEY_PEPPER_FILE": str(endpoints.api_key_pepper_file),
        "TENDER_REDIS_URL": endpoints.redis_url,
        "TENDER_REGION": region,
        "TENDER_GATEWAY_WORKERS": str(workers),
        "TENDER_REFLECTION": "1" if reflection else "0",
    }


def relay_environment(
    endpoints: folder.Endpoints, region: str, shards_file: Path, archive: Path | None = None
) -> dict[str, str]:
    return {
        "TENDER_ARCHIVE_FOLDER": str(archive or ""),
        "TENDER_SHARDS_FILE": str(shards_file),
        "TENDER_KAFKA_BOOTSTRAP": endpoints.kafka_bootstrap,
        "TENDER_METRICS_LISTEN": endpoints.relay_metrics,
        "TENDER_REGION": region,
    }


def service(
    name: str, module: str, target: str, env: Mapping[str, str], log: Path, *, niceness: int = 0
) -> supervisor.Service:
    """A server that is ready when its health service says so."""
    return supervisor.Service(
        name=name,
        where=target,
        argv=(sys.executable, "-m", module),
        env=env,
        log=log,
        probe=functools.partial(probe, target),
        start_seconds_max=START_SECONDS_MAX,
        stop_seconds_max=STOP_SECONDS_MAX,
        niceness=niceness,
    )


def metrics_service(
    name: str, module: str, where: str, env: Mapping[str, str], log: Path, *, niceness: int = 0
) -> supervisor.Service:
    """A server that nobody calls; it is ready when its /healthz says so."""
    return supervisor.Service(
        name=name,
        where=where,
        argv=(sys.executable, "-m", module),
        env=env,
        log=log,
        probe=functools.partial(probe_healthz, where),
        start_seconds_max=START_SECONDS_MAX,
        stop_seconds_max=STOP_SECONDS_MAX,
        niceness=niceness,
    )


def probe_healthz(where: str) -> None:
    """Raise NotReady unless /healthz answers 200."""
    try:
        with urllib.request.urlopen(f"http://{where}/healthz", timeout=CHECK_SECONDS_MAX):
            pass
    except OSError as error:
        raise supervisor.NotReady(f"healthz: {error}") from error


def probe(target: str) -> None:
    """Raise NotReady unless grpc.health.v1 answers SERVING."""
    try:
        ports.connect(target)
    except OSError as error:
        raise supervisor.NotReady(str(error)) from error
    with grpc.insecure_channel(target) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=CHECK_SECONDS_MAX
            )
        except grpc.RpcError as error:
            raise supervisor.NotReady(f"{error.code().name}: {error.details()}") from error
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        raise supervisor.NotReady(f"health is {status}")

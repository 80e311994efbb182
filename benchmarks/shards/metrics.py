"""What the servers' own metrics say."""

import time
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client import parser
from prometheus_client.samples import Sample

from deploy.local.folder import Endpoints

SCRAPE_SECONDS_MAX: Final = 5.0
REDIS_SECONDS_MAX: Final = 10.0


def samples(address: str, name: str) -> list[Sample]:
    """Return a metric of one server. Raises OSError if it does not answer."""
    with urllib.request.urlopen(
        f"http://{address}/metrics", timeout=SCRAPE_SECONDS_MAX
    ) as response:
        text = response.read().decode()
    return [
        sample
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    ]


def _of_processors(endpoints: Endpoints, name: str) -> Iterator[Sample]:
    for processor in endpoints.processors:
        yield from samples(processor.metrics, name)


def lane_commands(endpoints: Endpoints) -> float:
    """Return how many commands all lanes have decided."""
    return sum(one.value for one in _of_processors(endpoints, "tender_lane_commands_total"))


def reads(endpoints: Endpoints) -> dict[str, float]:
    """Return how many reads were answered so far, by who did."""
    found = {"cache": 0.0, "primary": 0.0, "replica": 0.0}
    for one in _of_processors(endpoints, "tender_reads_total"):
        found[one.labels["source"]] += one.value
    return found


def standbys_follow(endpoints: Endpoints) -> bool:
    """Say whether every processor reads from every standby, and each has all that was written."""
    found = [one.value for one in _of_processors(endpoints, "tender_replica_up")]
    behind = [one.value for one in _of_processors(endpoints, "tender_replica_lag_seq")]
    return bool(found) and all(found) and not any(behind)


def replays(addresses: Mapping[str, str], gateway: str, source: str) -> float:
    """Return how many repeats a gateway has answered so far, from the cache or the lane."""
    found = samples(addresses[f"{gateway}_metrics"], "tender_gateway_replays_total")
    return sum(one.value for one in found if one.labels["source"] == source)


def redis_timeouts(addresses: Mapping[str, str], gateway: str) -> float:
    """Return how many calls of a gateway's Redis had no answer in time so far."""
    found = samples(addresses[f"{gateway}_metrics"], "tender_redis_calls_total")
    return sum(one.value for one in found if one.labels["outcome"] == "timeout")


def replays_unanswered(addresses: Mapping[str, str], gateway: str) -> float:
    """Return how many calls a gateway has sent on because its Redis was away or did not answer."""
    found = samples(addresses[f"{gateway}_metrics"], "tender_gateway_replay_ignored_total")
    return sum(one.value for one in found if one.labels["reason"] in ("away", "unanswered"))


def redis_is_asked(addresses: Mapping[str, str], gateway: str) -> bool:
    """Say whether a gateway uses its Redis for everything that it may."""
    found = samples(addresses[f"{gateway}_metrics"], "tender_redis_up")
    return bool(found) and all(one.value for one in found)


def await_redis(addresses: Mapping[str, str], gateway: str) -> None:
    """Wait until a gateway uses its Redis. Raises TimeoutError."""
    deadline = time.monotonic() + REDIS_SECONDS_MAX
    while not redis_is_asked(addresses, gateway):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{gateway} does not use its Redis")
        time.sleep(0.05)


def lanes_of(metrics_address: str) -> frozenset[str]:
    """Return the shards whose lanes a processor holds; none if it does not answer."""
    try:
        found = samples(metrics_address, "tender_lane_open")
    except OSError:
        return frozenset()
    return frozenset(one.labels["shard"] for one in found if one.value == 1)

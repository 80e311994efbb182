"""One call per turn of the loop; whatever Redis does, everybody hears within a moment."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
import redis

from storage.redis import tick
from storage.redis.address import BadAddress, Kind, parse
from storage.redis.tick import Packed, Tick
from tests.cache.conftest import StartServer
from tests.cache.proxy import Proxy
from tests.cache.server import Server
from tests.gateway.conftest import free_address, metric, until

TIMEOUT_SECONDS = 0.1
HEARD_SECONDS_MAX = 3.0
FAILOVER_SECONDS_MAX = 60.0
COUNT = """
local counts = {}
for i, key in ipairs(KEYS) do
    counts[i] = redis.call('INCRBY', key, ARGV[1])
end
return counts
"""


class Addition(NamedTuple):
    key: bytes
    sum: "asyncio.Future[int | None]"


class Counting:
    """A role that counts by key."""

    name = "counting"
    script = COUNT

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def pack(self, items: Sequence[Addition]) -> Packed:
        self.sizes.append(len(items))
        return Packed([item.key for item in items], [1])

    def heard(self, items: Sequence[Addition], reply: Any) -> None:
        for number, item in enumerate(items):
            item.sum.set_result(None if reply is None else reply[number])


class Counter:
    def __init__(self, url: str) -> None:
        self.role = Counting()
        self.tick: Tick[Addition] = Tick(url, self.role, TIMEOUT_SECONDS)

    def add(self, key: bytes) -> "asyncio.Future[int | None]":
        addition = Addition(key, asyncio.get_running_loop().create_future())
        if not self.tick.ask(addition):
            addition.sum.set_result(None)
        return addition.sum

    async def heard(self, key: bytes) -> int | None:
        """Add one, and wait no longer than anybody ever does."""
        async with asyncio.timeout(HEARD_SECONDS_MAX):
            return await self.add(key)

    async def is_down(self) -> None:
        """Ask until nothing is asked any more."""
        while self.tick.is_up:
            await self.heard(b"down")


@asynccontextmanager
async def counting(url: str) -> AsyncIterator[Counter]:
    counter = Counter(url)
    running = asyncio.create_task(counter.tick.run())
    try:
        await until(lambda: counter.tick.is_up)
        yield counter
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_all_that_waits_goes_with_one_call(server: Server) -> None:
    async with counting(server.url) as counter:
        sums = await asyncio.gather(*(counter.add(b"k%d" % (n % 3)) for n in range(9)))

    assert sums == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert counter.role.sizes == [9]


async def test_a_call_has_a_bounded_size_and_order_is_kept(server: Server) -> None:
    async with counting(server.url) as counter:
        sums = await asyncio.gather(*(counter.add(b"k") for _ in range(1_200)))

    assert sums == list(range(1, 1_201))
    assert max(counter.role.sizes) == tick.ITEMS_MAX


async def test_more_than_may_wait_is_not_asked(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tick, "WAITING_MAX", 2)
    async with counting(server.url) as counter:
        sums = await asyncio.gather(*(counter.add(b"k") for _ in range(3)))

    assert sums == [1, 2, None]


async def test_while_redis_hangs_everybody_hears_in_time_and_then_nobody_waits(
    server: Server,
) -> None:
    async with counting(server.url) as counter:
        timeouts = metric("tender_redis_calls_total", {"role": "counting", "outcome": "timeout"})
        with server.paused():
            assert await counter.heard(b"k") is None
            await counter.is_down()
            started = time.monotonic()
            assert await counter.heard(b"k") is None
            assert time.monotonic() - started < TIMEOUT_SECONDS
        await until(lambda: counter.tick.is_up)

        assert await counter.heard(b"fresh") == 1
    now = metric("tender_redis_calls_total", {"role": "counting", "outcome": "timeout"})
    assert now - timeouts == tick.FAILURES_MAX


async def test_redis_killed_and_started_again_is_used_again(server: Server) -> None:
    async with counting(server.url) as counter:
        assert await counter.heard(b"k") == 1
        server.kill()
        await until(lambda: not counter.tick.is_up)
        assert await counter.heard(b"k") is None

        server.start()
        await until(lambda: counter.tick.is_up)
        assert await counter.heard(b"k") == 1


async def test_a_redis_that_is_too_slow_is_done_without(server: Server) -> None:
    async with Proxy(server.host, server.port) as proxy:
        url = server.url.replace(server.place, proxy.place)
        async with counting(url) as counter:
            assert await counter.heard(b"k") == 1
            proxy.delay_seconds = TIMEOUT_SECONDS * 3
            await counter.is_down()
            # A probe that comes late is none.
            await asyncio.sleep(tick.PROBE_SECONDS_MIN * 6)
            assert not counter.tick.is_up

            proxy.delay_seconds = 0
            await until(lambda: counter.tick.is_up)
            assert await counter.heard(b"other") == 1


async def test_an_error_of_redis_is_no_answer(server: Server) -> None:
    async with counting(server.url) as counter:
        with server.client as client:
            client.lpush("list", 1)

        assert await counter.heard(b"list") is None
        await until(lambda: counter.tick.is_up)
        assert await counter.heard(b"k") == 1


async def test_a_script_that_redis_forgot_is_loaded_again(server: Server) -> None:
    async with counting(server.url) as counter:
        with server.client as client:
            client.script_flush()

        assert await counter.heard(b"k") is None
        await until(lambda: counter.tick.is_up)
        assert await counter.heard(b"k") == 1


async def test_a_cluster_gets_a_call_for_each_slot(start_server: StartServer) -> None:
    bus_port = free_address().rpartition(":")[2]
    server = start_server("--cluster-enabled", "yes", "--cluster-port", bus_port)
    with server.client as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
    await until(lambda: _is_formed(server))
    url = server.url.replace("redis://", "redis+cluster://").removesuffix("/0")

    async with counting(url) as counter:
        sums = await asyncio.gather(
            *(counter.add(b"{%d}:%d" % (n % 4, n // 4)) for n in range(12)),
            *(counter.add(b"{%d}:%d" % (n % 4, n // 4)) for n in range(12)),
        )

    assert sums == [1] * 12 + [2] * 12
    assert counter.role.sizes == [6] * 4


def _is_formed(server: Server) -> bool:
    with server.client as client:
        return "'cluster_state': 'ok'" in str(client.execute_command("CLUSTER INFO"))


async def test_sentinels_lead_to_the_master_and_after_a_failover_to_the_next_one(
    start_server: StartServer,
) -> None:
    first, second = start_server(password=""), start_server(password="")
    with second.client as client:
        client.replicaof(first.host, first.port)
    sentinel = start_server("--sentinel", password="")
    with sentinel.client as client:
        client.execute_command("SENTINEL", "MONITOR", "tender", first.host, first.port, 1)
    url = f"redis+sentinel://{sentinel.place}/tender"

    async with counting(url) as counter:
        assert await counter.heard(b"k") == 1
        async with asyncio.timeout(FAILOVER_SECONDS_MAX):
            while not _fails_over(sentinel):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            while not _counted(second):
                await counter.heard(b"new")
                await asyncio.sleep(0.05)


def _fails_over(sentinel: Server) -> bool:
    with sentinel.client as client:
        try:
            client.execute_command("SENTINEL", "FAILOVER", "tender")
        except redis.ResponseError:
            return False  # It does not know the replica yet, or not that it is up.
        return True


def _counted(server: Server) -> bool:
    with server.client as client:
        return bool(client.role()[0] == b"master" and client.exists("new"))


@pytest.mark.parametrize(
    ("url", "kind", "hosts"),
    [
        ("redis://:pw@cache:7000/3", Kind.NODE, (("cache", 7000),)),
        ("rediss://cache", Kind.NODE, (("cache", 6379),)),
        ("redis+sentinel://a,b:5/main", Kind.SENTINEL, (("a", 26379), ("b", 5))),
        ("redis+cluster://u:p%40@a:1,b:2", Kind.CLUSTER, (("a", 1), ("b", 2))),
    ],
)
def test_urls_name_what_is_there(url: str, kind: Kind, hosts: tuple[tuple[str, int], ...]) -> None:
    address = parse(url)

    assert (address.kind, address.hosts) == (kind, hosts)


@pytest.mark.parametrize(
    "url", ["", "http://a", "redis://", "redis+sentinel://a", "redis://a:b:c", "redis+other://a"]
)
def test_a_url_of_another_form_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(BadAddress) as bad:
        parse(url)

    assert str(bad.value) == "not a URL of Redis"

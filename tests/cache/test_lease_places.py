"""A lane's lease in a Cluster and behind Sentinels, and where neither is there yet."""

from storage.redis.lease import RedisLease
from tests.cache.conftest import StartServer, cluster_url
from tests.gateway.conftest import free_address

LIFE_MS = 60_000


async def _is_held_once(url: str) -> None:
    first, second = (RedisLease(url, "s1", life_ms=LIFE_MS) for _ in range(2))

    assert await first.claim("first")
    assert not await second.claim("second")
    await first.release("first")
    assert await second.claim("second")


async def test_a_lease_in_a_cluster(start_server: StartServer) -> None:
    await _is_held_once(await cluster_url(start_server))


async def test_a_lease_behind_sentinels(start_server: StartServer) -> None:
    node, sentinel = start_server(password=""), start_server("--sentinel", password="")
    with sentinel.client as client:
        client.execute_command("SENTINEL", "MONITOR", "tender", node.host, node.port, 1)

    await _is_held_once(f"redis+sentinel://{sentinel.place}/tender")


async def test_a_lease_where_nobody_answers_is_nobody_s() -> None:
    for form in ("redis://{}", "redis+cluster://{}", "redis+sentinel://{}/tender"):
        lease = RedisLease(form.format(free_address()), "s1")

        assert not await lease.claim("first")

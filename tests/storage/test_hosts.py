"""URLs that name several servers, and the one among them that takes writes."""

import pytest

from deploy.local.stack import Stack
from storage.postgres import hosts

TAIL = "/db?sslmode=disable"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"postgresql://u:p@a:1{TAIL}", [f"postgresql://u:p@a:1{TAIL}"]),
        (
            f"postgresql://u:p@a:1,b:2{TAIL}&target_session_attrs=read-write",
            [f"postgresql://u:p@a:1{TAIL}", f"postgresql://u:p@b:2{TAIL}"],
        ),
        (
            "postgresql://u:p@/db?host=/run/x,/run/y&port=1,2",
            [
                "postgresql://u:p@/db?host=/run/x&port=1",
                "postgresql://u:p@/db?host=/run/y&port=2",
            ],
        ),
        (
            "postgresql:///db?host=a,b&port=7",
            ["postgresql:///db?host=a&port=7", "postgresql:///db?host=b&port=7"],
        ),
        ("postgresql:///db?host=/run/x", ["postgresql:///db?host=/run/x"]),
    ],
)
def test_each_host_gets_a_url_of_its_own(url: str, expected: list[str]) -> None:
    assert list(hosts.each(url)) == expected


def of_both(engines: Stack, *, first: str) -> str:
    """Return a URL with the standby and the primary, in one order or the other."""
    primary, standby = engines.endpoints.query_url, engines.endpoints.replica_urls[0]
    named = (standby, primary) if first == "standby" else (primary, standby)
    places = ",".join(url.partition("@")[2].partition("/")[0] for url in named)
    return f"{primary.partition('@')[0]}@{places}/tender?sslmode=disable"


@pytest.mark.parametrize("first", ["standby", "primary"])
async def test_the_server_that_takes_writes_is_found_in_any_place(
    engines: Stack, first: str
) -> None:
    found = await hosts.find_primary(of_both(engines, first=first), timeout_seconds=5)

    try:
        assert found.url == engines.endpoints.query_url
        assert await found.connection.fetchval("SELECT NOT pg_is_in_recovery()")
        assert found.timeline == "00000001"
    finally:
        await found.connection.close()


async def test_a_server_that_is_gone_keeps_nobody_from_the_others(engines: Stack) -> None:
    primary = engines.endpoints.query_url
    url = primary.replace("@", "@127.0.0.1:1,")

    found = await hosts.find_primary(url, timeout_seconds=5)

    assert found.url == primary
    await found.connection.close()


async def test_where_nobody_takes_writes_there_is_no_timeline(engines: Stack) -> None:
    assert await hosts.newest_timeline("postgresql://u@127.0.0.1:1/x", timeout_seconds=2) == ""
    standby = engines.endpoints.replica_urls[0]
    assert await hosts.newest_timeline(standby, timeout_seconds=2) == ""

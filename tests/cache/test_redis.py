"""What is used of Valkey, Redis 7 has too: the same tests on the one that Debian packages."""

from pathlib import Path
from typing import Final

import pytest

from tests.cache.server import Server
from tests.cache.test_balances import (  # noqa: F401
    desk,
    test_a_cache_that_lost_all_is_filled_again,
    test_a_cluster_keeps_a_shard_s_rows_together,
    test_an_owner_that_lost_the_lane_is_not_heard,
    test_what_is_committed_is_read_with_its_commit,
)
from tests.cache.test_lease_places import test_a_lease_in_a_cluster  # noqa: F401
from tests.cache.test_limits import test_gateways_count_together  # noqa: F401
from tests.cache.test_replays import (  # noqa: F401
    stack,
    test_a_refusal_is_not_kept_and_leaves_no_mark,
    test_a_repeat_is_answered_without_its_lane,
    test_a_second_gateway_waits_for_the_first_one_s_call,
)
from tests.cache.test_tick import (  # noqa: F401
    test_a_cluster_gets_a_call_for_each_slot,
    test_a_script_that_redis_forgot_is_loaded_again,
    test_redis_killed_and_started_again_is_used_again,
)

PROGRAM: Final = Path("/usr/bin/redis-server")


@pytest.fixture
def program() -> Path:
    return PROGRAM


def test_it_is_redis_7(server: Server) -> None:
    with server.client as client:
        told = client.info("server")

    assert "valkey_version" not in told
    assert int(told["redis_version"].partition(".")[0]) >= 7

"""Connections of a lane: plans that cannot fall off a cliff (R8), death noticed soon (R11)."""

from typing import Final

from storage.postgres import hosts

CONNECT_SECONDS: Final = 3.0
"""Longer than a healthy server needs, shorter than a caller waits."""

PLAN_SETTINGS: Final = {
    # A plan cached while tables were near empty would scan them for ever; every statement of the
    # lane is a set of look-ups by key, so nothing is lost by ruling the other plans out.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}

LIVENESS_SETTINGS: Final = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "idle_in_transaction_session_timeout": "10000",
}


async def connect(dsn: str, name: str) -> hosts.Primary:
    """Return a connection of a lane, to the newest primary of the servers that the URL names."""
    settings = {"application_name": name, **LIVENESS_SETTINGS, **PLAN_SETTINGS}
    return await hosts.find_primary(dsn, timeout_seconds=CONNECT_SECONDS, server_settings=settings)

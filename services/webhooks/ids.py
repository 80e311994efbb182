"""Ids of endpoints and deliveries, in the order of time."""

import secrets
import time
from typing import Final

ENDPOINT: Final = "whe"
DELIVERY: Final = "whd"
FORM: Final = r"_[0-9a-f]{32}"
_RANDOM_BYTES: Final = 8


def new(kind: str, index: int = 0) -> str:
    """Return a new id; those that are made together keep the order of their index."""
    return f"{kind}_{time.time_ns() // 1_000_000:012x}{index:04x}{secrets.token_hex(_RANDOM_BYTES)}"

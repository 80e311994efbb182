"""What a decision is given besides the command and the state: time, place and new ids."""

from collections.abc import Mapping
from typing import NamedTuple

from processor.domain.ids import Mint


class Context(NamedTuple):
    """Lane time in µs since 1970, the lane's region and shard, the source of ids, and the homes.

    `homes` says which shard has each bucket, as in `place.Place`.
    """

    now: int
    region: str
    shard: str
    mint: Mint
    homes: Mapping[str, str] | None = None

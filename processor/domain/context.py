"""What a decision is given besides the command and the state: time, place and new ids."""

from typing import NamedTuple

from processor.domain.ids import Mint


class Context(NamedTuple):
    """Lane time in µs since 1970, the lane's region and shard, and the source of ids."""

    now: int
    region: str
    shard: str
    mint: Mint

"""Which of several processors has which lane: decided from what they tell of themselves.

Nothing here keeps two from writing: the lock and the epoch in Postgres do. This says who tries.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

ORPHAN_SECONDS: Final = 1.0
"""A lane that nobody tells of for so long is opened by whoever can: the preferred one cannot."""

EVICT_SECONDS: Final = 0.5
"""Where no lease tells whether an owner lives, its session is ended when the lane was told by
nobody for so long; its owner then was silent for longer than a busy machine makes it."""

LOST_SECONDS: Final = 30.0
"""Who lost a lane and hears of no new owner ends nobody's session without a lease for so long. Else
two processors that reach the database and not each other would end one another's for ever."""


class Peer(NamedTuple):
    """Another processor that is heard now; `steady_since` in s of the monotonic clock."""

    name: str
    epochs: Mapping[str, int]
    steady_since: float
    is_leaving: bool = False


def preferred(shard: str, names: Iterable[str]) -> str:
    """Return the one of the processors, at least one, that a lane is best held by.

    By rendezvous hashing: one that comes or goes moves its own share of the lanes and no other.
    """
    return max(names, key=lambda name: (_weight(shard, name), name))


def _weight(shard: str, name: str) -> bytes:
    # The length keeps ("ab", "c") and ("a", "bc") apart.
    text = f"{len(name)}:{name}{shard}"
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def holder(shard: str, peers: Iterable[Peer]) -> Peer | None:
    """Return the peer that tells that it holds a lane; of two, the other one lost it."""
    telling = [peer for peer in peers if shard in peer.epochs]
    return max(telling, key=lambda peer: peer.epochs[shard], default=None)


def should_open(shard: str, own_name: str, peers: Sequence[Peer], orphaned_seconds: float) -> bool:
    """Say whether to take a lane that nobody tells of, and that for so many seconds."""
    if orphaned_seconds >= ORPHAN_SECONDS:
        return True
    return preferred(shard, (own_name, *_staying(peers))) == own_name


def should_hand_over(
    shard: str, own_name: str, peers: Sequence[Peer], now: float, steady_seconds: float
) -> bool:
    """Say whether to give up a lane that is held here, because it belongs with another.

    The other one is then the first to open it, and has no reason to give it back. Who crashes
    again and again is never heard for `steady_seconds`, and is given none.
    """
    best = preferred(shard, (own_name, *_staying(peers)))
    return best != own_name and all(
        now - peer.steady_since >= steady_seconds for peer in peers if peer.name == best
    )


def should_evict(orphaned_seconds: float, lost_seconds: float) -> bool:
    """Say whether the recorded owner's session may be ended where no lease can be asked.

    `lost_seconds` is the time since the lane was lost here to somebody unheard; infinite if it was
    not.
    """
    return orphaned_seconds >= EVICT_SECONDS and lost_seconds >= LOST_SECONDS


def _staying(peers: Iterable[Peer]) -> list[str]:
    return [peer.name for peer in peers if not peer.is_leaving]

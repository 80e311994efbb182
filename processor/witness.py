"""Tells when a shard's database has lost commits: somebody outside it remembers the last (R12).

The witness writes a few times a second, so commits of the last moments before a loss may be unknown
to it. What it remembers and the journal lacks was acknowledged and is gone.
"""

from typing import Protocol

import structlog

from kit import metrics
from processor.ports import LaneStorage, Opened

log = structlog.get_logger()


class Witness(Protocol):
    """Remembers the head of one shard's journal, outside its database.

    A head is a commit's number and its hash, which stands for all the history up to it.
    """

    async def last(self) -> tuple[int, bytes] | None:
        """Return the last head it was told; None if it knows none or cannot be asked."""

    def keep(self, incarnation: str, head: tuple[int, bytes]) -> None:
        """Remember this head, and from now on what `note` tells: the caller has the lane."""

    def note(self, head: tuple[int, bytes]) -> None:
        """Take note of a commit that was acknowledged; returns at once."""

    async def release(self) -> None:
        """Write down what was noted last, and take no more."""


class NoWitness:
    """For a lane without Redis: losses are for the cluster's manager to tell."""

    async def last(self) -> tuple[int, bytes] | None:
        """Know nothing."""
        return None

    def keep(self, incarnation: str, head: tuple[int, bytes]) -> None:
        """Remember nothing."""

    def note(self, head: tuple[int, bytes]) -> None:
        """Remember nothing."""

    async def release(self) -> None:
        """Nothing to write down."""


async def report_losses(
    witness: Witness, storage: LaneStorage, opened: Opened, acknowledged: tuple[int, bytes]
) -> None:
    """Compare the journal as taken over with what others remember, before it decides anything.

    `acknowledged` is the last head for which this process itself has answered, number 0 if none.
    Raises Unavailable.
    """
    shard = opened.ownership.shard
    witnessed_seq, witnessed_hash = max(await witness.last() or acknowledged, acknowledged)
    if witnessed_seq > 0:
        kept = await storage.hash_of(witnessed_seq)
        if kept != witnessed_hash:
            lost = max(witnessed_seq - opened.seq, 1)
            metrics.lane_meter(shard).lost_commits.inc(lost)
            log.error(
                "history_lost",
                shard=shard,
                witnessed_seq=witnessed_seq,
                witnessed_hash=witnessed_hash.hex(),
                # Beyond the witness's commit, or instead of it, there is another history.
                kept_seq=opened.seq,
                commits_at_least=lost,
            )
    witness.keep(opened.ownership.incarnation, (opened.seq, opened.hash))

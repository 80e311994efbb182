"""Moves buckets to another shard, step by step: copy, freeze, catch up, release, wait, map.

The mover holds no truth. What is done shows in the two shards, and every step may be repeated by
anybody; so one that died is followed by another.
"""

import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from deploy.local.commands import moving
from deploy.local.commands.moving import MOVED, OWNED, Lanes, NotMoved, Part, Refused
from kit import buckets

STEPS: Final = ("COPYING", "COPIED", "FROZEN", "CAUGHT_UP", "RELEASED", "TAKEN", "MAPPED")
"""Where tests let a mover die."""
_DIES_AT: Final = "TENDER_MOVER_DIES_AT"

_RANGE: Final = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?", re.ASCII)

BEHIND_MAX: Final = 20
"""Commits that may be left to copy when the bucket is frozen: some ms of reading."""
FREEZE_MS: Final = (400, 400, 800, 1_600, 3_200, 5_000)
"""How long each try may take before the lane goes on by itself; the first are hardly felt."""
TAKEN_POLL_SECONDS: Final = 0.01
COPY_AGAIN_SECONDS: Final = 0.5
"""A bucket that is not taken by then may lack copies that its new shard lost in a failover."""


@dataclass
class Moved:
    """What was done for one bucket."""

    bucket: int
    rows_read: int = 0
    frozen_ms: int = 0
    """As long as nothing was decided on it, as the mover saw it."""
    freezes: int = 0


@dataclass
class Mover:
    """Moves buckets of one region to a shard. `write_map` puts a part of them into the map."""

    lanes: Lanes
    to: str
    write_map: Callable[[Part], None]
    say: Callable[[str], None]
    with_users: list[Moved] = field(default_factory=list)

    def move(self, part: Part) -> None:
        """Move what one shard has by the map. Raises NotMoved."""
        there = self.lanes.buckets(part.source)
        for each in runs(part, there):
            state = there.get(each.first_bucket)
            if state is not None and state == (MOVED, self.to):
                self._finish(each)
            else:
                self._move_owned(each)

    def undo(self, part: Part) -> None:
        """Let a shard go on with what it has not given away yet. Raises NotMoved."""
        there = self.lanes.buckets(part.source)
        for bucket in range(part.first_bucket, part.last_bucket + 1):
            state = there.get(bucket)
            if state is not None and state.state == OWNED:
                self.lanes.freeze(part.source, bucket, 0)

    def _move_owned(self, part: Part) -> None:
        """Move buckets without users at once, and each of those that have some by itself."""
        if self.lanes.release(part, self.to):
            self.say(
                f"buckets {part.first_bucket} to {part.last_bucket} of {part.source}: no users"
            )
            self._finish(part)
            return
        if part.first_bucket == part.last_bucket:
            self._move_with_users(part)
            return
        middle = (part.first_bucket + part.last_bucket) // 2
        self._move_owned(part._replace(last_bucket=middle))
        self._move_owned(part._replace(first_bucket=middle + 1))

    def _move_with_users(self, part: Part) -> None:
        moved = Moved(part.first_bucket)
        self._copy(part, moved)
        reached("COPIED")
        for attempt, freeze_ms in enumerate(FREEZE_MS, start=1):
            try:
                self._hand_over(part, moved, freeze_ms)
                break
            except Refused:
                # The freeze ended before the release came, or its lane did.
                if attempt == len(FREEZE_MS):
                    raise
                self._copy(part, moved)
        self.with_users.append(moved)
        self.say(
            f"bucket {moved.bucket} of {part.source}: {moved.rows_read} rows copied, frozen for"
            f" {moved.frozen_ms} ms"
        )
        self._finish(part)

    def _hand_over(self, part: Part, moved: Moved, freeze_ms: int) -> None:
        """Freeze, copy what is left, release."""
        moved.freezes += 1
        frozen_at = self.lanes.freeze(part.source, part.first_bucket, freeze_ms)
        began = time.monotonic()
        reached("FROZEN")
        position = self._copy(part, moved, frozen_at)
        reached("CAUGHT_UP")
        self.lanes.release(part, self.to, position)
        moved.frozen_ms = round((time.monotonic() - began) * 1_000)
        reached("RELEASED")

    def _copy(self, part: Part, moved: Moved, until_seq: int = 0) -> str:
        """Copy up to a commit, or until little is left; return the position."""
        bucket = part.first_bucket
        position = self.lanes.take(self.to, bucket)
        while True:
            page = self.lanes.copy(part.source, bucket, position)
            moved.rows_read += page.rows
            position = self.lanes.take(self.to, bucket, page.page)
            reached("COPYING")
            # Where another mover is at work too, the copy may be somewhere else.
            is_ours = position == page.position
            if is_ours and page.seq and page.seq >= (until_seq or page.head_seq - BEHIND_MAX):
                return position

    def _finish(self, part: Part) -> None:
        """Wait until the buckets are taken, and put them into the map. Raises NotMoved."""
        until = time.monotonic() + moving.PATIENCE_SECONDS
        copy_at = time.monotonic() + COPY_AGAIN_SECONDS
        while not self.lanes.owns(self.to, part.first_bucket, part.last_bucket):
            now = time.monotonic()
            if now > until:
                raise NotMoved(
                    f"shard {self.to} has not taken buckets {part.first_bucket} to"
                    f" {part.last_bucket}"
                )
            if now > copy_at and part.first_bucket == part.last_bucket:
                self._copy(part, Moved(part.first_bucket))
                copy_at = now + COPY_AGAIN_SECONDS
            time.sleep(TAKEN_POLL_SECONDS)
        reached("TAKEN")
        self.write_map(part)
        reached("MAPPED")


def reached(step: str) -> None:
    """Note a step; a test may have asked for the process to die of it."""
    assert step in STEPS
    if os.environ.get(_DIES_AT) == step:
        os.kill(os.getpid(), signal.SIGKILL)


def origin_of(lanes: Lanes, shards: list[str], bucket: int, now_on: str) -> str:
    """Return the shard that gave a bucket to another one; empty if none did. Raises NotMoved."""
    givers = [
        shard
        for shard in shards
        if shard != now_on and lanes.buckets(shard).get(bucket) == (MOVED, now_on)
    ]
    if len(givers) > 1:
        raise NotMoved(f"bucket {bucket} came to {now_on} more than once: move it where it belongs")
    return givers[0] if givers else ""


def ranges(texts: list[str]) -> list[tuple[int, int]]:
    """Return the ranges that texts such as `3` and `10-20` name. Raises ValueError."""
    found = []
    for text in texts:
        named = _RANGE.fullmatch(text)
        one = (int(named[1]), int(named[2] or named[1])) if named else (1, 0)
        if not one[0] <= one[1] < buckets.BUCKETS:
            raise ValueError(f"{text!r} is no range of buckets")
        found.append(one)
    return sorted(found)


def runs(part: Part, there: dict[int, moving.Owned]) -> list[Part]:
    """Return the runs of buckets of a part that their shard says the same of."""
    found: list[Part] = []
    for bucket in range(part.first_bucket, part.last_bucket + 1):
        if found and there.get(bucket) == there.get(bucket - 1):
            found[-1] = found[-1]._replace(last_bucket=bucket)
        else:
            found.append(Part(part.source, bucket, bucket))
    return found

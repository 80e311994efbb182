"""How long a connection may live: what is due for it, a few times a second."""

import random
from enum import Enum, auto

from gateway.edge.http2 import frames, limits


class Due(Enum):
    """What a connection has to do now."""

    NOTHING = auto()
    ASK = auto()  # The peer for a sign of life.
    DRAIN = auto()


class Life:
    """The times of one connection, in seconds of the event loop's clock."""

    def __init__(self, now: float) -> None:
        self._opened_at = self._used_at = self._moved_at = self._heard_at = now
        # The jitter keeps connections that were opened together from ending together.
        self._old_at = now + limits.AGE_SECONDS_MAX * random.uniform(1 - limits.AGE_JITTER, 1)
        self._is_asked = False
        self._last_call = 0
        self.drain_since: float | None = None

    def due(
        self,
        now: float,
        *,
        has_greeted: bool,
        was_heard: bool,
        is_stuck: bool,
        calls: int,
        last_call: int,
    ) -> Due:
        """Return what is due; raises BadConnection when the connection has to end at once.

        `was_heard` speaks of the time since the last question, `is_stuck` of a peer that does not
        read; `last_call` is the number of the last call that was begun.
        """
        if not has_greeted and now - self._opened_at > limits.HANDSHAKE_SECONDS_MAX:
            raise frames.BadConnection(frames.PROTOCOL_ERROR, "no preface in time")
        if not is_stuck:
            self._moved_at = now
        elif now - self._moved_at > limits.STALL_SECONDS_MAX:
            raise frames.BadConnection(frames.ENHANCE_YOUR_CALM, "nothing is read")
        if calls or last_call != self._last_call:
            self._used_at, self._last_call = now, last_call
        if self.drain_since is not None:
            if now - self.drain_since > limits.DRAIN_SECONDS_MAX:
                raise frames.BadConnection(frames.NO_ERROR, "too old")
        elif now > self._old_at or now - self._used_at > limits.IDLE_SECONDS_MAX:
            return Due.DRAIN
        return self._sign_of_life(now, was_heard or is_stuck)

    def should_name_the_last(self, now: float) -> bool:
        """Whether a peer that says nothing to the first GOAWAY had its time."""
        return self.drain_since is not None and now - self.drain_since > limits.GOAWAY_SECONDS_MAX

    def _sign_of_life(self, now: float, was_heard: bool) -> Due:
        if was_heard:
            self._heard_at, self._is_asked = now, False
            return Due.NOTHING
        silence = now - self._heard_at
        if silence > limits.SILENCE_SECONDS_MAX + limits.SIGN_OF_LIFE_SECONDS_MAX:
            raise frames.BadConnection(frames.NO_ERROR, "no sign of life")
        if silence > limits.SILENCE_SECONDS_MAX and not self._is_asked:
            self._is_asked = True
            return Due.ASK
        return Due.NOTHING

"""Recent answers by tenant and request_id, and marks of calls that are under way.

Nothing here is the truth: any of it may vanish, and whoever reads it decides what it is worth.
"""

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple
from zlib import crc32

import msgspec

from storage.redis.sealed import Seal
from storage.redis.tick import Packed, Tick

MARK_MS: Final = 1_000
"""A mark outlives its call if its gateway dies; nobody believes it for longer."""

ANSWER_BYTES_MAX: Final = 16 * 1024
"""Larger ones are left to the lane; they are rare."""

_TAGS: Final = 64
"""Groups of keys, each in one slot of a Cluster: so many calls a turn at most."""

_MARKED: Final = b"?"
VERSION: Final = 2
"""Of an Entry; one of another version is none."""

_LINGER_SECONDS: Final = 0.1
"""For answers to be kept: repeats through this gateway take them along at once."""

_SET: Final = b"*5\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$2\r\nPX\r\n$%d\r\n%d\r\n"


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An answer as it is kept."""

    version: int
    # Whose lane gave it, and under which incarnation (R12).
    shard: str
    incarnation: str
    # On whose behalf within the tenant; others may not see it.
    scope: str
    # The request as its lane got it: what tells it from another one is only taken of repeats.
    method: int
    request: bytes
    response: bytes


class UnderWay:
    """What is found while the first call has no answer yet."""


class Unanswered:
    """What is heard of a look that got no reply in time: nothing is known."""


UNDER_WAY: Final = UnderWay()
UNANSWERED: Final = Unanswered()
Found = Entry | UnderWay | Unanswered | None
Heard = Callable[[Found], None]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


class Look:
    """Asks for an answer; `heard` is called once, with UNANSWERED when there was no reply."""

    __slots__ = ("has_left", "heard", "is_second", "is_wanted", "key", "soon")

    def __init__(self, key: bytes, heard: Heard, *, soon: bool) -> None:
        self.key = key
        self.heard = heard
        self.soon = soon
        # Whether it was asked before, and got no reply in time.
        self.is_second = False
        # Taken back before it has left, it is never asked, and leaves no mark.
        self.is_wanted = True
        self.has_left = False


class Keep(msgspec.Struct, gc=False):
    """Keeps an answer; it is only written down when it leaves, with others."""

    is_wanted: ClassVar[bool] = True

    tenant_id: str
    request_id: str
    entry: Entry

    @property
    def key(self) -> bytes:
        return key_of(self.tenant_id, self.request_id)


class Drop(NamedTuple):
    """Takes a mark away."""

    key: bytes
    is_wanted: bool = True


def key_of(tenant_id: str, request_id: str) -> bytes:
    """Return the key of a request; its hash tag leads related keys to few slots."""
    name = request_id.encode()
    return b"tender:replay:{%02x}:%b:%b" % (crc32(name) % _TAGS, tenant_id.encode(), name)


class ReplayStore:
    """Answers in Redis. What is kept is sealed: an answer that was altered or moved is none."""

    name = "replays"
    script = (Path(__file__).parent / "lua" / "replays.lua").read_text()

    def __init__(
        self, url: str, secret: bytes, *, answer_seconds: int, timeout_seconds: float
    ) -> None:
        """`secret` is the gateways' own. Raises BadAddress."""
        self._seal = Seal(secret, b"tender replays")
        self._mark = _MARKED + secrets.token_bytes(8)
        self._answer_ms = answer_seconds * 1_000
        self._tick: Tick[Look | Keep | Drop] = Tick(
            url, self, timeout_seconds, linger_seconds=_LINGER_SECONDS
        )
        self.run = self._tick.run

    @property
    def is_up(self) -> bool:
        """Whether anything may be asked now."""
        return self._tick.is_up

    def look(self, key: bytes, heard: Heard, *, soon: bool) -> Look | None:
        """Ask for an answer; leave a mark where there is none. None when it cannot be asked.

        With `soon` somebody waits: then it is asked a second time if there is no reply in time.
        """
        look = Look(key, heard, soon=soon)
        return look if self._tick.ask(look, soon=soon) else None

    def keep(self, keep: Keep) -> None:
        """Keep an answer for some time, if that can be."""
        if len(keep.entry.response) <= ANSWER_BYTES_MAX:
            self._tick.ask(keep)

    def drop(self, key: bytes) -> None:
        """Take this gateway's mark away."""
        self._tick.ask(Drop(key))

    # What the tick asks for.

    def pack(self, items: Sequence[Look | Keep | Drop]) -> Packed:
        looks: list[bytes] = []
        drops: list[bytes] = []
        keeps: list[bytes] = []
        milliseconds = self._answer_ms
        digits = len(str(milliseconds))
        for item in items:
            key = item.key
            if type(item) is Keep:
                value = self._seal.close(key, _encode(item.entry))
                keeps.append(_SET % (len(key), key, len(value), value, digits, milliseconds))
            elif type(item) is Look:
                item.has_left = True
                looks.append(key)
            else:
                drops.append(key)
        return Packed([*looks, *drops], (len(looks), self._mark, MARK_MS), keeps)

    def heard(self, items: Sequence[Look | Keep | Drop], reply: Any) -> None:
        looks = [item for item in items if type(item) is Look]
        if not looks:
            return
        if reply is None:
            for item in looks:
                if not self._look_again(item):
                    item.heard(UNANSWERED)
            return
        for item, value in zip(looks, reply, strict=True):
            item.heard(None if value is None else self._read(item, value))

    def _look_again(self, look: Look) -> bool:
        """Ask once more for somebody who waits: one pause of the machine loses a whole call."""
        if look.is_second or not look.soon or not look.is_wanted:
            return False
        look.is_second = True
        return self._tick.ask(look, soon=True)

    def _read(self, look: Look, value: bytes) -> Found:
        if value[:1] == _MARKED:
            # This gateway's mark may be what the look that got no reply has left.
            return None if look.is_second and value == self._mark else UNDER_WAY
        body = self._seal.open(look.key, value)
        if body is None:
            return None
        try:
            entry = _decode(body)
        except msgspec.MsgspecError:
            return None
        return entry if entry.version == VERSION else None

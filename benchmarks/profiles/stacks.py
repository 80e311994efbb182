"""Folds samples into stacks of frames, and keeps of each what a reader can use.

A frame is text: `function (place)`. The place is a file of ours, or the name of a library, whose
frames in a row become one.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

Stacks = Counter[tuple[str, ...]]
"""How many samples were taken in each stack, outermost frame first."""

MAIN_THREAD: Final = "MainThread"
LOOP: Final = "Runner.run"
"""Below it is only how a server starts."""

IDLE: Final = frozenset({"epoll_pwait", "epoll_wait", "poll", "pthread_cond_wait", "futex_wait"})
"""A main thread in one of these waits: it has nothing to do."""

SYSTEM_CALLS: Final = frozenset(
    {"sendmsg", "sendto", "send", "recvmsg", "recvfrom", "recv", "read", "readv", "write", "writev"}
)
COLLECTION: Final = "gc_collect_main"
WAKE: Final = "wake another thread (C)"

LIBRARIES: Final = {
    "grpc/_cython/cygrpc": "gRPC core (C)",
    "_message.abi3": "protobuf (C)",
    "msgspec/_core": "msgspec (C)",
    "uvloop/loop": "uvloop (C)",
    "_hashopenssl": "hashing (C)",
    "libcrypto": "hashing (C)",
    "blake2": "hashing (C)",
    "protocol.c": "asyncpg (C)",
    "pgproto.c": "asyncpg (C)",
    "_asynciomodule": "asyncio (C)",
    **dict.fromkeys(
        ("loop.c", "core.c", "loop-watcher.c", "linux.c", "stream.c", "tcp.c", "timer.c", "uv-"),
        "uvloop (C)",
    ),
}
"""By how the name of a C file or shared library begins. One frame stands for all in a row."""

_FRAME: Final = re.compile(r"^(?P<function>.*) \((?P<place>[^()]*?)(?::\d+)?\)$")
_PYTHON: Final = re.compile(r"\.py$|^<(frozen .*|string)>$")


def of_python(raw: str) -> Stacks:
    """Fold what `py-spy record --native --threads -f raw` wrote: the main thread, while busy."""
    found: Stacks = Counter()
    for line in raw.splitlines():
        text, _, count = line.rpartition(" ")
        thread, *frames = text.split(";")
        if MAIN_THREAD not in thread or not frames or _function(frames[-1]) in IDLE:
            continue
        begin = next((at + 1 for at, one in enumerate(frames) if _function(one) == LOOP), 0)
        if kept := _in_a_row_once(_python_frames(frames[begin:])):
            found[kept] += int(count)
    return found


def _python_frames(frames: list[str]) -> Iterator[str]:
    last = len(frames) - 1
    for at, frame in enumerate(frames):
        matched = _FRAME.match(frame)
        if matched is None:
            continue
        function, place = matched["function"], matched["place"]
        if _PYTHON.search(place):
            yield f"{function} ({place})"
        elif function == COLLECTION:
            yield "garbage collection (Python)"
        elif function == "eventfd_write":
            yield WAKE
        elif at == last and function in SYSTEM_CALLS:
            yield f"{function} (kernel)"
        elif library := _library(place):
            yield library
        # What is left are the interpreter's own functions: their callers stand for them.


def _library(place: str) -> str | None:
    return next((name for start, name in LIBRARIES.items() if place.startswith(start)), None)


def of_perf(script: str, begin: str) -> Stacks:
    """Fold what `perf script -F comm,ip,sym,dso` shows; `begin` is the outermost frame to keep."""
    found: Stacks = Counter()
    for block in script.split("\n\n"):
        frames = [_perf_frame(line) for line in block.splitlines()[1:]]
        frames.reverse()
        known = [frame for frame in frames if frame is not None]
        if not known:
            continue
        starts = [at + 1 for at, one in enumerate(known) if _function(one) == begin]
        if kept := _in_a_row_once(known[starts[0] if starts else 0 :]):
            found[kept] += 1
    return found


def _perf_frame(line: str) -> str | None:
    """Return `function (object)` of `ffff0 function (/path/object)`; None for what has no name."""
    _, _, rest = line.strip().partition(" ")
    symbol, _, path = rest.rpartition(" (")
    if not symbol or symbol == "[unknown]":
        return None
    name = symbol.partition("@")[0].partition(".")[0]
    place = path.removesuffix(")")
    if place.startswith("["):
        return f"{name} (kernel)"
    return f"{name} ({place.rpartition('/')[2].partition('.so')[0]})"


def _function(frame: str) -> str:
    return frame.rpartition(" (")[0]


def _in_a_row_once(frames: Iterable[str]) -> tuple[str, ...]:
    kept: list[str] = []
    for frame in frames:
        if not kept or kept[-1] != frame:
            kept.append(frame)
    return tuple(kept)

"""The witness of a shard's journal: its last head, a few times a second, in Redis (R12)."""

import asyncio
import threading
from pathlib import Path
from typing import Final, NamedTuple

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

WRITE_SECONDS: Final = 0.1
"""Between two writes: so much of what was acknowledged last may be unknown here."""
TIMEOUT_SECONDS: Final = 0.25

_LUA: Final = Path(__file__).parent / "lua"

log = structlog.get_logger()


class Witnessed(NamedTuple):
    """A commit: its number and its hash."""

    seq: int
    hash: bytes


class RedisWitness:
    """One shard's witness, written by a thread of its own; what fails is tried again."""

    def __init__(self, url: str, shard: str) -> None:
        self._redis = redis.Redis.from_url(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        self._key = f"tender:witness:{{{shard}}}"
        self._write = self._redis.register_script((_LUA / "witness_note.lua").read_text())
        self._incarnation = ""
        self._noted = self._written = Witnessed(0, b"")
        self._takes_over = False
        self._failing = False
        self._stop: threading.Event | None = None
        self._thread: threading.Thread | None = None

    async def last(self) -> Witnessed | None:
        """Return the last head that was written; None too when Redis cannot be asked."""
        await asyncio.to_thread(self._end_thread)
        return await asyncio.to_thread(self._read)

    def keep(self, incarnation: str, head: tuple[int, bytes]) -> None:
        """Take another history for the true one, and write what is noted from now on."""
        assert self._thread is None, "asked for the last head first"
        self._incarnation, self._takes_over = incarnation, True
        self.note(head)
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._keep, args=(self._stop,), name="lane-witness", daemon=True
        )
        self._thread.start()

    def note(self, head: tuple[int, bytes]) -> None:
        """Remember a head for the next write."""
        self._noted = Witnessed(*head)

    async def release(self) -> None:
        """Write what was noted last, and end."""
        await asyncio.to_thread(self._end_thread)

    def _read(self) -> Witnessed | None:
        try:
            found = self._redis.hmget(self._key, "seq", "hash")
        except (redis.RedisError, ValueError) as error:
            log.warning("witness_not_read", reason=type(error).__name__)
            return None
        seq, head = found
        return Witnessed(int(seq), bytes.fromhex(str(head))) if seq and head else None

    def _keep(self, stop: threading.Event) -> None:
        while True:
            ending = stop.wait(WRITE_SECONDS)
            self._write_noted()
            if ending:
                return

    def _write_noted(self) -> None:
        noted = self._noted
        if noted == self._written and not self._takes_over:
            return
        takes_over = "1" if self._takes_over else ""
        arguments: list[str | int] = [self._incarnation, noted.seq, noted.hash.hex(), takes_over]
        try:
            self._write(keys=[self._key], args=arguments)
        except redis.RedisError as error:
            if not self._failing:
                log.warning("witness_not_written", reason=type(error).__name__)
            self._failing = True
        else:
            self._failing = self._takes_over = False
            self._written = noted

    def _end_thread(self) -> None:
        if self._stop is not None and self._thread is not None:
            self._stop.set()
            self._thread.join()
        self._stop = self._thread = None

"""Who is calling: an API key becomes an identity. The gateway has no database of its own."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

import grpc

from gateway import methods
from gateway.errors import Refused
from kit import api_keys, logs, serving
from tender.v1 import lane_pb2, query_pb2

FRESH_SECONDS: Final = 5.0  # A revoked key lives no longer than this while the processor answers.
REFRESH_SECONDS: Final = 3.0  # Asked again ahead of time, so that no call waits for it.
STALE_SECONDS: Final = 60.0  # A known key outlives an absence of the processor by this.
KEYS_MAX: Final = 10_000
LOOKUPS_MAX: Final = 64  # A flood of invented keys must not become a flood of queries.
LOOKUP_TIMEOUT_SECONDS: Final = 2.0
_SCHEME: Final = "bearer "
_CREDENTIALS_LENGTH_MAX: Final = 256
_NO_HASH: Final = bytes(32)

_log = logs.logger()
Metadata = Iterable[tuple[str, str | bytes]] | None
_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True, eq=False)
class Identity:
    """A caller as authenticated. The same object for as long as the key's record is the same."""

    key_id: str
    scopes: frozenset[str]
    merchant_id: str
    principal: lane_pb2.Principal

    @property
    def is_operator(self) -> bool:
        return methods.OPERATOR in self.scopes


class KeyDirectory(Protocol):
    """Whatever can tell who holds a key."""

    def known(self, key_text: str) -> Identity | None:
        """Return the holder of a key if that is known just now, without asking anybody."""

    async def identify(self, key_text: str) -> Identity:
        """Return the holder of a key, or raise Refused."""


class KeySource(Protocol):
    """Where the records of keys are."""

    async def get_api_key(
        self, key_id: str, timeout_seconds: float, *, waits: bool = False
    ) -> query_pb2.GetApiKeyResponse | None:
        """Return a key's record, or None when there is no such key; raises AioRpcError.

        With `waits` a processor that is just starting is waited for, as long as the timeout lasts.
        """


def key_text(metadata: Metadata) -> str:
    """Return the API key among a call's metadata; there must be exactly one."""
    found: str | bytes | None = None
    for name, value in metadata or ():
        if name == "authorization":
            if found is not None:
                raise Refused("CREDENTIALS_INVALID")
            found = value
        elif name == "authorization-bin":
            raise Refused("CREDENTIALS_INVALID")
    if not found:
        raise Refused("CREDENTIALS_MISSING")
    if isinstance(found, bytes) or len(found) > _CREDENTIALS_LENGTH_MAX:
        raise Refused("CREDENTIALS_INVALID")
    if found[: len(_SCHEME)].lower() != _SCHEME:
        raise Refused("CREDENTIALS_INVALID")
    return found[len(_SCHEME) :]


class ProcessorKeyDirectory:
    """Asks the processor for key records and remembers them for a few seconds."""

    def __init__(self, source: KeySource, pepper: bytes, *, tasks: serving.Tasks) -> None:
        self._source = source
        self._pepper = pepper
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._is_reachable = True
        self._verified: _Bounded[bytes, _Verified] = _Bounded(KEYS_MAX)
        self._records: _Bounded[str, _Record] = _Bounded(KEYS_MAX)
        self._unknown: _Bounded[str, float] = _Bounded(KEYS_MAX)
        self._lookups: dict[str, asyncio.Task[_Record | None]] = {}

    def known(self, key_text: str) -> Identity | None:
        verified = self._verified.get(_digest(key_text))
        if verified is None or not verified.record.is_current(self._loop.time()):
            return None
        return verified.identity

    async def identify(self, key_text: str) -> Identity:
        digest = _digest(key_text)
        verified = self._verified.get(digest)
        if verified is not None and verified.record.is_current(self._loop.time()):
            return verified.identity
        key = api_keys.parse(key_text)
        if key is None:
            raise Refused("CREDENTIALS_INVALID")
        record = await self._record(key.key_id)
        # An unknown key costs the same comparison, so that time tells nothing.
        stored_hash = record.answer.secret_hash if record else _NO_HASH
        if not api_keys.matches(self._pepper, key.secret, stored_hash) or record is None:
            raise Refused("CREDENTIALS_INVALID")
        if verified is None or verified.record.answer != record.answer:
            verified = _Verified(record, _identity(key.key_id, record.answer))
            self._verified.put(digest, verified)
        elif verified.record is not record:
            verified = _Verified(record, verified.identity)
            self._verified.put(digest, verified)
        return verified.identity

    async def _record(self, key_id: str) -> "_Record | None":
        """Return a record that is fresh, or stale while the processor is away."""
        now = self._loop.time()
        if (unknown_at := self._unknown.get(key_id)) is not None:
            if now - unknown_at < FRESH_SECONDS:
                return None
            self._unknown.remove(key_id)
        record = self._records.get(key_id)
        if record is not None and record.is_current(now):
            return record
        if record is not None and now - record.fetched_at < FRESH_SECONDS:
            self._look_up(key_id)
            return record
        lookup = self._look_up(key_id)
        try:
            if lookup is None:
                raise _LookupFailed
            # Shielded: the first caller may leave while others wait for the same answer.
            return await asyncio.shield(lookup)
        except _LookupFailed:
            if record is not None and now - record.fetched_at < STALE_SECONDS:
                return record
            raise Refused("SHARD_UNAVAILABLE") from None

    def _look_up(self, key_id: str) -> "asyncio.Task[_Record | None] | None":
        """Start a look-up unless one runs; None when too many do."""
        lookup = self._lookups.get(key_id)
        if lookup is None and len(self._lookups) < LOOKUPS_MAX:
            lookup = self._lookups[key_id] = self._tasks.start(self._fetch(key_id))
            lookup.add_done_callback(_retrieve_exception)
        return lookup

    async def _fetch(self, key_id: str) -> "_Record | None":
        # Aged from before the question: the answer may be as old as that.
        asked_at = self._loop.time()
        try:
            # Who is known is served from memory meanwhile; for a stranger there is nothing else.
            answer = await self._source.get_api_key(
                key_id, LOOKUP_TIMEOUT_SECONDS, waits=self._records.get(key_id) is None
            )
        except grpc.aio.AioRpcError as error:
            self._note_reachable(False, error.code().name)
            raise _LookupFailed from None
        finally:
            del self._lookups[key_id]
        self._note_reachable(True)
        if answer is None:
            self._records.remove(key_id)
            self._unknown.put(key_id, asked_at)
            return None
        record = _Record(answer, asked_at)
        self._records.put(key_id, record)
        return record

    def _note_reachable(self, is_reachable: bool, code: str = "OK") -> None:
        """Log a change, not every look-up."""
        if is_reachable != self._is_reachable:
            self._is_reachable = is_reachable
            _log.warning("api_key_source_changed", is_reachable=is_reachable, code=code)


class _LookupFailed(Exception):
    """The processor did not say whether there is such a key."""


@dataclass(frozen=True, slots=True)
class _Record:
    answer: query_pb2.GetApiKeyResponse
    fetched_at: float

    def is_current(self, now: float) -> bool:
        return now - self.fetched_at < REFRESH_SECONDS


@dataclass(frozen=True, slots=True)
class _Verified:
    """A key text whose secret was compared with this very record."""

    record: _Record
    identity: Identity


class _Bounded(Generic[_K, _V]):
    """A dict that forgets what was put in first."""

    def __init__(self, size_max: int) -> None:
        self._items: OrderedDict[_K, _V] = OrderedDict()
        self._size_max = size_max
        self.get = self._items.get

    def put(self, key: _K, value: _V) -> None:
        self._items[key] = value
        self._items.move_to_end(key)
        if len(self._items) > self._size_max:
            self._items.popitem(last=False)

    def remove(self, key: _K) -> None:
        self._items.pop(key, None)


def _digest(key_text: str) -> bytes:
    """Keys are found by their digest, so that memory holds no list of them."""
    return hashlib.sha256(key_text.encode()).digest()


def _identity(key_id: str, answer: query_pb2.GetApiKeyResponse) -> Identity:
    """A key of a merchant is that and nothing more; a merchant's scope without one is none."""
    scopes = frozenset(answer.scopes) & frozenset(methods.SCOPES)
    scopes &= {methods.MERCHANT} if answer.merchant_id else {methods.SERVICE, methods.OPERATOR}
    return Identity(
        key_id=key_id,
        scopes=scopes,
        merchant_id=answer.merchant_id,
        principal=lane_pb2.Principal(
            tenant_id=answer.tenant_id,
            merchant_id=answer.merchant_id,
            operator=methods.OPERATOR in scopes,
        ),
    )


def _retrieve_exception(lookup: "asyncio.Task[_Record | None]") -> None:
    """Nobody may be left to hear of a failed look-up; it is logged already."""
    if not lookup.cancelled():
        lookup.exception()

"""Answers repeated calls from the replay cache, where that is certain; the lane judges the rest.

A first call asks Redis for nothing, unless it takes long: then it leaves a mark for others. A call
whose request_id this gateway has seen lately is looked up first, and so is each while many are
repeats.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from gateway import methods
from kit import fingerprint, metrics
from storage.redis import replays as kept
from storage.redis.replays import (
    Entry,
    Found,
    Keep,
    Look,
    ReplayStore,
    Unanswered,
    UnderWay,
)
from tender.v1 import lane_pb2

if TYPE_CHECKING:
    from gateway.lookups import Lookups

SEEN_MAX: Final = 50_000
"""request_ids of a generation; there are two."""

REPEATS_SHARE: Final = 0.2
"""Of the calls that are looked up; with more repeats than that all are looked up first."""

_SHARE_STEP: Final = 0.01
WAIT_SECONDS_MAX: Final = 0.25
"""For another gateway's call with the same request_id; then the lane, which has both, decides."""

POLL_SECONDS_MIN: Final = 0.004
POLL_SECONDS_MAX: Final = 0.032
WAITERS_MAX: Final = 2_000

_REUSED: Final = "REQUEST_ID_REUSED"
# Why calls go to their lanes unlooked: Redis is not asked just now, or did not answer in time.
_AWAY: Final = "away"
_UNANSWERED: Final = "unanswered"


class Ticket(msgspec.Struct, eq=False):
    """A call that may be answered from the cache, and whose answer may be kept.

    There is one for each call, and a struct is what costs least to make.
    """

    replays: "Replays"
    method: int
    request_id: str
    request: bytes
    principal: lane_pb2.Principal
    is_bulk: bool = False
    # Where it goes, and as which command.
    lookups: "Lookups" = None  # type: ignore[assignment]
    correlation_id: int = 0
    looked_up: Look | None = None
    # While another call with this request_id is under way.
    waits_until: float = 0.0
    poll_seconds: float = POLL_SECONDS_MIN

    @property
    def key(self) -> bytes:
        return kept.key_of(self.principal.tenant_id, self.request_id)

    @property
    def scope(self) -> str:
        """Who within the tenant may see the answer."""
        return f"{self.principal.merchant_id}:{'o' if self.principal.operator else ''}"

    def heard(self, found: Found) -> None:
        """Take in what the cache has."""
        self.replays.heard(self, found)


def differing_fields(entry: Entry, ticket: Ticket) -> list[str]:
    """Return the fields in which a call differs from the one that was answered (R14)."""
    if entry.method != ticket.method:
        return ["method"]
    if entry.request == ticket.request:
        return []
    parse = methods.BY_NUMBER[ticket.method].request.FromString
    stored = fingerprint.fingerprint(entry.method, parse(entry.request))
    return fingerprint.differing_fields(stored, ticket.method, parse(ticket.request))


class Verdict(NamedTuple):
    """What an entry means for a call: an answer, the fields of a conflict, or why neither."""

    response: bytes | None = None
    fields: str = ""
    ignored: str = ""


def judge(
    entry: Entry, ticket: Ticket, shard: str, incarnation_of: Callable[[str], str]
) -> Verdict:
    """Decide what an entry is worth for a call that belongs to a shard.

    `incarnation_of` says which incarnation a shard has now, empty while that is not known.
    """
    if entry.scope != ticket.scope:
        return Verdict(ignored="scope")
    # Of a history that may be gone, or that nobody vouches for just now (R12).
    if not entry.incarnation or entry.incarnation != incarnation_of(entry.shard):
        return Verdict(ignored="incarnation")
    fields = differing_fields(entry, ticket)
    if entry.shard == shard:
        # What differs is the lane's to say: it has the key.
        return Verdict(ignored="fingerprint") if fields else Verdict(response=entry.response)
    if not fields:
        return Verdict(ignored="moved")
    # Its lane cannot see a key that another shard has (R15).
    return Verdict(fields=",".join(fields))


class Replays:
    """The replay cache as this gateway uses it; `run` keeps it going until cancelled."""

    def __init__(self, store: ReplayStore, incarnation_of: Callable[[str], str]) -> None:
        self._store = store
        self._incarnation_of = incarnation_of
        self._loop = asyncio.get_running_loop()
        self._seen: set[int] = set()
        self._seen_before: set[int] = set()
        self._repeats_share = 0.0
        self._waiters = 0

    async def run(self) -> None:
        await self._store.run()

    def ticket(
        self, method: int, request_id: str, request: bytes, principal: lane_pb2.Principal
    ) -> Ticket | None:
        """Return what a call needs to take part; None while there is no cache."""
        if not self._store.is_up:
            metrics.REPLAY_IGNORED.labels(_AWAY).inc()
            return None
        return Ticket(self, method, request_id, request, principal)

    def look(self, ticket: Ticket, *, soon: bool = True) -> bool:
        """Look a call up, `soon` if it waits for that; say whether it can be done."""
        ticket.looked_up = self._store.look(ticket.key, ticket.heard, soon=soon)
        return ticket.looked_up is not None

    def comes_first(self, ticket: Ticket) -> bool:
        """Say whether a call waits for what the cache has: it is probably a repeat."""
        # Of two tenants' one may be taken for a repeat of the other's: it is looked up in vain.
        name = hash(ticket.request_id)
        was_seen = name in self._seen or name in self._seen_before
        self._seen.add(name)
        if len(self._seen) >= SEEN_MAX:
            self._seen_before, self._seen = self._seen, set()
        return was_seen or self._repeats_share > REPEATS_SHARE

    def heard(self, ticket: Ticket, found: Found) -> None:
        """Answer a call, let it wait for another one, or leave it to the lane."""
        lookups = ticket.lookups
        if isinstance(found, UnderWay):
            self._wait(ticket)
            return
        self._stop_waiting(ticket)
        verdict = Verdict()
        if isinstance(found, Unanswered):
            verdict = Verdict(ignored=_UNANSWERED)
        elif found is not None:
            verdict = judge(found, ticket, lookups.shard, self._incarnation_of)
        if verdict.response is not None:
            self._note_share(is_repeat=True)
        tenant_id = ticket.principal.tenant_id
        if verdict.response is not None:
            if lookups.answer(ticket, lane_pb2.Outcome(response=verdict.response, replayed=True)):
                metrics.REPLAYS.count(tenant_id, "cache")
        elif verdict.fields:
            refusal = lane_pb2.Refusal(reason=_REUSED, metadata={"fields": verdict.fields})
            if lookups.answer(ticket, lane_pb2.Outcome(refusal=refusal)):
                metrics.CONFLICTS.count(tenant_id, "cache")
        else:
            if verdict.ignored:
                metrics.REPLAY_IGNORED.labels(verdict.ignored).inc()
            lookups.go_on(ticket)

    def _wait(self, ticket: Ticket) -> None:
        """Look again soon, for a short while; commands of bulk calls keep their order instead."""
        now = self._loop.time()
        if not ticket.waits_until:
            if ticket.is_bulk or self._waiters >= WAITERS_MAX or not ticket.lookups.wait(ticket):
                ticket.lookups.go_on(ticket)
                return
            metrics.IN_FLIGHT_WAITS.count(ticket.principal.tenant_id)
            self._waiters += 1
            ticket.waits_until = now + WAIT_SECONDS_MAX
        elif now >= ticket.waits_until:
            self._stop_waiting(ticket)
            ticket.lookups.go_on(ticket)
            return
        self._loop.call_later(ticket.poll_seconds, self._look_again, ticket)
        ticket.poll_seconds = min(ticket.poll_seconds * 2, POLL_SECONDS_MAX)

    def _look_again(self, ticket: Ticket) -> None:
        if not ticket.lookups.is_waiting(ticket) or not self.look(ticket):
            self._stop_waiting(ticket)
            ticket.lookups.go_on(ticket)

    def _stop_waiting(self, ticket: Ticket) -> None:
        if ticket.waits_until:
            ticket.waits_until = 0.0
            self._waiters -= 1

    def _note_share(self, *, is_repeat: bool) -> None:
        self._repeats_share += (is_repeat - self._repeats_share) * _SHARE_STEP

    # What the lane said.

    def settled(self, ticket: Ticket, outcome: lane_pb2.Outcome, incarnation: str) -> None:
        """Keep an answer of the lane, and let others pass where there is none."""
        response = outcome.response
        if response and incarnation:
            self._store.keep(
                Keep(
                    ticket.principal.tenant_id,
                    ticket.request_id,
                    Entry(
                        kept.VERSION,
                        ticket.lookups.shard,
                        incarnation,
                        ticket.scope,
                        ticket.method,
                        ticket.request,
                        response,
                    ),
                )
            )
            if ticket.looked_up is not None:
                self._take_back(ticket)
        else:
            self.came_to_nothing(ticket)
        self._note_share(is_repeat=outcome.replayed)

    def came_to_nothing(self, ticket: Ticket) -> None:
        """Let others pass: the call has no answer that could be kept."""
        if self._take_back(ticket):
            self._store.drop(ticket.key)

    def _take_back(self, ticket: Ticket) -> bool:
        """Do not look a call up that is over, if there is time; say whether there may be a mark."""
        look = ticket.looked_up
        if look is None or look.has_left:
            return look is not None
        look.is_wanted = False
        return False

"""Decides commands into the open batch, each on what those before it left."""

from collections.abc import Mapping, Sequence
from typing import Final

from kit import fingerprint
from processor import answers
from processor.cache import Cache
from processor.domain import commands, copies, needs
from processor.domain.decide import check_access, decide, expire, receive
from processor.domain.draft import Changes
from processor.domain.legs import Crossing
from processor.domain.legs import Kind as LegKind
from processor.domain.ownership import Buckets, elsewhere, home_of, is_elsewhere
from processor.domain.refusals import Refused, RequestIdReused
from processor.domain.rules.moves import may_decide
from processor.domain.view import TOMBSTONE, Key
from processor.entries import (
    COPY_STANDS,
    DEADLINE_PASSED,
    LEG_GAP,
    LEG_WAITS,
    Entry,
    Reply,
    internal_error,
    refusal,
)
from processor.openbatch import OpenBatch
from processor.waiting import WaitingRoom

AUTHORIZE: Final = "AUTHORIZE_PAYMENT"
_NOTHING: Final[Mapping[str, str]] = {}


class Decider:
    """Decides with fixed surroundings."""

    def __init__(self, cache: Cache, room: WaitingRoom, place: needs.Place) -> None:
        self._cache = cache
        self._room = room
        self.place = place
        self.buckets: Buckets | None = None

    def decide(
        self,
        entries: Sequence[Entry],
        batch: OpenBatch,
        *,
        expiring: bool,
        monotonic_now: float,
    ) -> bool:
        """Decide the entries one after the other, exactly as if each were alone.

        Stops and returns False at the first whose needs have changed since it was found ready; it
        and all behind it are still to be decided, in their order.
        """
        now = batch.context.now if expiring else 0
        for entry in entries:
            due: Sequence[str] = ()
            if not self._room.is_ready(entry, now):
                if self._room.missing(entry, now):
                    return False
                due = needs.due_accounts(entry.command, self._cache, self.place, now)
            if entry.deadline <= monotonic_now and not entry.uncertain:
                batch.answer(entry, DEADLINE_PASSED)
                continue
            try:
                for account_id in due:
                    batch.holds_expired += self._expire(account_id, batch)
                reply = self._decide_one(entry, batch)
            except Refused as refused:
                reply = refusal(refused)
            except Exception as error:
                reply = internal_error(entry, error)
            batch.answer(entry, reply)
        return True

    def _decide_one(self, entry: Entry, batch: OpenBatch) -> Reply:
        command = entry.command
        if isinstance(command, commands.OwnCommand):
            return self._decide_own(command, batch)
        cache = self._cache
        if self.place.homes is not None and is_elsewhere(command, self.place):
            return self._decide_elsewhere(entry, command)
        check_access(cache, command)
        tenant_id = command.principal.tenant_id
        key = cache.key(tenant_id, command.request_id)
        late_original = (
            key is not None and key.method == TOMBSTONE and entry.method_name == AUTHORIZE
        )
        if key is not None and not late_original:
            return _replay(entry, key)
        answer, changes = decide(cache, command, batch.context)
        response = answers.encode(entry.method, answer, batch.read_token)
        batch.absorb(changes)
        batch.store(
            Key(
                tenant_id,
                command.request_id,
                entry.method_name,
                entry.fingerprint,
                response,
                answer.resource_id,
            )
        )
        return Reply(response, "", "", _NOTHING, 0, False, answer.declined)

    def _decide_elsewhere(self, entry: Entry, command: commands.CallerCommand) -> Reply:
        """Answer a repeat of what is stored here; decide nothing on a bucket of another shard.

        Of a bucket that was never here only copies are stored, which are no truth yet.
        """
        if self.buckets is not None and not self.buckets.had(home_of(command, self.place)):
            raise elsewhere(command, self.place)
        key = self._cache.key(command.principal.tenant_id, command.request_id)
        if key is not None and key.method != TOMBSTONE and key.fingerprint == entry.fingerprint:
            try:
                check_access(self._cache, command)
            except Refused:
                raise elsewhere(command, self.place) from None
            return _replay(entry, key)
        raise elsewhere(command, self.place)

    def _decide_own(self, command: commands.OwnCommand, batch: OpenBatch) -> Reply:
        cache = self._cache
        match command:
            case commands.DeleteRequestKeys():
                known = [key for key in command.keys if cache.key(*key) is not None]
                batch.absorb(Changes(deleted_keys=tuple(known)))
            case commands.AcknowledgeLegs():
                place = (command.destination, command.number)
                assert command.number <= cache.sent(command.destination), "what was never sent"
                batch.absorb(Changes(crossing=Crossing(acknowledged=(place,))))
            case commands.ReceiveLeg():
                return self._receive(command, batch)
            case commands.TakeCopies():
                return self._take_copies(command, batch)
            case commands.ExpireHolds():
                pass  # They were expired before.
        return Reply()

    def _receive(self, command: commands.ReceiveLeg, batch: OpenBatch) -> Reply:
        """Let a leg take effect if it is the next one; the reply says how far its source is."""
        position = self._cache.received(command.source)
        reason = ""
        if command.number == position + 1:
            assert command.leg is not None
            if not may_decide(command.leg, self._cache, self.place, batch.context.now):
                return Reply(str(position).encode(), LEG_WAITS)
            assert command.leg.kind != LegKind.BUCKETS, "taken in a batch of its own"
            batch.absorb(receive(self._cache, command.leg, command.text, batch.context))
            position = command.number
        elif command.number > position:
            reason = LEG_GAP
        return Reply(str(position).encode(), reason)

    def _take_copies(self, command: commands.TakeCopies, batch: OpenBatch) -> Reply:
        """Keep what a page brings; the mover is told when it is committed."""
        if command.page is not None:
            copied = copies.take(self._cache, self.place, command.page)
            if copied is None:
                return Reply(reason=COPY_STANDS)
            if copied.changes(self._cache.copied(command.bucket)):
                batch.absorb(Changes(deleted_keys=copied.outdated_keys, copied=copied))
        return Reply()

    def _expire(self, account_id: str, batch: OpenBatch) -> int:
        """Expire the due holds of an account; return how many (R18)."""
        changes = expire(self._cache, account_id, batch.context)
        if changes is None:
            return 0
        batch.absorb(changes)
        return len(changes.payments)


def _replay(entry: Entry, key: Key) -> Reply:
    if key.fingerprint == entry.fingerprint:
        return Reply(response=key.outcome, replayed=True)
    fields = ["method"]
    if key.method != TOMBSTONE and entry.request is not None:
        fields = fingerprint.differing_fields(key.fingerprint, entry.method, entry.request)
    raise RequestIdReused(fields=",".join(fields))

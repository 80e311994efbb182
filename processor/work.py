"""Decides a batch: every command in turn on an overlay of what is committed."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from kit import fingerprint
from processor import answers
from processor.cache import Cache
from processor.domain import commands, needs
from processor.domain.context import Context
from processor.domain.decide import check_access, decide, expire
from processor.domain.draft import Changes
from processor.domain.refusals import Refused, RequestIdReused
from processor.domain.view import TOMBSTONE, Item, Key
from processor.entries import DEADLINE_PASSED, Entry, Reply, internal_error, refusal
from processor.overlay import Overlay

AUTHORIZE: Final = "AUTHORIZE_PAYMENT"


class Work(NamedTuple):
    """A decided batch: what to commit, what to reply then, and what must first load more."""

    overlay: Overlay
    replies: list[tuple[Entry, Reply]]
    again: list[Entry]
    holds_expired: int


class Decider:
    """Decides with fixed surroundings."""

    def __init__(self, cache: Cache, place: needs.Place) -> None:
        self._cache = cache
        self._place = place

    def decide(
        self,
        entries: Sequence[Entry],
        context: Context,
        read_token: str,
        *,
        expiring: bool,
        monotonic_now: float,
    ) -> Work:
        """Decide the entries one after the other, exactly as if each were alone."""
        work = Work(Overlay(self._cache), [], [], 0)
        expired = 0
        for entry in entries:
            overlay = work.overlay
            due = self._due_accounts(entry.command, overlay, context.now if expiring else 0)
            if due is None:
                work.again.append(entry)
                continue
            if entry.deadline <= monotonic_now and not entry.uncertain:
                work.replies.append((entry, DEADLINE_PASSED))
                continue
            try:
                for account_id in due:
                    expired += _expire(account_id, overlay, context)
                reply = self._decide_one(entry, overlay, context, read_token)
            except Refused as refused:
                reply = refusal(refused)
            except Exception as error:
                reply = internal_error(entry, error)
            work.replies.append((entry, reply))
        return work._replace(holds_expired=expired)

    def _due_accounts(
        self, command: commands.Command, overlay: Overlay, now: int
    ) -> list[str] | None:
        """Return the accounts with holds to expire first; None if something must be loaded."""
        due: list[str] = []
        for item in needs.needed(command, overlay, self._place):
            if not overlay.knows(item):
                return None
            if item.kind == "account":
                payments = overlay.due_holds(item.id, now)
                if payments:
                    due.append(item.id)
                if any(not overlay.knows(Item("payment", payment)) for payment in payments):
                    return None
        return due

    def _decide_one(
        self, entry: Entry, overlay: Overlay, context: Context, read_token: str
    ) -> Reply:
        command = entry.command
        if isinstance(command, commands.ExpireHolds):
            return Reply()
        if isinstance(command, commands.DeleteRequestKeys):
            known = [key for key in command.keys if overlay.key(*key) is not None]
            overlay.absorb(Changes(deleted_keys=tuple(known)))
            return Reply()
        check_access(overlay, command)
        tenant_id = command.principal.tenant_id
        key = overlay.key(tenant_id, command.request_id)
        late_original = (
            key is not None and key.method == TOMBSTONE and entry.method_name == AUTHORIZE
        )
        if key is not None and not late_original:
            return _replay(entry, key)
        decision = decide(overlay, command, context)
        response = answers.encode(entry.method, decision.answer, read_token)
        overlay.absorb(decision.changes)
        overlay.store(
            Key(
                tenant_id,
                command.request_id,
                entry.method_name,
                entry.fingerprint,
                response,
                decision.answer.resource_id,
            )
        )
        return Reply(response=response, declined=decision.answer.declined)


def _expire(account_id: str, overlay: Overlay, context: Context) -> int:
    """Expire the due holds of an account; return how many (R18)."""
    changes = expire(overlay, account_id, context)
    if changes is None:
        return 0
    overlay.absorb(changes)
    return len(changes.payments)


def _replay(entry: Entry, key: Key) -> Reply:
    if key.fingerprint == entry.fingerprint:
        return Reply(response=key.outcome, replayed=True)
    fields = ["method"]
    if key.method != TOMBSTONE and entry.request is not None:
        fields = fingerprint.differing_fields(key.fingerprint, entry.method, entry.request)
    raise RequestIdReused(fields=",".join(fields))

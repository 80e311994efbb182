"""Accounts that go to another shard with their bucket, and legs that come where one was."""

from collections.abc import Sequence
from typing import Final

from processor.domain import accounts, copies, ids
from processor.domain.accounts import Account
from processor.domain.draft import Draft
from processor.domain.legs import MONEY, Leg, Outcome
from processor.domain.legs import Kind as LegKind
from processor.domain.place import Place
from processor.domain.transfers import Reason
from processor.domain.view import View

WAITS: Final = ""
"""In place of a shard: it is open which one decides the leg."""

_TO_ACCOUNT: Final = frozenset({LegKind.CAPTURE, LegKind.TRANSFER, LegKind.REFUND_DEBIT})
_TO_PAYMENT: Final = frozenset({LegKind.REFUND_CREDIT, LegKind.REFUND_FAILED})


def depart(sheet: Draft, leaving: Sequence[Account], to: str, copied: str) -> None:
    """Send accounts away, each with its whole balance and what is held of it.

    So are those that are frozen or closed, and those below zero: their debt goes along.
    """
    legs: list[Leg] = []
    for account in leaving:
        transfer_id = ""
        if account.held:
            sheet.hold(account.id, -account.held)
        if account.posted:
            here = sheet.account(account.id)
            clearing = sheet.clearing(account.tenant_id, to, account.currency)
            debit, credit = (here, clearing) if account.posted > 0 else (clearing, here)
            transfer_id = sheet.move(debit, credit, abs(account.posted), Reason.BUCKET_MOVE).id
        legs.append(
            Leg(
                source=sheet.context.shard,
                destination=to,
                number=0,
                kind=LegKind.ACCOUNT,
                created_at=sheet.context.now,
                tenant_id=account.tenant_id,
                account_id=account.id,
                amount=account.posted,
                currency=account.currency,
                transfer_id=transfer_id,
                copied=copied,
                account=sheet.account(account.id)._replace(
                    posted=account.posted, held=account.held
                ),
            )
        )
    sheet.send_accounts(to, legs)


def arrive(sheet: Draft, leg: Leg) -> str:
    """Have an account as it left its shard; return the transfer that brought its balance."""
    assert leg.account is not None
    account = sheet.arrive(leg.account)
    transfer_id = ""
    if leg.amount:
        clearing = sheet.clearing(leg.tenant_id, leg.source, leg.currency)
        debit, credit = (clearing, account) if leg.amount > 0 else (account, clearing)
        transfer_id = sheet.move(debit, credit, abs(leg.amount), Reason.BUCKET_MOVE).id
    if leg.account.held:
        sheet.hold(account.id, leg.account.held)
    sheet.event("account_moved", account.id, account.version)
    return transfer_id


def decided_by(leg: Leg, place: Place) -> str:
    """Return the shard that decides a leg, or WAITS while nobody has its bucket."""
    if place.homes is None:
        return place.shard
    if leg.kind in _TO_ACCOUNT:
        return place.homes.get(ids.home_of_id(leg.account_id), place.shard)
    if leg.kind in _TO_PAYMENT:
        return place.homes.get(ids.home_of_id(leg.payment_id), place.shard)
    return place.shard


def may_decide(leg: Leg, view: View, place: Place, now: int) -> bool:
    """Say whether the time for a leg has come; else it comes again.

    An account comes after the copies of all that belongs to it, and what happens to it here is
    later than all that happened to it where it was.
    """
    if leg.kind == LegKind.ACCOUNT:
        known = view.copied(ids.home_of_id(leg.account_id))
        is_whole = copies.reaches(known, leg.source, leg.copied)
        return is_whole and now >= ids.later_than(leg.created_at)
    return decided_by(leg, place) != WAITS


def send_on(sheet: Draft, leg: Leg, to: str) -> tuple[str, Outcome]:
    """Send a leg to the shard where its account or payment is now, with the money it brings.

    The answer comes back the same way; the notice that money is in suspense goes back by `hops`.
    """
    came = went = ""
    if leg.kind in MONEY:
        tenant_id, currency = leg.tenant_id, leg.currency
        source = sheet.clearing(tenant_id, leg.source, currency)
        suspense = sheet.own_account(tenant_id, accounts.Kind.SUSPENSE, currency)
        came = sheet.move(source, suspense, leg.amount, Reason.BUCKET_MOVE).id
        suspense = sheet.account(suspense.id)
        destination = sheet.clearing(tenant_id, to, currency)
        went = sheet.move(suspense, destination, leg.amount, Reason.BUCKET_MOVE).id
    sheet.send(
        to,
        LegKind(leg.kind),
        leg.tenant_id,
        account_id=leg.account_id,
        remote_account_id=leg.remote_account_id,
        amount=leg.amount,
        currency=leg.currency,
        fee=leg.fee,
        transfer_id=went,
        payment_id=leg.payment_id,
        refund_id=leg.refund_id,
        description=leg.description,
        reason=leg.reason,
        hops=(*leg.hops, (leg.source, leg.number)),
    )
    return came, Outcome.SENT_ON

"""Opens accounts, changes their state, moves money between them outside of payments."""

from typing import Final

from processor.domain import accounts, commands, ids, refusals
from processor.domain.accounts import Account
from processor.domain.decision import Answer, Decision, Declined
from processor.domain.draft import Changes, Draft
from processor.domain.legs import Kind as LegKind
from processor.domain.payments import DeclineReason
from processor.domain.place import ALIASES, place
from processor.domain.rules.checks import AMOUNT_MAX, check_amount, require_account
from processor.domain.transfers import Reason

FROM: Final = {
    accounts.State.FROZEN: accounts.State.OPEN,
    accounts.State.OPEN: accounts.State.FROZEN,
    accounts.State.CLOSED: accounts.State.OPEN,
}
"""The state from which each state may be reached."""
assert FROM.keys() == set(accounts.State)

_EVENT: Final = {
    accounts.State.FROZEN: "account_frozen",
    accounts.State.OPEN: "account_unfrozen",
    accounts.State.CLOSED: "account_closed",
}


def open_account(sheet: Draft, command: commands.OpenAccount) -> Decision:
    """Open a wallet with a balance of zero."""
    assert command.kind in accounts.WALLETS
    assert command.user_id
    if not -AMOUNT_MAX <= command.floor <= 0:
        raise refusals.AmountOutOfRange()
    if command.floor < 0 and not command.principal.operator:
        raise refusals.ScopeMissing(scope="operator")
    context = sheet.context
    bucket = ids.bucket_of_owner(context.region, command.user_id)
    account = sheet.open_account(
        account_id=context.mint.next(ids.ACCOUNT, bucket),
        tenant_id=command.principal.tenant_id,
        user_id=command.user_id,
        kind=command.kind,
        currency=command.currency,
        floor=command.floor,
    )
    return Decision(Answer(account=account), sheet.changes())


def change_state(sheet: Draft, command: commands.ChangeAccountState) -> Decision:
    """Freeze, unfreeze or close an account; the tenant's own are never closed."""
    account = require_account(sheet.view, command.account_id, command.principal.tenant_id)
    state = accounts.State(command.state)
    closing = state is accounts.State.CLOSED
    # What comes from other shards is never refused, so these two are always open.
    never = account.kind in (accounts.Kind.CLEARING, accounts.Kind.SUSPENSE)
    if never or account.state != FROM[state] or (closing and account.is_own):
        raise refusals.AccountState(state=account.state, account_id=account.id)
    if closing and (account.posted or account.held):
        raise refusals.AccountNotEmpty(account_id=account.id)
    changed = sheet.put_account_state(account, state, _EVENT[state])
    return Decision(Answer(account=changed), sheet.changes())


def transfer(sheet: Draft, command: commands.CreateTransfer) -> Decision:
    """Move money from one account to another, or decline for lack of funds."""
    check_amount(command.amount)
    if not command.principal.operator and ALIASES.keys() & {command.source, command.destination}:
        raise refusals.ScopeMissing(scope="operator")
    source = _side(sheet, command, command.source)
    peer = (
        "" if command.destination in ALIASES else place(sheet.context).peer_of(command.destination)
    )
    if peer:
        return _send(sheet, command, source, peer)
    destination = _side(sheet, command, command.destination)
    if source.id == destination.id:
        raise refusals.AccountsEqual(account_id=source.id)
    accounts.require_open(source)
    accounts.require_open(destination)
    reason = _reason(source, destination)
    if not source.covers(command.amount):
        return _declined(sheet, command, source.id, destination.id, reason)
    posted = sheet.move(
        source, destination, command.amount, reason, description=command.description
    )
    sheet.event("transfer_posted", posted.id, 1)
    return Decision(Answer(transfer=posted), sheet.changes())


def _send(sheet: Draft, command: commands.CreateTransfer, source: Account, peer: str) -> Decision:
    """Debit the source, and send the money to the shard of the destination."""
    if command.destination.startswith(ids.OWN):
        raise refusals.AccountUnknown(account_id=command.destination)
    accounts.require_open(source)
    clearing = sheet.clearing(command.principal.tenant_id, peer, command.currency)
    reason = _reason(source, clearing)
    if not source.covers(command.amount):
        return _declined(sheet, command, source.id, command.destination, reason)
    posted = sheet.move(source, clearing, command.amount, reason, description=command.description)
    sheet.send(
        peer,
        LegKind.TRANSFER,
        command.principal.tenant_id,
        account_id=command.destination,
        remote_account_id=source.id,
        amount=command.amount,
        currency=command.currency,
        transfer_id=posted.id,
        description=command.description,
        reason=reason,
    )
    sheet.event("transfer_posted", posted.id, 1)
    answer = Answer(transfer=posted, remote_account_id=command.destination)
    return Decision(answer, sheet.changes())


def _declined(
    sheet: Draft,
    command: commands.CreateTransfer,
    source_id: str,
    destination_id: str,
    reason: Reason,
) -> Decision:
    declined = Declined(
        id=sheet.context.mint.next(ids.TRANSFER, ids.bucket_of_pair(source_id, destination_id)),
        source=source_id,
        destination=destination_id,
        amount=command.amount,
        currency=command.currency,
        reason=reason,
        decline_reason=DeclineReason.INSUFFICIENT_FUNDS,
        description=command.description,
        created_at=sheet.context.now,
    )
    return Decision(Answer(transfer=declined), Changes())


def _side(sheet: Draft, command: commands.CreateTransfer, name: str) -> Account:
    """Return the account behind a name: an alias, or the id of an account of the tenant."""
    principal, kind = command.principal, ALIASES.get(name)
    if kind is not None:
        account = sheet.own_account(principal.tenant_id, kind, command.currency)
    else:
        account = require_account(sheet.view, name, principal.tenant_id)
        if account.is_own and not principal.operator:
            raise refusals.ScopeMissing(scope="operator")
        if account.kind == accounts.Kind.CLEARING:
            raise refusals.AccountUnknown(account_id=name)  # It moves with legs alone.
    if account.currency != command.currency:
        raise refusals.CurrencyMismatch(currency=account.currency, account_id=account.id)
    return account


def _reason(source: Account, destination: Account) -> Reason:
    if source.kind == accounts.Kind.WORLD:
        return Reason.TOP_UP
    if destination.kind == accounts.Kind.WORLD:
        return Reason.PAYOUT
    return Reason.PERSON_TO_PERSON

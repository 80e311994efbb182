"""Decides commands one after the other, as if each were alone: `decide(view, command, context)`."""

from typing import assert_never

from processor.domain import commands, refusals
from processor.domain.context import Context
from processor.domain.decision import Answer, Decision, Declined
from processor.domain.draft import Changes, Draft
from processor.domain.legs import Leg
from processor.domain.methods import METHODS, Methods
from processor.domain.place import place
from processor.domain.rules import accounts, legs, merchants, payments
from processor.domain.rules.checks import require_payment
from processor.domain.view import View

__all__ = ["Answer", "Decision", "Declined", "check_access", "decide", "expire", "place", "receive"]


def decide(
    view: View, command: commands.CallerCommand, context: Context, methods: Methods = METHODS
) -> Decision:
    """Decide a command whose needs are met, whose key is free and whose holds are expired.

    Raises Refused when it is not to be carried out.
    """
    sheet = Draft(view, context)
    match command:
        case commands.Authorize():
            return payments.authorize(sheet, command, methods)
        case commands.Capture():
            return payments.capture(sheet, command, methods)
        case commands.Void():
            return payments.void(sheet, command, methods)
        case commands.RefundPayment():
            return payments.refund(sheet, command, methods)
        case commands.Reverse():
            return payments.reverse(sheet, command, methods)
        case commands.OpenAccount():
            return accounts.open_account(sheet, command)
        case commands.ChangeAccountState():
            return accounts.change_state(sheet, command)
        case commands.CreateTransfer():
            return accounts.transfer(sheet, command)
        case commands.CreateMerchant():
            return merchants.create(sheet, command)
        case commands.UpdateMerchant():
            return merchants.update(sheet, command)
        case _:
            assert_never(command)


def expire(
    view: View, account_id: str, context: Context, methods: Methods = METHODS
) -> Changes | None:
    """Expire the due holds of an account (R18); None when nothing is due.

    Runs before every decision on the account, so expired funds are free at once, and only once:
    the payment leaves its holding state here and nowhere else.
    """
    due = view.due_holds(account_id, context.now)
    return payments.expire(Draft(view, context), due, methods) if due else None


def receive(view: View, leg: Leg, text: str, context: Context) -> Changes:
    """Let the next leg from another shard take effect; `text` is how it came."""
    return legs.receive(Draft(view, context), leg, text)


def check_access(view: View, command: commands.CallerCommand) -> None:
    """Refuse what a principal may not do, and what is not its own as if unknown.

    Runs before any replay, so that a stored answer is never shown to somebody else.
    """
    principal = command.principal
    match command:
        case commands.Authorize() | commands.Reverse():
            if principal.merchant_id not in ("", command.merchant_id):
                raise refusals.MerchantUnknown(merchant_id=command.merchant_id)
        case commands.Capture() | commands.Void() | commands.RefundPayment():
            require_payment(view, command)
        case commands.OpenAccount() | commands.CreateTransfer():
            if principal.merchant_id:
                raise refusals.ScopeMissing(scope="service")
        case commands.ChangeAccountState() | commands.CreateMerchant() | commands.UpdateMerchant():
            if principal.merchant_id or not principal.operator:
                raise refusals.ScopeMissing(scope="operator")
        case _:
            assert_never(command)

"""What must be in memory before a command can be decided (R9)."""

from collections.abc import Iterator

from processor.domain import accounts, commands
from processor.domain.payments import Payment
from processor.domain.place import Place as Place
from processor.domain.view import AUTHORIZE, Item, View


def is_ready(
    command: commands.Command, view: View, place: Place, now: int, *, own_key: bool
) -> bool:
    """Say quickly that a command on a payment misses nothing and that no hold it meets is due.

    False says nothing: `missing` tells. This is for the many whose accounts are in memory.
    """
    if isinstance(command, commands.Authorize):
        merchant = view.merchant(command.merchant_id)
        terms = merchant.terms(command.currency) if merchant is not None else None
        if terms is None:
            return False
        payer_id, settlement_id = command.payer_account_id, terms.account_id
        currency = command.currency
    elif isinstance(command, commands.PaymentCommand):
        payment = view.payment(command.payment_id)
        if payment is None:
            return False
        payer_id, settlement_id = payment.payer_account_id, payment.settlement_account_id
        currency = payment.currency
    else:
        return False
    tenant_id = command.principal.tenant_id
    fees_id = place.own_account(tenant_id, accounts.Kind.FEES, currency)
    return (
        view.account(payer_id) is not None
        and view.account(settlement_id) is not None
        and view.account(fees_id) is not None
        and not view.due_holds(payer_id, now)
        and not view.due_holds(settlement_id, now)
        and (not own_key or view.knows(Item("key", command.request_id, tenant_id)))
    )


def missing(
    command: commands.Command, view: View, place: Place, now: int, *, own_key: bool = True
) -> list[Item]:
    """Return what the command needs and the view does not know yet.

    What is behind the first loads (the accounts of a payment, say) shows only once they are there,
    so a caller asks again after each load until nothing is missing. Without `own_key` the
    command's request key is taken to be new: whoever commits it must have it checked.
    """
    found: list[Item] = []
    for item in needed(command, view, place):
        if not view.knows(item):
            if own_key or not _is_own_key(command, item):
                found.append(item)
        elif item.kind == "account":
            for payment_id in view.due_holds(item.id, now):
                due = Item("payment", payment_id)
                if not view.knows(due):
                    found.append(due)
    return found


def due_accounts(command: commands.Command, view: View, place: Place, now: int) -> list[str]:
    """Return the accounts that the command looks at and whose holds must be expired first."""
    return [
        item.id
        for item in needed(command, view, place)
        if item.kind == "account" and view.due_holds(item.id, now)
    ]


def _is_own_key(command: commands.Command, item: Item) -> bool:
    return (
        item.kind == "key"
        and not isinstance(command, commands.ExpireHolds | commands.DeleteRequestKeys)
        and item.id == command.request_id
    )


def needed(command: commands.Command, view: View, place: Place) -> Iterator[Item]:
    """Yield all that the command looks at, as far as it shows in what the view knows."""
    if isinstance(command, commands.ExpireHolds):
        for account_id in command.account_ids:
            yield Item("account", account_id)
        return
    if isinstance(command, commands.DeleteRequestKeys):
        for tenant_id, request_id in command.keys:
            yield Item("key", request_id, tenant_id)
        return
    tenant_id = command.principal.tenant_id
    yield Item("key", command.request_id, tenant_id)
    match command:
        case commands.Authorize():
            yield Item("account", command.payer_account_id)
            yield Item("merchant", command.merchant_id)
            merchant = view.merchant(command.merchant_id)
            terms = merchant.terms(command.currency) if merchant else None
            if terms is not None:
                yield Item("account", terms.account_id)
                yield Item(
                    "account", place.own_account(tenant_id, accounts.Kind.FEES, command.currency)
                )
        case commands.Capture() | commands.Void() | commands.RefundPayment():
            yield Item("payment", command.payment_id)
            yield from _of_payment(view.payment(command.payment_id), place)
        case commands.Reverse():
            yield Item("key", command.original_request_id, tenant_id)
            yield Item("account", command.payer_account_id)
            original = view.key(tenant_id, command.original_request_id)
            if original is not None and original.method == AUTHORIZE:
                yield Item("payment", original.resource_id)
                yield from _of_payment(view.payment(original.resource_id), place)
        case commands.OpenAccount():
            pass
        case commands.ChangeAccountState():
            yield Item("account", command.account_id)
        case commands.CreateTransfer():
            for name in (command.source, command.destination):
                yield Item("account", place.resolve(name, tenant_id, command.currency))
        case commands.CreateMerchant():
            yield Item("reference", command.reference, tenant_id)
            for asked in command.settlement_terms:
                yield Item("account", asked.account_id)
        case commands.UpdateMerchant():
            yield Item("merchant", command.merchant_id)
            for asked in command.settlement_terms or ():
                yield Item("account", asked.account_id)


def _of_payment(payment: Payment | None, place: Place) -> Iterator[Item]:
    if payment is not None:
        yield Item("account", payment.payer_account_id)
        yield Item("account", payment.settlement_account_id)
        yield Item(
            "account",
            place.own_account(payment.tenant_id, accounts.Kind.FEES, payment.currency),
        )

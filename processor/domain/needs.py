"""What must be in memory before a command can be decided (R9)."""

from collections.abc import Iterator

from processor.domain import accounts, commands, copies, ids
from processor.domain.legs import MONEY, Leg
from processor.domain.legs import Kind as LegKind
from processor.domain.ownership import is_elsewhere
from processor.domain.payments import Payment
from processor.domain.place import Place as Place
from processor.domain.rules.legs import payee
from processor.domain.rules.moves import WAITS, decided_by
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
    if place.homes is not None and is_elsewhere(command, place):
        return False
    if place.homes is not None and (peer := place.find(settlement_id)) != place.shard:
        return (
            view.account(payer_id) is not None
            and view.account(place.clearing(tenant_id, peer, currency)) is not None
            and view.knows(Item("sent", peer))
            and not view.due_holds(payer_id, now)
            and (not own_key or view.knows(Item("key", command.request_id, tenant_id)))
        )
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
            if own_key or not _is_own_key(command, item) or _is_elsewhere(command, place):
                found.append(item)
        elif item.kind == "account":
            for payment_id in view.due_holds(item.id, now):
                due = Item("payment", payment_id)
                if not view.knows(due):
                    found.append(due)
    return found


def due_accounts(command: commands.Command, view: View, place: Place, now: int) -> list[str]:
    """Return the accounts that the command looks at and whose holds must be expired first.

    Of an account that is another shard's by now, the holds that are here are no truth any more.
    """
    return [
        item.id
        for item in needed(command, view, place)
        if item.kind == "account"
        and view.due_holds(item.id, now)
        and (place.homes is None or place.find(item.id) == place.shard)
    ]


def _is_own_key(command: commands.Command, item: Item) -> bool:
    return (
        item.kind == "key"
        and not isinstance(command, commands.OwnCommand)
        and item.id == command.request_id
    )


def _is_elsewhere(command: commands.Command, place: Place) -> bool:
    return not isinstance(command, commands.OwnCommand) and is_elsewhere(command, place)


def needed(command: commands.Command, view: View, place: Place) -> Iterator[Item]:
    """Yield all that the command looks at, as far as it shows in what the view knows."""
    if isinstance(command, commands.OwnCommand):
        yield from _of_own(command, view, place)
        return
    tenant_id = command.principal.tenant_id
    yield Item("key", command.request_id, tenant_id)
    if place.homes is not None and is_elsewhere(command, place):
        # Only what a stored answer of this shard is shown by.
        if isinstance(command, commands.PaymentCommand):
            yield Item("payment", command.payment_id)
        return
    match command:
        case commands.Authorize():
            yield Item("account", command.payer_account_id)
            yield Item("merchant", command.merchant_id)
            merchant = view.merchant(command.merchant_id)
            terms = merchant.terms(command.currency) if merchant else None
            if terms is not None:
                yield from _of_settlement(terms.account_id, tenant_id, command.currency, place)
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
            yield Item("account", place.resolve(command.source, tenant_id, command.currency))
            destination = place.resolve(command.destination, tenant_id, command.currency)
            yield from _of_payee(destination, tenant_id, command.currency, place)
        case commands.CreateMerchant():
            yield Item("reference", command.reference, tenant_id)
            for asked in command.settlement_terms:
                yield Item("account", asked.account_id)
            for peer in place.peers():
                yield Item("sent", peer)
        case commands.UpdateMerchant():
            yield Item("merchant", command.merchant_id)
            for asked in command.settlement_terms or ():
                yield Item("account", asked.account_id)
            for peer in place.peers():
                yield Item("sent", peer)


def _of_payment(payment: Payment | None, place: Place) -> Iterator[Item]:
    if payment is not None:
        yield Item("account", payment.payer_account_id)
        yield from _of_settlement(
            payment.settlement_account_id, payment.tenant_id, payment.currency, place
        )


def _of_settlement(account_id: str, tenant_id: str, currency: str, place: Place) -> Iterator[Item]:
    """Yield what a merchant's account needs: where it is here, the fees that it pays too."""
    yield from _of_payee(account_id, tenant_id, currency, place)
    if place.homes is None or place.find(account_id) == place.shard:
        yield Item("account", place.own_account(tenant_id, accounts.Kind.FEES, currency))


def _of_payee(account_id: str, tenant_id: str, currency: str, place: Place) -> Iterator[Item]:
    """Yield an account that may get money, or by which way it gets it on another shard."""
    if place.homes is None or (peer := place.find(account_id)) == place.shard:
        yield Item("account", account_id)
    elif peer:
        yield Item("account", place.clearing(tenant_id, peer, currency))
        yield Item("sent", peer)


def _of_own(command: commands.OwnCommand, view: View, place: Place) -> Iterator[Item]:
    match command:
        case commands.ExpireHolds():
            for account_id in command.account_ids:
                yield Item("account", account_id)
        case commands.DeleteRequestKeys():
            for tenant_id, request_id in command.keys:
                yield Item("key", request_id, tenant_id)
        case commands.AcknowledgeLegs():
            yield Item("sent", command.destination)
        case commands.TakeCopies():
            yield Item("copy", command.bucket)
            if command.page is not None:
                yield from _of_page(command.page)
        case commands.ReceiveLeg():
            yield Item("received", command.source)
            if command.leg is not None:
                yield from _of_leg(command.leg, view, place)


def _of_page(page: copies.Page) -> Iterator[Item]:
    for payment in page.payments:
        yield Item("payment", payment.id)
    for refund in page.refunds:
        yield Item("refund", refund.id)
    for one in page.keys:
        yield Item("key", one.key.request_id, one.key.tenant_id)


def _of_leg(leg: Leg, view: View, place: Place) -> Iterator[Item]:
    decider = decided_by(leg, place)
    if decider != place.shard:
        if decider != WAITS:
            yield from _of_sent_on(leg, decider, place)
        return
    match leg.kind:
        case LegKind.ACCOUNT:
            yield Item("copy", ids.home_of_id(leg.account_id))
            yield Item("account", leg.account_id)
            if leg.amount:
                yield Item("account", place.clearing(leg.tenant_id, leg.source, leg.currency))
        case LegKind.CAPTURE | LegKind.TRANSFER | LegKind.REFUND_CREDIT:
            yield from _of_credit(leg, view, place)
            if leg.kind == LegKind.REFUND_CREDIT:
                yield Item("payment", leg.payment_id)
                yield Item("refund", leg.refund_id)
        case LegKind.REFUND_DEBIT:
            yield Item("account", leg.account_id)
            yield Item("account", place.clearing(leg.tenant_id, leg.source, leg.currency))
            yield Item(
                "account", place.own_account(leg.tenant_id, accounts.Kind.FEES, leg.currency)
            )
            yield Item("sent", leg.source)
        case LegKind.REFUND_FAILED:
            yield Item("payment", leg.payment_id)
            yield Item("refund", leg.refund_id)
        case LegKind.SUSPENSE:
            yield Item("sent", leg.source)
            if leg.hops:
                yield Item("sent", leg.hops[-1][0])
        case LegKind.MERCHANT if leg.merchant is not None:
            yield Item("merchant", leg.merchant.id)


def _of_sent_on(leg: Leg, to: str, place: Place) -> Iterator[Item]:
    yield Item("sent", to)
    if leg.kind in MONEY:
        for shard in (leg.source, to):
            yield Item("account", place.clearing(leg.tenant_id, shard, leg.currency))
        yield Item(
            "account", place.own_account(leg.tenant_id, accounts.Kind.SUSPENSE, leg.currency)
        )


def _of_credit(leg: Leg, view: View, place: Place) -> Iterator[Item]:
    """Yield what money from another shard needs; suspense only where it may be needed."""
    payee_item = Item("account", leg.account_id)
    yield payee_item
    yield Item("account", place.clearing(leg.tenant_id, leg.source, leg.currency))
    suspended = view.knows(payee_item) and payee(view, leg) is None
    if leg.fee:
        fees_id = place.own_account(leg.tenant_id, accounts.Kind.FEES, leg.currency)
        yield Item("account", fees_id)
        fees = view.account(fees_id)
        suspended = suspended or (fees is not None and fees.state != accounts.State.OPEN)
    if suspended:
        yield Item(
            "account", place.own_account(leg.tenant_id, accounts.Kind.SUSPENSE, leg.currency)
        )
        yield Item("sent", leg.source)

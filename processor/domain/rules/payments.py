"""Authorizes, captures, voids, refunds, reverses and expires payments."""

from collections.abc import Sequence

from processor.domain import accounts, commands, merchants, refusals
from processor.domain.decision import Answer, Decision
from processor.domain.draft import Changes, Draft, Tombstone
from processor.domain.methods import Methods
from processor.domain.payments import (
    UNDECIDED,
    CaptureMethod,
    Payment,
    Refund,
    Reversal,
    State,
)
from processor.domain.rules.checks import (
    check_amount,
    require_account,
    require_merchant,
    require_payment,
)
from processor.domain.view import AUTHORIZE, TOMBSTONE


def authorize(sheet: Draft, command: commands.Authorize, methods: Methods) -> Decision:
    """Hold or take money from a payer for a merchant, or decline."""
    tenant_id = command.principal.tenant_id
    payer = require_account(sheet.view, command.payer_account_id, tenant_id)
    merchant = require_merchant(sheet.view, command.merchant_id, tenant_id)
    check_amount(command.amount)
    if payer.kind not in accounts.WALLETS:
        raise refusals.AccountUnknown(account_id=payer.id)
    if payer.currency != command.currency:
        raise refusals.CurrencyMismatch(currency=payer.currency)
    if merchant.state != merchants.State.ACTIVE:
        raise refusals.MerchantSuspended(merchant_id=merchant.id)
    terms = merchant.terms(command.currency)
    if terms is None:
        raise refusals.SettlementAccountMissing(merchant_id=merchant.id, currency=command.currency)
    if terms.account_id == payer.id:
        raise refusals.AccountsEqual(account_id=payer.id)
    key = sheet.view.key(tenant_id, command.request_id)
    if key is not None and key.resource_id != _original(command):
        raise refusals.RequestIdReused(fields="payer_account_id,merchant_id")
    payment = methods.wallet.authorize(sheet, command, terms, reversed_before=key is not None)
    return Decision(Answer(payment), sheet.changes())


def capture(sheet: Draft, command: commands.Capture, methods: Methods) -> Decision:
    """Take held money, all of it or a part."""
    payment = require_payment(sheet.view, command)
    if not payment.capturable:
        raise refusals.PaymentState(state=payment.state, payment_id=payment.id)
    amount = payment.capturable if command.amount is None else command.amount
    check_amount(amount)
    _check_currency(command, payment)
    if amount > payment.capturable:
        raise refusals.CaptureExceedsCapturable(
            state=payment.state, capturable=str(payment.capturable), payment_id=payment.id
        )
    final = (
        command.final
        or payment.capture_method != CaptureMethod.MANUAL_MULTIPLE
        or amount == payment.capturable
    )
    after = methods.wallet.capture(sheet, payment, amount, final=final)
    return Decision(Answer(payment=after), sheet.changes())


def void(sheet: Draft, command: commands.Void, methods: Methods) -> Decision:
    """Release the hold of a payment of which nothing is captured."""
    payment = require_payment(sheet.view, command)
    if payment.state != State.AUTHORIZED:
        raise refusals.PaymentState(state=payment.state, payment_id=payment.id)
    after = methods.wallet.release(sheet, payment, expired=False)
    return Decision(Answer(payment=after), sheet.changes())


def refund(sheet: Draft, command: commands.RefundPayment, methods: Methods) -> Decision:
    """Give captured money back, all that is left of it or a part."""
    payment = require_payment(sheet.view, command)
    if not payment.captured:
        raise refusals.PaymentState(state=payment.state, payment_id=payment.id)
    _check_currency(command, payment)
    amount = payment.refundable if command.amount is None else command.amount
    if command.amount is not None:
        check_amount(amount)
    if amount == 0 or amount > payment.refundable:
        raise refusals.RefundExceedsCaptured(
            state=payment.state, refundable=str(payment.refundable), payment_id=payment.id
        )
    after, given = methods.wallet.refund(sheet, payment, amount, command.description)
    return Decision(Answer(payment=after, refund=given), sheet.changes())


def reverse(sheet: Draft, command: commands.Reverse, methods: Methods) -> Decision:
    """Undo an authorization, or make sure that it is declined if it still arrives."""
    tenant_id = command.principal.tenant_id
    if command.request_id == command.original_request_id:
        raise refusals.RequestIdReused(fields="method")
    require_account(sheet.view, command.payer_account_id, tenant_id)
    key = sheet.view.key(tenant_id, command.original_request_id)
    if key is None:
        sheet.event("payment_reversed_before_arrival", command.original_request_id, 1)
        tombstone = Tombstone(tenant_id, command.original_request_id, _original(command))
        return Decision(
            Answer(reversal=Reversal.NOT_ARRIVED),
            sheet.changes()._replace(tombstones=(tombstone,)),
        )
    if key.method == TOMBSTONE:
        if key.resource_id != _original(command):
            raise refusals.PaymentUnknown()
        return Decision(Answer(reversal=Reversal.NOT_ARRIVED), Changes())
    if key.method != AUTHORIZE:
        raise refusals.OriginalNotAPayment()
    payment = sheet.view.payment(key.resource_id)
    assert payment is not None, "the key of an authorization leads to its payment"
    if (
        payment.merchant_id != command.merchant_id
        or payment.payer_account_id != command.payer_account_id
    ):
        raise refusals.PaymentUnknown()
    return _undo(sheet, payment, methods)


def expire(sheet: Draft, payment_ids: Sequence[str], methods: Methods) -> Changes:
    """Release holds that have run out."""
    for payment_id in payment_ids:
        payment = sheet.view.payment(payment_id)
        assert payment is not None, "a due hold belongs to a payment"
        methods.wallet.release(sheet, payment, expired=True)
    return sheet.changes()


def _undo(sheet: Draft, payment: Payment, methods: Methods) -> Decision:
    """Give back what is captured, then release what is held: two steps of one decision."""
    if payment.state in UNDECIDED:
        raise refusals.PaymentState(state=payment.state, payment_id=payment.id)
    result = Reversal.NOTHING_TO_REVERSE
    given: Refund | None = None
    if payment.refundable:
        result = Reversal.REFUNDED
        payment, given = methods.wallet.refund(sheet, payment, payment.refundable, "reversal")
    if payment.capturable:
        result = Reversal.VOIDED if given is None else result
        payment = methods.wallet.release(sheet, payment, expired=False)
    return Decision(Answer(payment=payment, refund=given, reversal=result), sheet.changes())


def _original(command: commands.Authorize | commands.Reverse) -> str:
    """Return what ties a tombstone to its original: nobody else's reversal declines it."""
    return f"{command.payer_account_id} {command.merchant_id}"


def _check_currency(command: commands.Capture | commands.RefundPayment, payment: Payment) -> None:
    if command.amount is not None and command.currency != payment.currency:
        raise refusals.CurrencyMismatch(currency=payment.currency)

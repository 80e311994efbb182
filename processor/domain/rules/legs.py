"""What becomes of a leg on the shard that it came to. A leg that brings money is never refused."""

from processor.domain import accounts, refusals
from processor.domain.accounts import Account, Kind, require_open
from processor.domain.draft import Changes, Draft
from processor.domain.legs import Kind as LegKind
from processor.domain.legs import Leg, Outcome, Received
from processor.domain.payments import Payment, Refund, RefundState
from processor.domain.place import place
from processor.domain.rules import moves
from processor.domain.rules.checks import require_account
from processor.domain.transfers import Reason
from processor.domain.view import View


def receive(sheet: Draft, leg: Leg, text: str) -> Changes:
    """Let the next leg from its source take effect, or send it on to where its bucket is."""
    assert leg.number == sheet.view.received(leg.source) + 1
    transfer_id, outcome = "", Outcome.NOTED
    decider = moves.decided_by(leg, place(sheet.context))
    match leg.kind:
        case _ if decider != sheet.context.shard:
            assert decider != moves.WAITS
            transfer_id, outcome = moves.send_on(sheet, leg, decider)
        case LegKind.CAPTURE:
            transfer_id, outcome = _credit(sheet, leg, Reason.CAPTURE)
        case LegKind.TRANSFER:
            transfer_id, outcome = _credit(sheet, leg, Reason(leg.reason))
        case LegKind.REFUND_DEBIT:
            transfer_id, outcome = _give_back(sheet, leg)
        case LegKind.REFUND_CREDIT:
            transfer_id, outcome = _refunded(sheet, leg)
        case LegKind.REFUND_FAILED:
            _refund_failed(sheet, leg)
        case LegKind.SUSPENSE:
            assert 0 < leg.concerning <= sheet.view.sent(leg.source)
            sheet.suspend(leg.source, leg.concerning)
            _tell_before(sheet, leg)
        case LegKind.ACCOUNT:
            transfer_id = moves.arrive(sheet, leg)
        case LegKind.MERCHANT:
            _copy_merchant(sheet, leg)
        case LegKind.BUCKETS:
            pass  # Whoever takes it in changes the ownership in the same batch.
        case _:
            raise ValueError(f"a leg of a kind that is not known here: {leg.kind}")
    sheet.receive(
        Received(
            source=leg.source,
            number=leg.number,
            transfer_id=transfer_id,
            payment_id=leg.payment_id,
            remote_account_id=leg.remote_account_id,
            outcome=outcome,
            text=text,
        )
    )
    return sheet.changes()


def payee(view: View, leg: Leg) -> Account | None:
    """Return the account that a leg's money is for; None when it cannot take it."""
    account = view.account(leg.account_id)
    if (
        account is None
        or account.tenant_id != leg.tenant_id
        or account.currency != leg.currency
        or account.is_own
        or account.state != accounts.State.OPEN
        or account.posted > accounts.LIMIT - leg.amount
    ):
        return None
    return account


def _credit(sheet: Draft, leg: Leg, reason: Reason) -> tuple[str, Outcome]:
    """Credit the account that the money is for, or suspense; return transfer and outcome."""
    to = payee(sheet.view, leg)
    outcome = Outcome.POSTED if to is not None else Outcome.SUSPENSE
    if to is None:
        to = sheet.own_account(leg.tenant_id, Kind.SUSPENSE, leg.currency)
    transfer = sheet.move(
        sheet.clearing(leg.tenant_id, leg.source, leg.currency),
        to,
        leg.amount,
        reason,
        payment_id=leg.payment_id or None,
        refund_id=leg.refund_id or None,
        description=leg.description,
    )
    if outcome is Outcome.SUSPENSE:
        sheet.event("transfer_suspended", transfer.id, 1)
        sheet.send(
            leg.source,
            LegKind.SUSPENSE,
            leg.tenant_id,
            payment_id=leg.payment_id,
            concerning=leg.number,
            hops=leg.hops,
        )
    if leg.fee:
        _charge(sheet, leg, to.id)
    return transfer.id, outcome


def _tell_before(sheet: Draft, leg: Leg) -> None:
    """Pass the notice on that money is in suspense, to the shard whose leg was sent on here."""
    if leg.hops:
        shard, number = leg.hops[-1]
        sheet.send(
            shard,
            LegKind.SUSPENSE,
            leg.tenant_id,
            payment_id=leg.payment_id,
            concerning=number,
            hops=leg.hops[:-1],
        )


def _charge(sheet: Draft, leg: Leg, account_id: str) -> None:
    """Charge the fee where the money went; fees that are frozen leave it in suspense."""
    fees = sheet.own_account(leg.tenant_id, Kind.FEES, leg.currency)
    if fees.state != accounts.State.OPEN:
        fees = sheet.own_account(leg.tenant_id, Kind.SUSPENSE, leg.currency)
        if fees.id == account_id:
            return
    payment_id = leg.payment_id or None
    sheet.move(sheet.account(account_id), fees, leg.fee, Reason.FEE, payment_id=payment_id)


def _give_back(sheet: Draft, leg: Leg) -> tuple[str, Outcome]:
    """Take a refund from the merchant and send it to the payer's shard, or say why not."""
    try:
        settlement, fees = _givers(sheet, leg)
    except refusals.Refused as refused:
        sheet.send(
            leg.source,
            LegKind.REFUND_FAILED,
            leg.tenant_id,
            payment_id=leg.payment_id,
            refund_id=leg.refund_id,
            reason=refused.reason,
        )
        return "", Outcome.REFUSED
    if leg.fee:
        sheet.move(
            fees,
            settlement,
            leg.fee,
            Reason.FEE_REFUND,
            payment_id=leg.payment_id,
            refund_id=leg.refund_id,
        )
    transfer = sheet.move(
        sheet.account(settlement.id),
        sheet.clearing(leg.tenant_id, leg.source, leg.currency),
        leg.amount,
        Reason.REFUND,
        payment_id=leg.payment_id,
        refund_id=leg.refund_id,
        description=leg.description,
    )
    sheet.send(
        leg.source,
        LegKind.REFUND_CREDIT,
        leg.tenant_id,
        account_id=leg.remote_account_id,
        remote_account_id=leg.account_id,
        amount=leg.amount,
        currency=leg.currency,
        transfer_id=transfer.id,
        payment_id=leg.payment_id,
        refund_id=leg.refund_id,
        description=leg.description,
    )
    return transfer.id, Outcome.POSTED


def _givers(sheet: Draft, leg: Leg) -> tuple[Account, Account]:
    """Return the merchant's and the fees account, if they give what a refund takes."""
    settlement = require_account(sheet.view, leg.account_id, leg.tenant_id)
    if settlement.currency != leg.currency:
        raise refusals.CurrencyMismatch(currency=settlement.currency)
    require_open(settlement)
    fees = sheet.own_account(leg.tenant_id, Kind.FEES, leg.currency)
    if leg.fee:
        require_open(fees)
        if not fees.covers(leg.fee):
            raise refusals.MerchantFundsInsufficient(account_id=fees.id)
    if not settlement.covers(leg.amount - leg.fee):
        raise refusals.MerchantFundsInsufficient(account_id=settlement.id)
    return settlement, fees


def _refunded(sheet: Draft, leg: Leg) -> tuple[str, Outcome]:
    """Credit the payer with what the merchant gave: the refund is done."""
    payment, refund = _pending(sheet, leg)
    moved = _credit(sheet, leg, Reason.REFUND)
    sheet.settle_refund(refund._replace(state=RefundState.SUCCEEDED))
    sheet.put_payment(
        payment._replace(
            refunded=payment.refunded + refund.amount,
            refund_pending=payment.refund_pending - refund.amount,
            version=payment.version + 1,
            updated_at=sheet.context.now,
        ),
        "payment_refunded",
    )
    return moved


def _refund_failed(sheet: Draft, leg: Leg) -> None:
    """Give up what was reserved for a refund: nothing has moved."""
    payment, refund = _pending(sheet, leg)
    sheet.settle_refund(
        refund._replace(state=RefundState.FAILED, fee_refunded=0, failure_reason=leg.reason)
    )
    sheet.put_payment(
        payment._replace(
            refund_pending=payment.refund_pending - refund.amount,
            fee_refunded=payment.fee_refunded - refund.fee_refunded,
            version=payment.version + 1,
            updated_at=sheet.context.now,
        ),
        "refund_failed",
    )


def _pending(sheet: Draft, leg: Leg) -> tuple[Payment, Refund]:
    payment, refund = sheet.view.payment(leg.payment_id), sheet.view.refund(leg.refund_id)
    assert payment is not None, "only a payment of this shard asks for refunds"
    assert refund is not None
    assert refund.payment_id == payment.id
    assert refund.state == RefundState.PENDING
    if leg.kind == LegKind.REFUND_CREDIT:
        assert (leg.amount, leg.currency) == (refund.amount, refund.currency)
        assert leg.account_id == payment.payer_account_id
    return payment, refund


def _copy_merchant(sheet: Draft, leg: Leg) -> None:
    """Keep a copy of a merchant; one that came late is older than what is here."""
    merchant = leg.merchant
    assert merchant is not None
    known = sheet.view.merchant(merchant.id)
    if known is None or known.version < merchant.version:
        sheet.put_merchant(merchant)

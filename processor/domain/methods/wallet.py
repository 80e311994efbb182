"""Payments from a wallet: the payer's account is on this ledger."""

from processor.domain import accounts, commands, ids, refusals
from processor.domain.accounts import Account, require_open
from processor.domain.draft import Draft
from processor.domain.legs import Kind as LegKind
from processor.domain.merchants import Terms
from processor.domain.payments import (
    HOLD_SECONDS_DEFAULT,
    HOLD_SECONDS_MAX,
    HOLD_SECONDS_MIN,
    CaptureMethod,
    DeclineReason,
    Payment,
    Refund,
    RefundState,
    State,
)
from processor.domain.place import place
from processor.domain.transfers import Reason

MICROSECONDS = 1_000_000


class Wallet:
    """Holds on the payer's account, captures to the merchant's, charges the fee there.

    A merchant's account on another shard gets its money by a leg and is not looked at here.
    """

    def authorize(
        self, draft: Draft, command: commands.Authorize, terms: Terms, *, reversed_before: bool
    ) -> Payment:
        """Hold the amount, or take it at once, or decline."""
        payer = draft.account(command.payer_account_id)
        require_open(payer)
        settlement = _open_if_here(draft, terms.account_id)
        reason = self._why_declined(payer, command, reversed_before=reversed_before)
        automatic = command.capture_method == CaptureMethod.AUTOMATIC
        declined = reason is not DeclineReason.NONE
        holds = not declined and not automatic
        if holds and draft.view.holds_count(payer.id) >= accounts.OPEN_HOLDS_MAX:
            raise refusals.HoldLimit(account_id=payer.id)
        now = draft.context.now
        hold_seconds = command.hold_seconds or HOLD_SECONDS_DEFAULT
        assert not holds or HOLD_SECONDS_MIN <= hold_seconds <= HOLD_SECONDS_MAX
        schedule = terms.fee_schedule
        captured = command.amount if automatic and not declined else 0
        # By position: several times faster than by name, for every payment.
        payment = Payment(
            draft.context.mint.next(ids.PAYMENT, ids.bucket_of_id(payer.id)),
            payer.tenant_id,
            command.merchant_id,
            payer.id,
            terms.account_id,
            State.DECLINED if declined else State.AUTHORIZED if holds else State.CAPTURED,
            command.capture_method,
            reason,
            command.currency,
            command.amount,
            captured,
            command.amount if holds else 0,  # Capturable.
            0,  # Refunded.
            0,  # Refund pending.
            schedule.fee(captured),
            0,  # Fee refunded.
            schedule.basis_points,
            schedule.fixed,
            schedule.refund_policy,
            now + hold_seconds * MICROSECONDS if holds else None,
            command.description,
            command.metadata,
            1,  # Version.
            now,
            now,
            payer.last_payment_id,
        )
        if declined:
            return draft.put_payment(payment, "payment_declined")
        if automatic:
            self._post(draft, payment, payer, settlement, command.amount, payment.fee, is_new=True)
            return draft.put_payment(payment, "payment_captured")
        draft.hold(payer.id, command.amount, last_payment_id=payment.id)
        return draft.put_payment(payment, "payment_authorized")

    def capture(self, draft: Draft, payment: Payment, amount: int, *, final: bool) -> Payment:
        """Move held money to the merchant and charge the part of the fee that goes with it."""
        require_open(draft.account(payment.payer_account_id))
        _open_if_here(draft, payment.settlement_account_id)
        released = payment.capturable if final else amount
        draft.hold(payment.payer_account_id, -released)
        return self._take(draft, payment._replace(version=payment.version + 1), amount, final=final)

    def release(self, draft: Draft, payment: Payment, *, expired: bool) -> Payment:
        """Give up what is held; what was captured before stays captured."""
        draft.hold(payment.payer_account_id, -payment.capturable)
        if payment.captured:
            state, event = State.CAPTURED, "payment_remainder_released"
        elif expired:
            state, event = State.EXPIRED, "payment_expired"
        else:
            state, event = State.VOIDED, "payment_voided"
        return draft.put_payment(
            payment._replace(
                state=state,
                capturable=0,
                version=payment.version + 1,
                updated_at=draft.context.now,
            ),
            event,
        )

    def refund(
        self, draft: Draft, payment: Payment, amount: int, description: str
    ) -> tuple[Payment, Refund]:
        """Move money back to the payer, and fees back to the merchant if the schedule says so.

        From a merchant on another shard the money is only asked for: the refund is pending.
        """
        payer = draft.account(payment.payer_account_id)
        require_open(payer)
        settlement = _open_if_here(draft, payment.settlement_account_id)
        schedule = payment.fee_schedule
        # What is pending counts as refunded, and so does its part of the fee: so no more than the
        # whole fee is ever on its way back, whichever of several refunds fail.
        refunded = payment.refunded + payment.refund_pending + amount
        fee_back = max(
            0, schedule.returned(payment.fee, payment.captured, refunded) - payment.fee_refunded
        )
        refund = Refund(
            id=draft.context.mint.next(ids.REFUND, ids.bucket_of_id(payment.id)),
            payment_id=payment.id,
            state=RefundState.PENDING if settlement is None else RefundState.SUCCEEDED,
            amount=amount,
            currency=payment.currency,
            fee_refunded=fee_back,
            description=description,
            created_at=draft.context.now,
        )
        if settlement is None:
            return self._ask_for_refund(draft, payment, refund)
        if fee_back:
            fees = draft.own_account(payment.tenant_id, accounts.Kind.FEES, payment.currency)
            require_open(fees)
            if not fees.covers(fee_back):
                raise refusals.MerchantFundsInsufficient(account_id=fees.id)
            draft.move(
                fees,
                settlement,
                fee_back,
                Reason.FEE_REFUND,
                payment_id=payment.id,
                refund_id=refund.id,
            )
        settlement = draft.account(settlement.id)
        if not settlement.covers(amount):
            raise refusals.MerchantFundsInsufficient(account_id=settlement.id)
        draft.move(
            settlement,
            payer,
            amount,
            Reason.REFUND,
            payment_id=payment.id,
            refund_id=refund.id,
            description=description,
        )
        after = payment._replace(refunded=payment.refunded + amount)
        return self._record(draft, after, refund, "payment_refunded")

    def _ask_for_refund(
        self, draft: Draft, payment: Payment, refund: Refund
    ) -> tuple[Payment, Refund]:
        """Reserve the amount, and ask the merchant's shard to give it."""
        draft.send(
            place(draft.context).shard_of(payment.settlement_account_id),
            LegKind.REFUND_DEBIT,
            payment.tenant_id,
            account_id=payment.settlement_account_id,
            remote_account_id=payment.payer_account_id,
            amount=refund.amount,
            currency=payment.currency,
            fee=refund.fee_refunded,
            payment_id=payment.id,
            refund_id=refund.id,
            description=refund.description,
        )
        after = payment._replace(refund_pending=payment.refund_pending + refund.amount)
        return self._record(draft, after, refund, "refund_requested")

    def _record(
        self, draft: Draft, payment: Payment, refund: Refund, event: str
    ) -> tuple[Payment, Refund]:
        """Put down a refund and the payment that counts it."""
        draft.put_refund(refund)
        after = draft.put_payment(
            payment._replace(
                fee_refunded=payment.fee_refunded + refund.fee_refunded,
                version=payment.version + 1,
                updated_at=draft.context.now,
            ),
            event,
        )
        return after, refund

    def _why_declined(
        self, payer: Account, command: commands.Authorize, *, reversed_before: bool
    ) -> DeclineReason:
        if reversed_before:
            return DeclineReason.REVERSED
        if command.risk_denied:
            return DeclineReason.RISK_REFUSED
        if not payer.covers(command.amount):
            return DeclineReason.INSUFFICIENT_FUNDS
        return DeclineReason.NONE

    def _take(self, draft: Draft, payment: Payment, amount: int, *, final: bool) -> Payment:
        """Post a capture whose hold is already released, with its fee, and record the payment."""
        captured = payment.captured + amount
        capturable = 0 if final else payment.capturable - amount
        fee = payment.fee_schedule.fee(captured)
        self._post(
            draft,
            payment,
            draft.account(payment.payer_account_id),
            _open_if_here(draft, payment.settlement_account_id),
            amount,
            fee - payment.fee,
            is_new=False,
        )
        done = capturable == 0
        return draft.put_payment(
            payment._replace(
                state=State.CAPTURED if done else State.PARTIALLY_CAPTURED,
                captured=captured,
                capturable=capturable,
                fee=fee,
                updated_at=draft.context.now,
            ),
            "payment_captured" if done else "payment_partially_captured",
        )

    def _post(
        self,
        draft: Draft,
        payment: Payment,
        payer: Account,
        settlement: Account | None,
        amount: int,
        fee: int,
        *,
        is_new: bool,
    ) -> None:
        """Move what is captured to the merchant, and its fee on to the fees account."""
        last_payment_id = payment.id if is_new else payer.last_payment_id
        if settlement is None:
            self._send(draft, payment, payer, amount, fee, last_payment_id)
            return
        if not fee:
            draft.move(
                payer,
                settlement,
                amount,
                Reason.CAPTURE,
                payment_id=payment.id,
                last_payment_id=last_payment_id,
            )
            return
        fees = draft.own_account(payment.tenant_id, accounts.Kind.FEES, payment.currency)
        require_open(fees)
        draft.capture(payer, settlement, fees, amount, fee, payment.id, last_payment_id)

    def _send(
        self,
        draft: Draft,
        payment: Payment,
        payer: Account,
        amount: int,
        fee: int,
        last_payment_id: str,
    ) -> None:
        """Send what is captured to the merchant's shard, where its fee is charged."""
        peer = place(draft.context).shard_of(payment.settlement_account_id)
        transfer = draft.move(
            payer,
            draft.clearing(payment.tenant_id, peer, payment.currency),
            amount,
            Reason.CAPTURE,
            payment_id=payment.id,
            last_payment_id=last_payment_id,
        )
        draft.send(
            peer,
            LegKind.CAPTURE,
            payment.tenant_id,
            account_id=payment.settlement_account_id,
            remote_account_id=payer.id,
            amount=amount,
            currency=payment.currency,
            fee=fee,
            transfer_id=transfer.id,
            payment_id=payment.id,
        )


def _open_if_here(draft: Draft, account_id: str) -> Account | None:
    """Return a merchant's account, which must be open; None when it is on another shard."""
    context = draft.context
    if context.homes is not None and place(context).peer_of(account_id):
        return None
    account = draft.account(account_id)
    require_open(account)
    return account

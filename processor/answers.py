"""Turns what was decided into the public response messages, serialized."""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.timestamp_pb2 import Timestamp

from processor import wire
from processor.domain.accounts import Account
from processor.domain.decide import Answer, Declined
from processor.domain.fees import FeeSchedule
from processor.domain.merchants import Merchant
from processor.domain.payments import Payment, Refund
from processor.domain.transfers import Transfer
from tender.v1 import account_pb2, lane_pb2, merchant_pb2, money_pb2, payment_pb2

_decode_metadata = msgspec.json.Decoder(dict[str, str]).decode


def _numbers(enum: EnumTypeWrapper, prefix: str) -> dict[str, Any]:
    """Return the wire numbers of an enum by the domain's names."""
    return {name.removeprefix(prefix): number for name, number in enum.items()}


_PAYMENT_STATE: Final = _numbers(payment_pb2.Payment.State, "STATE_")
_CAPTURE_METHOD: Final = _numbers(payment_pb2.CaptureMethod, "CAPTURE_METHOD_")
_DECLINE_REASON: Final = _numbers(payment_pb2.DeclineReason, "DECLINE_REASON_") | {"": 0}
_REFUND_STATE: Final = _numbers(payment_pb2.Refund.State, "STATE_")
_REFUND_POLICY: Final = _numbers(merchant_pb2.FeeRefundPolicy, "FEE_REFUND_POLICY_")
_ACCOUNT_KIND: Final = _numbers(account_pb2.Account.Kind, "KIND_")
_ACCOUNT_STATE: Final = _numbers(account_pb2.Account.State, "STATE_")
_TRANSFER_REASON: Final = _numbers(account_pb2.Transfer.Reason, "REASON_")
_POSTED: Final = int(account_pb2.Transfer.STATE_POSTED)
_MERCHANT_STATE: Final = _numbers(merchant_pb2.Merchant.State, "STATE_")
_REVERSAL: Final = _numbers(payment_pb2.ReversePaymentResponse.Result, "RESULT_")

Money = money_pb2.Money


def timestamp(time_us: int) -> Timestamp:
    """Return a protobuf time for µs since 1970."""
    seconds, micros = divmod(time_us, 1_000_000)
    return Timestamp(seconds=seconds, nanos=micros * 1000)


def payment_message(payment: Payment) -> payment_pb2.Payment:
    """Return a payment as callers see it."""
    currency = payment.currency
    return payment_pb2.Payment(
        id=payment.id,
        merchant_id=payment.merchant_id,
        payer_account_id=payment.payer_account_id,
        settlement_account_id=payment.settlement_account_id,
        state=_PAYMENT_STATE[payment.state],
        capture_method=_CAPTURE_METHOD[payment.capture_method],
        decline_reason=_DECLINE_REASON[payment.decline_reason],
        amount=Money(currency_code=currency, minor_units=payment.amount),
        captured=Money(currency_code=currency, minor_units=payment.captured),
        capturable=Money(currency_code=currency, minor_units=payment.capturable),
        refunded=Money(currency_code=currency, minor_units=payment.refunded),
        refund_pending=Money(currency_code=currency, minor_units=payment.refund_pending),
        fee=Money(currency_code=currency, minor_units=payment.fee),
        fee_refunded=Money(currency_code=currency, minor_units=payment.fee_refunded),
        fee_schedule=schedule_message(payment.fee_schedule),
        hold_expire_time=(
            None if payment.hold_expires_at is None else timestamp(payment.hold_expires_at)
        ),
        create_time=timestamp(payment.created_at),
        update_time=timestamp(payment.updated_at),
        version=payment.version,
        description=payment.description,
        metadata=_decode_metadata(payment.metadata) if payment.metadata else None,
    )


def payment_octets(payment: Payment) -> str:
    """Return a payment as callers see it, serialized, as octets (`wire`)."""
    return wire.payment(
        payment,
        state=_PAYMENT_STATE[payment.state],
        capture_method=_CAPTURE_METHOD[payment.capture_method],
        decline_reason=_DECLINE_REASON[payment.decline_reason],
        refund_policy=_REFUND_POLICY[payment.fee_refund_policy],
        metadata=_decode_metadata(payment.metadata) if payment.metadata else {},
    )


def account_octets(account: Account) -> str:
    """Return an account as callers see it, serialized, as octets."""
    return wire.account(
        account, kind=_ACCOUNT_KIND[account.kind], state=_ACCOUNT_STATE[account.state]
    )


def transfer_octets(transfer: Transfer, remote_account_id: str = "") -> str:
    """Return a posted transfer as callers see it, serialized, as octets."""
    return wire.transfer(
        transfer,
        reason=_TRANSFER_REASON[transfer.reason],
        state=_POSTED,
        remote_account_id=remote_account_id,
    )


def refund_message(refund: Refund) -> payment_pb2.Refund:
    """Return a refund as callers see it."""
    return payment_pb2.Refund(
        id=refund.id,
        payment_id=refund.payment_id,
        state=_REFUND_STATE[refund.state],
        amount=Money(currency_code=refund.currency, minor_units=refund.amount),
        fee_refunded=Money(currency_code=refund.currency, minor_units=refund.fee_refunded),
        create_time=timestamp(refund.created_at),
        description=refund.description,
        failure_reason=refund.failure_reason,
    )


def account_message(account: Account) -> account_pb2.Account:
    """Return an account as callers see it; floor is unset for accounts without one."""
    currency = account.currency
    return account_pb2.Account(
        id=account.id,
        user_id=account.user_id,
        kind=_ACCOUNT_KIND[account.kind],
        currency_code=currency,
        state=_ACCOUNT_STATE[account.state],
        posted=Money(currency_code=currency, minor_units=account.posted),
        held=Money(currency_code=currency, minor_units=account.held),
        available=Money(currency_code=currency, minor_units=account.posted - account.held),
        floor=(
            None
            if account.floor is None
            else Money(currency_code=currency, minor_units=account.floor)
        ),
        create_time=timestamp(account.created_at),
        update_time=timestamp(account.updated_at),
        version=account.version,
    )


def schedule_message(schedule: FeeSchedule) -> merchant_pb2.FeeSchedule:
    """Return a fee schedule as callers see it."""
    return merchant_pb2.FeeSchedule(
        basis_points=schedule.basis_points,
        fixed_minor_units=schedule.fixed,
        refund_policy=_REFUND_POLICY[schedule.refund_policy],
    )


def merchant_message(merchant: Merchant) -> merchant_pb2.Merchant:
    """Return a merchant as callers see it."""
    return merchant_pb2.Merchant(
        id=merchant.id,
        reference=merchant.reference,
        display_name=merchant.display_name,
        state=_MERCHANT_STATE[merchant.state],
        settlement_terms=[
            merchant_pb2.SettlementTerms(
                currency_code=terms.currency,
                account_id=terms.account_id,
                fee_schedule=schedule_message(terms.fee_schedule),
            )
            for terms in merchant.settlement_terms
        ],
        create_time=timestamp(merchant.created_at),
        update_time=timestamp(merchant.updated_at),
        version=merchant.version,
    )


def transfer_message(
    transfer: Transfer | Declined, remote_account_id: str = ""
) -> account_pb2.Transfer:
    """Return a transfer, posted or declined, as callers see it.

    `remote_account_id` is the account on the other side when that is on another shard.
    """
    if isinstance(transfer, Declined):
        return account_pb2.Transfer(
            id=transfer.id,
            source_account_id=transfer.source,
            destination_account_id=transfer.destination,
            amount=Money(currency_code=transfer.currency, minor_units=transfer.amount),
            reason=_TRANSFER_REASON[transfer.reason],
            state=account_pb2.Transfer.STATE_DECLINED,
            decline_reason=_DECLINE_REASON[transfer.decline_reason],
            create_time=timestamp(transfer.created_at),
            description=transfer.description,
        )
    return account_pb2.Transfer(
        id=transfer.id,
        source_account_id=transfer.debit_account_id,
        destination_account_id=transfer.credit_account_id,
        amount=Money(currency_code=transfer.currency, minor_units=transfer.amount),
        reason=_TRANSFER_REASON[transfer.reason],
        state=account_pb2.Transfer.STATE_POSTED,
        payment_id=transfer.payment_id or "",
        create_time=timestamp(transfer.created_at),
        description=transfer.description,
        remote_account_id=remote_account_id,
    )


def _payment(answer: Answer, read_token: str) -> bytes:
    """Return the response to an authorization, a capture or a void: they have one form."""
    assert answer.payment is not None
    payment = wire.field(1, payment_octets(answer.payment))
    return wire.encoded(payment + wire.text(2, read_token))


def _with_account(
    response: type[account_pb2.CreateAccountResponse]
    | type[account_pb2.FreezeAccountResponse]
    | type[account_pb2.UnfreezeAccountResponse]
    | type[account_pb2.CloseAccountResponse],
) -> Callable[[Answer, str], bytes]:
    def encode(answer: Answer, read_token: str) -> bytes:
        assert answer.account is not None
        return response(
            account=account_message(answer.account), read_token=read_token
        ).SerializeToString()

    return encode


def _with_merchant(
    response: type[merchant_pb2.CreateMerchantResponse] | type[merchant_pb2.UpdateMerchantResponse],
) -> Callable[[Answer, str], bytes]:
    def encode(answer: Answer, read_token: str) -> bytes:
        assert answer.merchant is not None
        return response(
            merchant=merchant_message(answer.merchant), read_token=read_token
        ).SerializeToString()

    return encode


def _refund(answer: Answer, read_token: str) -> bytes:
    assert answer.payment is not None
    assert answer.refund is not None
    return payment_pb2.RefundPaymentResponse(
        payment=payment_message(answer.payment),
        refund=refund_message(answer.refund),
        read_token=read_token,
    ).SerializeToString()


def _reverse(answer: Answer, read_token: str) -> bytes:
    return payment_pb2.ReversePaymentResponse(
        result=_REVERSAL[answer.reversal],
        payment=payment_message(answer.payment) if answer.payment else None,
        refund=refund_message(answer.refund) if answer.refund else None,
        read_token=read_token,
    ).SerializeToString()


def _transfer(answer: Answer, read_token: str) -> bytes:
    assert answer.transfer is not None
    return account_pb2.CreateTransferResponse(
        transfer=transfer_message(answer.transfer, answer.remote_account_id),
        read_token=read_token,
    ).SerializeToString()


_ENCODERS: Final[dict[int, Callable[[Answer, str], bytes]]] = {
    lane_pb2.METHOD_AUTHORIZE_PAYMENT: _payment,
    lane_pb2.METHOD_CAPTURE_PAYMENT: _payment,
    lane_pb2.METHOD_VOID_PAYMENT: _payment,
    lane_pb2.METHOD_REFUND_PAYMENT: _refund,
    lane_pb2.METHOD_REVERSE_PAYMENT: _reverse,
    lane_pb2.METHOD_CREATE_ACCOUNT: _with_account(account_pb2.CreateAccountResponse),
    lane_pb2.METHOD_FREEZE_ACCOUNT: _with_account(account_pb2.FreezeAccountResponse),
    lane_pb2.METHOD_UNFREEZE_ACCOUNT: _with_account(account_pb2.UnfreezeAccountResponse),
    lane_pb2.METHOD_CLOSE_ACCOUNT: _with_account(account_pb2.CloseAccountResponse),
    lane_pb2.METHOD_CREATE_TRANSFER: _transfer,
    lane_pb2.METHOD_CREATE_MERCHANT: _with_merchant(merchant_pb2.CreateMerchantResponse),
    lane_pb2.METHOD_UPDATE_MERCHANT: _with_merchant(merchant_pb2.UpdateMerchantResponse),
}


def encode(method: int, answer: Answer, read_token: str) -> bytes:
    """Return the public response of a method; this very text is stored and replayed."""
    return _ENCODERS[method](answer, read_token)

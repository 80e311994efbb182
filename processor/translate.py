"""Turns the public request messages into the domain's commands. The gateway has validated them."""

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import msgspec
from google.protobuf.message import Message

from kit import fingerprint
from processor.domain import accounts, commands, merchants
from processor.domain.fees import RefundPolicy
from processor.domain.payments import CaptureMethod
from processor.entries import Entry, Reply
from tender.v1 import account_pb2, lane_pb2, merchant_pb2, payment_pb2

_CAPTURE_METHOD: Final = {
    payment_pb2.CAPTURE_METHOD_UNSPECIFIED: CaptureMethod.AUTOMATIC,
    payment_pb2.CAPTURE_METHOD_AUTOMATIC: CaptureMethod.AUTOMATIC,
    payment_pb2.CAPTURE_METHOD_MANUAL: CaptureMethod.MANUAL,
    payment_pb2.CAPTURE_METHOD_MANUAL_MULTIPLE: CaptureMethod.MANUAL_MULTIPLE,
}
_ACCOUNT_KIND: Final = {
    account_pb2.Account.KIND_UNSPECIFIED: accounts.Kind.CONSUMER_WALLET,
    account_pb2.Account.KIND_CONSUMER_WALLET: accounts.Kind.CONSUMER_WALLET,
    account_pb2.Account.KIND_MERCHANT_WALLET: accounts.Kind.MERCHANT_WALLET,
}
_MERCHANT_STATE: Final = {
    merchant_pb2.Merchant.STATE_ACTIVE: merchants.State.ACTIVE,
    merchant_pb2.Merchant.STATE_SUSPENDED: merchants.State.SUSPENDED,
}
_REFUND_POLICY: Final = {
    merchant_pb2.FEE_REFUND_POLICY_UNSPECIFIED: RefundPolicy.KEEP,
    merchant_pb2.FEE_REFUND_POLICY_KEEP: RefundPolicy.KEEP,
    merchant_pb2.FEE_REFUND_POLICY_RETURN: RefundPolicy.RETURN,
}

_encode_metadata = msgspec.json.Encoder(order="sorted").encode


def principal(message: lane_pb2.Principal) -> commands.Principal:
    """Return on whose behalf a command runs."""
    return commands.Principal(message.tenant_id, message.merchant_id, message.operator)


def _authorize(
    who: commands.Principal, request: payment_pb2.AuthorizePaymentRequest, risk_denied: bool
) -> tuple[commands.Authorize, bytes]:
    """Return the command and the request's fingerprint: most of what it reads, both need."""
    amount = request.amount
    # A map's emptiness costs a sixth of a copy of it.
    metadata = dict(request.metadata) if request.metadata else {}
    command = commands.Authorize(
        who,
        request.request_id,
        request.payer_account_id,
        request.merchant_id,
        amount.minor_units,
        amount.currency_code,
        _CAPTURE_METHOD[request.capture_method],
        request.hold_duration_seconds,
        request.description,
        _encode_metadata(metadata).decode() if metadata else "",
        risk_denied,
    )
    if metadata or not request.HasField("amount"):
        return command, fingerprint.fingerprint(lane_pb2.METHOD_AUTHORIZE_PAYMENT, request)
    return command, fingerprint.of_authorization(
        command.payer_account_id,
        command.merchant_id,
        command.amount,
        command.currency,
        request.capture_method,
        command.hold_seconds,
        command.description,
    )


def _capture(
    who: commands.Principal, request: payment_pb2.CapturePaymentRequest
) -> commands.Capture:
    given = request.HasField("amount")
    return commands.Capture(
        who,
        request.request_id,
        request.payment_id,
        request.amount.minor_units if given else None,
        request.amount.currency_code,
        request.final,
    )


def _refund(
    who: commands.Principal, request: payment_pb2.RefundPaymentRequest
) -> commands.RefundPayment:
    given = request.HasField("amount")
    return commands.RefundPayment(
        who,
        request.request_id,
        request.payment_id,
        request.amount.minor_units if given else None,
        request.amount.currency_code,
        request.description,
    )


def _terms(
    asked: Iterable[merchant_pb2.SettlementTerms],
) -> tuple[commands.SettlementTerms, ...]:
    return tuple(
        commands.SettlementTerms(
            terms.currency_code,
            terms.account_id,
            terms.fee_schedule.basis_points,
            terms.fee_schedule.fixed_minor_units,
            _REFUND_POLICY[terms.fee_schedule.refund_policy],
        )
        for terms in asked
    )


def _update_merchant(
    who: commands.Principal, request: merchant_pb2.UpdateMerchantRequest
) -> commands.UpdateMerchant:
    masked = set(request.update_mask.paths)
    asked = request.merchant
    return commands.UpdateMerchant(
        who,
        request.request_id,
        asked.id,
        asked.display_name if "display_name" in masked else None,
        _MERCHANT_STATE[asked.state] if "state" in masked else None,
        _terms(asked.settlement_terms) if "settlement_terms" in masked else None,
    )


def _account_state(
    state: accounts.State,
) -> Callable[[commands.Principal, Any], commands.ChangeAccountState]:
    return lambda who, request: commands.ChangeAccountState(
        who, request.request_id, request.account_id, state
    )


_Translate = Callable[[commands.Principal, Any], commands.CallerCommand]

_METHODS: Final[dict[int, tuple[type[Message], _Translate]]] = {
    lane_pb2.METHOD_CAPTURE_PAYMENT: (payment_pb2.CapturePaymentRequest, _capture),
    lane_pb2.METHOD_VOID_PAYMENT: (
        payment_pb2.VoidPaymentRequest,
        lambda who, request: commands.Void(who, request.request_id, request.payment_id),
    ),
    lane_pb2.METHOD_REFUND_PAYMENT: (payment_pb2.RefundPaymentRequest, _refund),
    lane_pb2.METHOD_REVERSE_PAYMENT: (
        payment_pb2.ReversePaymentRequest,
        lambda who, request: commands.Reverse(
            who,
            request.request_id,
            request.original_request_id,
            request.payer_account_id,
            request.merchant_id,
        ),
    ),
    lane_pb2.METHOD_CREATE_ACCOUNT: (
        account_pb2.CreateAccountRequest,
        lambda who, request: commands.OpenAccount(
            who,
            request.request_id,
            request.user_id,
            _ACCOUNT_KIND[request.kind],
            request.currency_code,
            request.floor_minor_units,
        ),
    ),
    lane_pb2.METHOD_FREEZE_ACCOUNT: (
        account_pb2.FreezeAccountRequest,
        _account_state(accounts.State.FROZEN),
    ),
    lane_pb2.METHOD_UNFREEZE_ACCOUNT: (
        account_pb2.UnfreezeAccountRequest,
        _account_state(accounts.State.OPEN),
    ),
    lane_pb2.METHOD_CLOSE_ACCOUNT: (
        account_pb2.CloseAccountRequest,
        _account_state(accounts.State.CLOSED),
    ),
    lane_pb2.METHOD_CREATE_TRANSFER: (
        account_pb2.CreateTransferRequest,
        lambda who, request: commands.CreateTransfer(
            who,
            request.request_id,
            request.source_account_id,
            request.destination_account_id,
            request.amount.minor_units,
            request.amount.currency_code,
            request.description,
        ),
    ),
    lane_pb2.METHOD_CREATE_MERCHANT: (
        merchant_pb2.CreateMerchantRequest,
        lambda who, request: commands.CreateMerchant(
            who,
            request.request_id,
            request.reference,
            request.display_name,
            _terms(request.settlement_terms),
        ),
    ),
    lane_pb2.METHOD_UPDATE_MERCHANT: (merchant_pb2.UpdateMerchantRequest, _update_merchant),
}


METHOD_NAMES: Final = {
    number: name.removeprefix("METHOD_") for name, number in lane_pb2.Method.items()
}

_AUTHORIZE: Final[int] = lane_pb2.METHOD_AUTHORIZE_PAYMENT
_DENY: Final[int] = lane_pb2.RISK_VERDICT_DENY
_authorization_of: Final[Callable[[bytes], payment_pb2.AuthorizePaymentRequest]] = (
    payment_pb2.AuthorizePaymentRequest.FromString
)


class Translated(NamedTuple):
    """A public request, the command that it asks for, and its fingerprint."""

    request: Message
    command: commands.CallerCommand
    fingerprint: bytes


def translate(envelope: lane_pb2.Command, who: commands.Principal) -> Translated:
    """Return what a command asks for. Raises ValueError, KeyError, DecodeError."""
    method = envelope.method
    if method == _AUTHORIZE:
        authorize = _authorization_of(envelope.request)
        return Translated(authorize, *_authorize(who, authorize, envelope.risk_verdict == _DENY))
    known = _METHODS.get(method)
    if known is None:
        raise ValueError("unknown method")
    message_type, build = known
    request = message_type.FromString(envelope.request)
    return Translated(request, build(who, request), fingerprint.fingerprint(method, request))


TIMEOUT_MS_DEFAULT: Final = 10_000
"""For commands that come without a deadline."""


def entry(
    envelope: lane_pb2.Command,
    who: commands.Principal,
    reply: Callable[[Reply], None],
    monotonic_now: float,
) -> Entry:
    """Return a command as the lane takes it. Raises ValueError, KeyError, DecodeError."""
    request, command, digest = translate(envelope, who)
    method: int = envelope.method
    timeout_ms: int = envelope.timeout_ms
    return Entry(
        command,
        reply,
        method=method,
        method_name=METHOD_NAMES[method],
        request=request,
        fingerprint=digest,
        size=len(envelope.request),
        deadline=monotonic_now + (timeout_ms or TIMEOUT_MS_DEFAULT) / 1_000,
        bulk=envelope.bulk,
        background=envelope.background,
    )

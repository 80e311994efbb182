"""The calls of PaymentService."""

from collections.abc import Mapping

from tender.calls import Call, Method, chosen
from tender.v1 import payment_pb2 as pb
from tender.v1.money_pb2 import Money

AUTHORIZE = Method.of("PaymentService/AuthorizePayment", pb.AuthorizePaymentResponse)
CAPTURE = Method.of("PaymentService/CapturePayment", pb.CapturePaymentResponse)
VOID = Method.of("PaymentService/VoidPayment", pb.VoidPaymentResponse)
REFUND = Method.of("PaymentService/RefundPayment", pb.RefundPaymentResponse)
REVERSE = Method.of("PaymentService/ReversePayment", pb.ReversePaymentResponse)
AUTHORIZE_MANY = Method.of("PaymentService/AuthorizePayments", pb.AuthorizePaymentsResponse)
STREAM = Method.of("PaymentService/StreamPayments", pb.StreamPaymentsResponse)
GET = Method.of("PaymentService/GetPayment", pb.GetPaymentResponse)
LIST = Method.of("PaymentService/ListPayments", pb.ListPaymentsResponse)


def authorize(
    *,
    payer_account_id: str,
    merchant_id: str,
    amount: Money,
    capture_method: pb.CaptureMethod = pb.CAPTURE_METHOD_AUTOMATIC,
    hold_duration_seconds: int = 0,
    description: str = "",
    metadata: Mapping[str, str] | None = None,
    request_id: str | None = None,
    timeout: float | None = None,
) -> Call[pb.AuthorizePaymentResponse]:
    """Holds the amount on the payer's account; captures it at once unless told otherwise.

    A payment that a business rule declines is an answer with STATE_DECLINED, not an error.
    """
    key = chosen(request_id)
    request = pb.AuthorizePaymentRequest(
        request_id=key,
        payer_account_id=payer_account_id,
        merchant_id=merchant_id,
        amount=amount,
        capture_method=capture_method,
        hold_duration_seconds=hold_duration_seconds,
        description=description,
        metadata=metadata,
    )
    return Call(AUTHORIZE, request, timeout, key)


def capture(
    *,
    payment_id: str,
    amount: Money | None = None,
    final: bool = False,
    request_id: str | None = None,
    timeout: float | None = None,
) -> Call[pb.CapturePaymentResponse]:
    """Moves held money to the merchant: all that is capturable when no amount is given."""
    key = chosen(request_id)
    request = pb.CapturePaymentRequest(
        request_id=key, payment_id=payment_id, amount=amount, final=final
    )
    return Call(CAPTURE, request, timeout, key)


def void(
    *, payment_id: str, request_id: str | None = None, timeout: float | None = None
) -> Call[pb.VoidPaymentResponse]:
    """Releases the whole hold of a payment of which nothing is captured."""
    key = chosen(request_id)
    return Call(VOID, pb.VoidPaymentRequest(request_id=key, payment_id=payment_id), timeout, key)


def refund(
    *,
    payment_id: str,
    amount: Money | None = None,
    description: str = "",
    request_id: str | None = None,
    timeout: float | None = None,
) -> Call[pb.RefundPaymentResponse]:
    """Gives captured money back: all that is captured and not refunded when no amount is given."""
    key = chosen(request_id)
    request = pb.RefundPaymentRequest(
        request_id=key, payment_id=payment_id, amount=amount, description=description
    )
    return Call(REFUND, request, timeout, key)


def reverse(
    *,
    original_request_id: str,
    payer_account_id: str,
    merchant_id: str,
    request_id: str | None = None,
    timeout: float | None = None,
) -> Call[pb.ReversePaymentResponse]:
    """Undoes an authorization whose answer never came, whether or not it arrived."""
    key = chosen(request_id)
    request = pb.ReversePaymentRequest(
        request_id=key,
        original_request_id=original_request_id,
        payer_account_id=payer_account_id,
        merchant_id=merchant_id,
    )
    return Call(REVERSE, request, timeout, key)


def get(
    *, payment_id: str, read_token: str = "", timeout: float | None = None
) -> Call[pb.GetPaymentResponse]:
    """Returns a payment and its refunds."""
    request = pb.GetPaymentRequest(payment_id=payment_id, read_token=read_token)
    return Call(GET, request, timeout)


def find(
    *, merchant_id: str, request_id: str, read_token: str = "", timeout: float | None = None
) -> Call[pb.GetPaymentResponse]:
    """Returns the payment that an authorization with this request_id made, and its refunds."""
    request = pb.GetPaymentRequest(
        merchant_id=merchant_id, request_id=request_id, read_token=read_token
    )
    return Call(GET, request, timeout)


def page(
    *,
    merchant_id: str = "",
    payer_account_id: str = "",
    page_size: int = 0,
    page_token: str = "",
    read_token: str = "",
    timeout: float | None = None,
) -> Call[pb.ListPaymentsResponse]:
    """Returns payments, newest first."""
    request = pb.ListPaymentsRequest(
        merchant_id=merchant_id,
        payer_account_id=payer_account_id,
        page_size=page_size,
        page_token=page_token,
        read_token=read_token,
    )
    return Call(LIST, request, timeout)

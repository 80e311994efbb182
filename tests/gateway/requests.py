"""One valid request for every public method."""

from google.protobuf import field_mask_pb2, timestamp_pb2
from google.protobuf.message import Message

from tender.v1 import account_pb2, merchant_pb2, money_pb2, payment_pb2, request_pb2
from tests.gateway.scripted import ACCOUNT, MERCHANT, OTHER_ACCOUNT, PAYMENT


def money(minor_units: int = 1_050, currency_code: str = "EUR") -> money_pb2.Money:
    return money_pb2.Money(minor_units=minor_units, currency_code=currency_code)


def authorize(request_id: str = "order-1", **fields: object) -> payment_pb2.AuthorizePaymentRequest:
    given = {
        "payer_account_id": ACCOUNT,
        "merchant_id": MERCHANT,
        "amount": money(),
    } | fields
    return payment_pb2.AuthorizePaymentRequest(request_id=request_id, **given)  # type: ignore[arg-type]


def terms(currency_code: str = "EUR", basis_points: int = 150) -> merchant_pb2.SettlementTerms:
    return merchant_pb2.SettlementTerms(
        currency_code=currency_code,
        account_id=ACCOUNT,
        fee_schedule=merchant_pb2.FeeSchedule(basis_points=basis_points, fixed_minor_units=25),
    )


VALID: dict[str, Message] = {
    "GetRequest": request_pb2.GetRequestRequest(request_id="order-1"),
    "AuthorizePayment": authorize(),
    "CapturePayment": payment_pb2.CapturePaymentRequest(request_id="c", payment_id=PAYMENT),
    "VoidPayment": payment_pb2.VoidPaymentRequest(request_id="v", payment_id=PAYMENT),
    "RefundPayment": payment_pb2.RefundPaymentRequest(request_id="r", payment_id=PAYMENT),
    "ReversePayment": payment_pb2.ReversePaymentRequest(
        request_id="x",
        original_request_id="order-1",
        payer_account_id=ACCOUNT,
        merchant_id=MERCHANT,
    ),
    "AuthorizePayments": payment_pb2.AuthorizePaymentsRequest(requests=[authorize("p")]),
    "StreamPayments": payment_pb2.StreamPaymentsRequest(
        commands=[payment_pb2.PaymentCommand(authorize=authorize("s"))]
    ),
    "GetPayment": payment_pb2.GetPaymentRequest(payment_id=PAYMENT),
    "ListPayments": payment_pb2.ListPaymentsRequest(),
    "CreateAccount": account_pb2.CreateAccountRequest(
        request_id="a", user_id="user-1", currency_code="EUR"
    ),
    "GetAccount": account_pb2.GetAccountRequest(account_id=ACCOUNT),
    "ListAccounts": account_pb2.ListAccountsRequest(),
    "FreezeAccount": account_pb2.FreezeAccountRequest(request_id="f", account_id=ACCOUNT),
    "UnfreezeAccount": account_pb2.UnfreezeAccountRequest(request_id="u", account_id=ACCOUNT),
    "CloseAccount": account_pb2.CloseAccountRequest(request_id="k", account_id=ACCOUNT),
    "CreateTransfer": account_pb2.CreateTransferRequest(
        request_id="t",
        source_account_id=ACCOUNT,
        destination_account_id=OTHER_ACCOUNT,
        amount=money(),
    ),
    "ListTransfers": account_pb2.ListTransfersRequest(account_id=ACCOUNT),
    "GetBalanceAt": account_pb2.GetBalanceAtRequest(
        account_id=ACCOUNT, time=timestamp_pb2.Timestamp(seconds=1_700_000_000)
    ),
    "CreateMerchant": merchant_pb2.CreateMerchantRequest(
        request_id="m", reference="shop-1", settlement_terms=[terms()]
    ),
    "GetMerchant": merchant_pb2.GetMerchantRequest(merchant_id=MERCHANT),
    "UpdateMerchant": merchant_pb2.UpdateMerchantRequest(
        request_id="n",
        merchant=merchant_pb2.Merchant(id=MERCHANT, display_name="Shop"),
        update_mask=field_mask_pb2.FieldMask(paths=["display_name"]),
    ),
}

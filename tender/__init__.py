"""What callers of Tender import: the SDK and the generated contract.

    async with tender.Client("127.0.0.1:50051", api_key) as client:
        answer = await client.authorize_payment(
            payer_account_id=payer, merchant_id=merchant, amount=tender.money("EUR", 1050)
        )
        print(answer.payment.state, answer.read_token)

`SyncClient` has the same operations without `await`. Answers are the contract's response messages:
the resource (`answer.payment`, `answer.refund`, `answer.account` ...) and its `read_token`.

`client.payments` takes commands, made with `tender.commands`, many at a time: `authorize_many` in
calls of up to 1,000, `stream` over one stream.
"""

from tender import commands
from tender.amounts import money
from tender.bulk import AsyncPayments, SyncPayments
from tender.calls import new_request_id
from tender.client import Client, SyncClient
from tender.endpoints import tls_credentials
from tender.errors import (
    AlreadyExists,
    FieldViolation,
    InvalidArgument,
    NotFound,
    OutcomeUnknown,
    Overloaded,
    PaymentStateRefused,
    PermissionDenied,
    PreconditionFailed,
    Refused,
    RequestIdReused,
    TenderError,
    Unauthenticated,
    Unavailable,
)
from tender.outcomes import Outcome
from tender.retries import NO_RETRIES, RetryPolicy
from tender.streams import PaymentStream
from tender.v1.account_pb2 import Account, Transfer
from tender.v1.merchant_pb2 import (
    FEE_REFUND_POLICY_KEEP,
    FEE_REFUND_POLICY_RETURN,
    FeeSchedule,
    Merchant,
    SettlementTerms,
)
from tender.v1.money_pb2 import Money
from tender.v1.operation_pb2 import CommandOutcome, Operation
from tender.v1.payment_pb2 import (
    CAPTURE_METHOD_AUTOMATIC,
    CAPTURE_METHOD_MANUAL,
    CAPTURE_METHOD_MANUAL_MULTIPLE,
    CaptureMethod,
    DeclineReason,
    Leg,
    Payment,
    Refund,
    ReversePaymentResponse,
)
from tender.v1.webhook_pb2 import WebhookAttempt, WebhookDelivery, WebhookEndpoint

__all__ = [
    "CAPTURE_METHOD_AUTOMATIC",
    "CAPTURE_METHOD_MANUAL",
    "CAPTURE_METHOD_MANUAL_MULTIPLE",
    "FEE_REFUND_POLICY_KEEP",
    "FEE_REFUND_POLICY_RETURN",
    "NO_RETRIES",
    "Account",
    "AlreadyExists",
    "AsyncPayments",
    "CaptureMethod",
    "Client",
    "CommandOutcome",
    "DeclineReason",
    "FeeSchedule",
    "FieldViolation",
    "InvalidArgument",
    "Leg",
    "Merchant",
    "Money",
    "NotFound",
    "Operation",
    "Outcome",
    "OutcomeUnknown",
    "Overloaded",
    "Payment",
    "PaymentStateRefused",
    "PaymentStream",
    "PermissionDenied",
    "PreconditionFailed",
    "Refund",
    "Refused",
    "RequestIdReused",
    "RetryPolicy",
    "ReversePaymentResponse",
    "SettlementTerms",
    "SyncClient",
    "SyncPayments",
    "TenderError",
    "Transfer",
    "Unauthenticated",
    "Unavailable",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookEndpoint",
    "commands",
    "money",
    "new_request_id",
    "tls_credentials",
]

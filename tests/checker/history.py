"""What clients asked and what they were told, recorded as it happened."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from tender.v1 import account_pb2, merchant_pb2, payment_pb2

Response = TypeVar("Response", bound=Message)

RESPONSES: dict[type[Message], tuple[str, type[Message]]] = {
    payment_pb2.AuthorizePaymentRequest: (
        "AUTHORIZE_PAYMENT",
        payment_pb2.AuthorizePaymentResponse,
    ),
    payment_pb2.CapturePaymentRequest: ("CAPTURE_PAYMENT", payment_pb2.CapturePaymentResponse),
    payment_pb2.VoidPaymentRequest: ("VOID_PAYMENT", payment_pb2.VoidPaymentResponse),
    payment_pb2.RefundPaymentRequest: ("REFUND_PAYMENT", payment_pb2.RefundPaymentResponse),
    payment_pb2.ReversePaymentRequest: ("REVERSE_PAYMENT", payment_pb2.ReversePaymentResponse),
    account_pb2.CreateAccountRequest: ("CREATE_ACCOUNT", account_pb2.CreateAccountResponse),
    account_pb2.FreezeAccountRequest: ("FREEZE_ACCOUNT", account_pb2.FreezeAccountResponse),
    account_pb2.UnfreezeAccountRequest: ("UNFREEZE_ACCOUNT", account_pb2.UnfreezeAccountResponse),
    account_pb2.CloseAccountRequest: ("CLOSE_ACCOUNT", account_pb2.CloseAccountResponse),
    account_pb2.CreateTransferRequest: ("CREATE_TRANSFER", account_pb2.CreateTransferResponse),
    merchant_pb2.CreateMerchantRequest: ("CREATE_MERCHANT", merchant_pb2.CreateMerchantResponse),
    merchant_pb2.UpdateMerchantRequest: ("UPDATE_MERCHANT", merchant_pb2.UpdateMerchantResponse),
}
"""Requests that change something: the method under which the key is stored, and the answer."""

FINAL_CODES = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
"""Codes that say "not carried out" (R16); after any other the outcome is unknown."""

REUSED = "REQUEST_ID_REUSED"


class End(Enum):
    """How an operation ended, as its client saw it. One that never ended is as good as unknown."""

    OK = "ok"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass
class Operation:
    """One call: what was asked and, once it ended, what came back."""

    request: Any
    end: End = End.UNKNOWN
    response: Any = None
    reason: str = ""

    @property
    def request_id(self) -> str:
        request_id: str = self.request.request_id
        return request_id

    @property
    def method(self) -> str:
        return RESPONSES[type(self.request)][0]

    def ok(self, response: Message | bytes) -> None:
        """The client got an answer."""
        if isinstance(response, bytes):
            response = RESPONSES[type(self.request)][1].FromString(response)
        self.end, self.response = End.OK, response

    def refused(self, reason: str) -> None:
        """The client was told that nothing was carried out."""
        self.end, self.reason = End.REFUSED, reason

    def unknown(self, reason: str) -> None:
        """The client does not know: a deadline, a lost connection, a cancelled call."""
        self.end, self.reason = End.UNKNOWN, reason


@dataclass
class History:
    """All operations of one tenant's clients in a run, in memory."""

    tenant_id: str = "dev"
    operations: list[Operation] = field(default_factory=list)
    accounts: dict[str, int] = field(default_factory=dict)
    merchants: set[str] = field(default_factory=set)

    def adopt_account(self, account_id: str, posted: int = 0) -> None:
        """Take over an account made elsewhere that from now on only this history touches."""
        self.accounts[account_id] = posted

    def adopt_merchant(self, merchant_id: str) -> None:
        """Take over a merchant made elsewhere whose payments are all asked for here."""
        self.merchants.add(merchant_id)

    def invoke(self, request: Message) -> Operation:
        """Record that a call begins; how it ends is told to what is returned."""
        assert type(request) in RESPONSES, "only calls that change something are recorded"
        copy = type(request)()
        copy.CopyFrom(request)
        operation = Operation(copy)
        self.operations.append(operation)
        return operation

    async def call(
        self, method: Callable[..., Awaitable[Response]], request: Message, **options: Any
    ) -> Response:
        """Make a call through a gRPC stub's method and record it; errors are raised on."""
        operation = self.invoke(request)
        try:
            response = await method(request, **options)
        except grpc.RpcError as error:
            reason, final = classify(error)
            (operation.refused if final else operation.unknown)(reason)
            raise
        operation.ok(response)
        return response


def classify(error: Any) -> tuple[str, bool]:
    """Return the reason of an RpcError, and whether it says that nothing was carried out."""
    code = error.code()
    status = rpc_status.from_call(error)
    info = ErrorInfo()
    for detail in status.details if status is not None else ():
        if detail.Is(ErrorInfo.DESCRIPTOR):
            detail.Unpack(info)
    return info.reason or code.name, code in FINAL_CODES

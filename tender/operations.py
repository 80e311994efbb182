"""The calls of OperationService: commands that are accepted now and carried out soon."""

from typing import Any

from tender import payments
from tender.calls import Call, Method
from tender.v1 import operation_pb2 as pb
from tender.v1 import payment_pb2

SUBMIT = Method.of("OperationService/SubmitPayment", pb.SubmitPaymentResponse)
GET = Method.of("OperationService/GetOperation", pb.GetOperationResponse)

_FIELDS = {
    payments.AUTHORIZE: "authorize",
    payments.CAPTURE: "capture",
    payments.VOID: "void",
    payments.REFUND: "refund",
    payments.REVERSE: "reverse",
}


def submit(command: Call[Any], *, timeout: float | None = None) -> Call[pb.SubmitPaymentResponse]:
    """Accepts a command, made with `tender.commands`, to be carried out soon.

    The answer has the operation's id, by which `get_operation` and the event of its outcome name
    it. Submitted again with the same request_id it has its effect once.
    """
    field = _FIELDS.get(command.method)
    if field is None:
        raise ValueError("Only payment commands can be submitted.")
    made = payment_pb2.PaymentCommand()
    getattr(made, field).CopyFrom(command.request)
    request = pb.SubmitPaymentRequest(command=made)
    return Call(SUBMIT, request, timeout, command.request_id)


def get(*, operation_id: str, timeout: float | None = None) -> Call[pb.GetOperationResponse]:
    """Returns how far a submitted command is, and once it is decided what became of it."""
    return Call(GET, pb.GetOperationRequest(operation_id=operation_id), timeout)

"""Commands that are accepted now and carried out soon: submit one, look at what became of it."""

import time
from typing import Annotated, Any, Final

import typer
from google.protobuf.json_format import MessageToJson

import tender
from deploy.local.commands import calling, output
from deploy.local.commands.calling import PartialAmount, RequestId, Session
from tender import commands
from tender.calls import Call

app = typer.Typer(help="Commands that are accepted now and carried out soon.")

LOOK_SECONDS: Final = 0.2
WAIT_SECONDS_MAX: Final = 60.0

OperationId = Annotated[str, typer.Argument(help="op_...")]
PaymentOption = Annotated[str, typer.Option(metavar="PAYMENT", help="Instead of paying: pay_...")]


@calling.command(
    app,
    "submit",
    "tender operations submit '10.50 EUR' --from acc_... --to mer_...",
    "tender operations submit '5 EUR' --refund pay_... --request-id order-4711-back",
)
def submit(
    session: Session,
    amount: PartialAmount = None,
    payer: Annotated[str, typer.Option("--from", help="Account that pays.")] = "",
    merchant: Annotated[str, typer.Option("--to", help="Merchant that is paid.")] = "",
    manual: Annotated[bool, typer.Option("--manual", help="Hold now, capture later.")] = False,
    capture: PaymentOption = "",
    void: PaymentOption = "",
    refund: PaymentOption = "",
    request_id: RequestId = None,
) -> None:
    """Have a payment command accepted; it is carried out soon, and its request_id counts once."""
    if [bool(payer or merchant), bool(capture), bool(void), bool(refund)].count(True) != 1:
        raise typer.BadParameter("choose one: --from and --to, --capture, --void or --refund")
    call: Call[Any]
    if capture:
        call = commands.capture(payment_id=capture, amount=amount, request_id=request_id)
    elif void:
        call = commands.void(payment_id=void, request_id=request_id)
    elif refund:
        call = commands.refund(payment_id=refund, amount=amount, request_id=request_id)
    elif amount is None:
        raise typer.BadParameter("a payment needs an amount")
    else:
        call = commands.authorize(
            payer_account_id=payer,
            merchant_id=merchant,
            amount=amount,
            capture_method=tender.CAPTURE_METHOD_MANUAL
            if manual
            else tender.CAPTURE_METHOD_AUTOMATIC,
            request_id=request_id,
        )
    answer = session.client.submit_payment(call)
    _show(session, answer, answer.operation)


@calling.command(
    app,
    "show",
    "tender operations show op_...",
    "tender operations show op_... --wait --json",
)
def show(
    session: Session,
    operation: OperationId,
    wait: Annotated[
        bool, typer.Option("--wait", help="Until it is decided, for a minute at most.")
    ] = False,
) -> None:
    """Show how far a submitted command is, and what became of it."""
    stop_by = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        answer = session.client.get_operation(operation_id=operation)
        is_pending = answer.operation.state == tender.Operation.STATE_PENDING
        if not (wait and is_pending) or time.monotonic() >= stop_by:
            break
        time.sleep(LOOK_SECONDS)
    _show(session, answer, answer.operation)


def _show(session: Session, answer: Any, operation: tender.Operation) -> None:
    if session.output.as_json:
        session.output.json(output.as_dict(answer))
        return
    decided = operation.decide_time.ToJsonString() if operation.HasField("decide_time") else "-"
    state = tender.Operation.State.Name(operation.state)
    rows = [
        ("operation", operation.id),
        ("state", state.removeprefix("STATE_").lower()),
        ("method", operation.method or "-"),
        ("accepted", operation.accept_time.ToJsonString()),
        ("decided", decided),
    ]
    session.output.show(output.grid(rows))
    if operation.HasField("outcome"):
        session.output.say(MessageToJson(operation.outcome))

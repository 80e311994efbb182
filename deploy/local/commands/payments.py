"""Paying: pay, capture, void, refund, reverse, and looking at what came of it."""

import itertools
from typing import Annotated

import typer

import tender
from deploy.local.commands import calling, output, reports
from deploy.local.commands.calling import Amount, PartialAmount, RequestId, Session
from tender.v1 import payment_pb2

app = typer.Typer()

COLUMNS = ("payment", "state", "=amount", "=captured", "=refunded", "payer", "created")

PaymentId = Annotated[str, typer.Argument(help="pay_...")]
From = Annotated[str, typer.Option("--from", help="Account that pays.")]
To = Annotated[str, typer.Option("--to", help="Merchant that is paid.")]
FailOnDecline = Annotated[
    bool, typer.Option("--fail-on-decline", help="Exit 4 when it is declined.")
]


@calling.command(
    app,
    "pay",
    "tender pay '10.50 EUR' --from acc_... --to mer_...",
    "tender pay '80 EUR' --from acc_... --to mer_... --manual --hold 3600",
)
def pay(
    session: Session,
    amount: Amount,
    payer: From,
    merchant: To,
    manual: Annotated[bool, typer.Option("--manual", help="Hold now, capture once later.")] = False,
    multiple: Annotated[
        bool, typer.Option("--multiple", help="Hold now, capture in parts later.")
    ] = False,
    hold: Annotated[int, typer.Option(help="Seconds that the hold lasts; 0 is 7 days.")] = 0,
    description: Annotated[str, typer.Option(help="Text of your own.")] = "",
    metadata: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Pairs of your own.")
    ] = None,
    fail_on_decline: FailOnDecline = False,
    request_id: RequestId = None,
) -> None:
    """Pay a merchant: authorize, and capture at once unless told otherwise.

    A payment that is declined is an answer: its state is shown and the exit code is 0.
    """
    if manual and multiple:
        raise typer.BadParameter("choose one of --manual and --multiple")
    method = tender.CAPTURE_METHOD_AUTOMATIC
    if manual:
        method = tender.CAPTURE_METHOD_MANUAL
    elif multiple:
        method = tender.CAPTURE_METHOD_MANUAL_MULTIPLE
    answer = session.client.authorize_payment(
        payer_account_id=payer,
        merchant_id=merchant,
        amount=amount,
        capture_method=method,
        hold_duration_seconds=hold,
        description=description,
        metadata=calling.parse_pairs(metadata or []),
        request_id=request_id,
    )
    session.output.one(answer, answer.payment.id, output.payment(answer.payment))
    if fail_on_decline and answer.payment.state == tender.Payment.STATE_DECLINED:
        raise typer.Exit(reports.EXIT_DECLINED)


@calling.command(
    app, "capture", "tender capture pay_...", "tender capture pay_... '25 EUR' --final"
)
def capture(
    session: Session,
    payment: PaymentId,
    amount: PartialAmount = None,
    final: Annotated[bool, typer.Option("--final", help="Release what is left.")] = False,
    request_id: RequestId = None,
) -> None:
    """Capture held money, all of it or a part."""
    answer = session.client.capture_payment(
        payment_id=payment, amount=amount, final=final, request_id=request_id
    )
    session.output.one(answer, answer.payment.id, output.payment(answer.payment))


@calling.command(app, "void", "tender void pay_...")
def void(session: Session, payment: PaymentId, request_id: RequestId = None) -> None:
    """Release the hold of a payment of which nothing is captured."""
    answer = session.client.void_payment(payment_id=payment, request_id=request_id)
    session.output.one(answer, answer.payment.id, output.payment(answer.payment))


@calling.command(app, "refund", "tender refund pay_...", "tender refund pay_... '4.20 EUR'")
def refund(
    session: Session,
    payment: PaymentId,
    amount: PartialAmount = None,
    description: Annotated[str, typer.Option(help="Text of your own.")] = "",
    request_id: RequestId = None,
) -> None:
    """Give captured money back, all of it or a part."""
    answer = session.client.refund_payment(
        payment_id=payment, amount=amount, description=description, request_id=request_id
    )
    rows = output.refund(answer.refund), output.payment(answer.payment)
    session.output.one(answer, answer.refund.id, *rows)


@calling.command(app, "reverse", "tender reverse req_... --from acc_... --to mer_...")
def reverse(
    session: Session,
    original: Annotated[str, typer.Argument(help="The request_id of the payment.")],
    payer: From,
    merchant: To,
    request_id: RequestId = None,
) -> None:
    """Undo a payment whose answer never came, whether or not it arrived."""
    answer = session.client.reverse_payment(
        original_request_id=original,
        payer_account_id=payer,
        merchant_id=merchant,
        request_id=request_id,
    )
    result = output.plain(payment_pb2.ReversePaymentResponse.Result, answer.result)
    rows = [("result", f"[bold]{result}[/]")]
    if answer.HasField("payment"):
        rows += output.payment(answer.payment)
    session.output.one(answer, answer.payment.id, rows)


@calling.command(app, "payments", "tender payments", "tender payments --to mer_... --limit 100")
def payments(
    session: Session,
    merchant: Annotated[str, typer.Option("--to", help="Only those to this merchant.")] = "",
    payer: Annotated[str, typer.Option("--from", help="Only those from this account.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 20,
) -> None:
    """List payments, newest first."""
    found = session.client.iter_payments(
        merchant_id=merchant, payer_account_id=payer, page_size=min(limit, 200)
    )
    session.output.many("payments", itertools.islice(found, limit), COLUMNS, _row)


def _row(it: tender.Payment) -> tuple[str, ...]:
    return (
        it.id,
        output.state(tender.Payment.State, it.state),
        output.money(it.amount),
        output.money(it.captured),
        output.money(it.refunded),
        it.payer_account_id,
        output.moment(it.create_time),
    )


@calling.command(app, "show", "tender show pay_...", "tender show acc_...", "tender show mer_...")
def show(
    session: Session,
    resource_id: Annotated[
        str, typer.Argument(metavar="ID", help="Of a payment, an account or a merchant.")
    ],
) -> None:
    """Show a payment with refunds and legs, an account or a merchant, whichever the id is of."""
    client = session.client
    match resource_id.partition("_")[0]:
        case "pay":
            found = client.get_payment(payment_id=resource_id)
            below = [output.leg(each) for each in found.legs]
            below += [output.refund(each) for each in found.refunds]
            session.output.one(found, found.payment.id, output.payment(found.payment), *below)
        case "acc" | "sys":
            of_account = client.get_account(account_id=resource_id)
            session.output.one(of_account, resource_id, output.account(of_account.account))
        case "mer":
            of_merchant = client.get_merchant(merchant_id=resource_id)
            session.output.one(of_merchant, resource_id, output.merchant(of_merchant.merchant))
        case _:
            raise reports.Problem(
                f"{resource_id!r} is not the id of a payment, an account or a merchant.",
                "They begin with pay_, acc_, sys_ or mer_. Refunds are shown with their payment, "
                "transfers by `tender account transfers`.",
                reports.EXIT_USAGE,
            )

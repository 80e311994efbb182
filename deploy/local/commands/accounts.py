"""Accounts, and money that moves between them outside of payments."""

import itertools
from typing import Annotated

import typer
from rich.markup import escape

import tender
from deploy.local.commands import calling, output, reports
from deploy.local.commands.calling import Amount, Region, RequestId, Session
from deploy.local.commands.payments import FailOnDecline

app = typer.Typer(no_args_is_help=True, help="Open, show, list, freeze and close accounts.")
transfers_app = typer.Typer()

COLUMNS = ("account", "state", "owner", "kind", "=available", "=held", "opened")
TRANSFER_COLUMNS = ("transfer", "why", "=amount", "from", "to", "created")

AccountId = Annotated[str, typer.Argument(metavar="ID", help="acc_...")]
Limit = Annotated[int, typer.Option(min=1, help="At most this many.")]


@calling.command(
    app,
    "open",
    "tender account open ada EUR",
    "tender account open corner-coffee EUR --merchant",
)
def open_account(
    session: Session,
    user: Annotated[str, typer.Argument(help="Your own reference of the owner.")],
    currency: Annotated[str, typer.Argument(help="As in EUR.")],
    merchant: Annotated[
        bool, typer.Option("--merchant", help="For a merchant's money, not a consumer's.")
    ] = False,
    overdraft: Annotated[
        tender.Money | None,
        typer.Option(
            parser=calling.parse_amount,
            metavar="AMOUNT",
            help="How far below zero it may go; needs the operator scope.",
        ),
    ] = None,
    region: Region = "",
    request_id: RequestId = None,
) -> None:
    """Open an account with a balance of zero."""
    if overdraft and overdraft.currency_code != currency.upper():
        raise typer.BadParameter("the overdraft is in another currency than the account")
    kind = tender.Account.KIND_MERCHANT_WALLET if merchant else tender.Account.KIND_CONSUMER_WALLET
    answer = session.client.create_account(
        user_id=user,
        currency_code=currency.upper(),
        kind=kind,
        floor_minor_units=-overdraft.minor_units if overdraft else 0,
        region=region,
        request_id=request_id,
    )
    session.output.one(answer, answer.account.id, output.account(answer.account))


@calling.command(app, "show", "tender account show acc_...")
def show(session: Session, account: AccountId) -> None:
    """Show an account and its balances."""
    answer = session.client.get_account(account_id=account)
    session.output.one(answer, answer.account.id, output.account(answer.account))


@calling.command(app, "list", "tender account list", "tender account list --user ada")
def list_accounts(
    session: Session,
    user: Annotated[str, typer.Option(help="Only those of this owner.")] = "",
    limit: Limit = 20,
) -> None:
    """List accounts, newest first."""
    found = session.client.iter_accounts(user_id=user, page_size=min(limit, 200))
    session.output.many("accounts", itertools.islice(found, limit), COLUMNS, _row)


def _row(it: tender.Account) -> tuple[str, ...]:
    return (
        it.id,
        output.state(tender.Account.State, it.state),
        escape(it.user_id),
        output.plain(tender.Account.Kind, it.kind).lower().replace("_", " "),
        output.money(it.available),
        output.money(it.held),
        output.moment(it.create_time),
    )


@calling.command(app, "transfers", "tender account transfers acc_...")
def transfers(session: Session, account: AccountId, limit: Limit = 20) -> None:
    """List what moved on an account, newest first."""
    found = session.client.iter_transfers(account_id=account, page_size=min(limit, 200))
    session.output.many(
        "transfers", itertools.islice(found, limit), TRANSFER_COLUMNS, _transfer_row
    )


def _transfer_row(it: tender.Transfer) -> tuple[str, ...]:
    return (
        it.id,
        output.plain(tender.Transfer.Reason, it.reason).lower().replace("_", " "),
        output.money(it.amount),
        _side(it, it.source_account_id),
        _side(it, it.destination_account_id),
        output.moment(it.create_time),
    )


def _side(it: tender.Transfer, account_id: str) -> str:
    """Return who gave or got: for a clearing account the one on the other shard behind it."""
    is_between = account_id.startswith("sys_") and it.remote_account_id
    return it.remote_account_id if is_between else account_id


@calling.command(app, "freeze", "tender account freeze acc_...")
def freeze(session: Session, account: AccountId, request_id: RequestId = None) -> None:
    """Stop all money on an account; needs the operator scope."""
    answer = session.client.freeze_account(account_id=account, request_id=request_id)
    session.output.one(answer, answer.account.id, output.account(answer.account))


@calling.command(app, "unfreeze", "tender account unfreeze acc_...")
def unfreeze(session: Session, account: AccountId, request_id: RequestId = None) -> None:
    """Let money move again; needs the operator scope."""
    answer = session.client.unfreeze_account(account_id=account, request_id=request_id)
    session.output.one(answer, answer.account.id, output.account(answer.account))


@calling.command(app, "close", "tender account close acc_...")
def close(session: Session, account: AccountId, request_id: RequestId = None) -> None:
    """Close an empty account for ever; needs the operator scope."""
    answer = session.client.close_account(account_id=account, request_id=request_id)
    session.output.one(answer, answer.account.id, output.account(answer.account))


@calling.command(
    transfers_app,
    "transfer",
    "tender transfer '50 EUR' --from world --to acc_...",
    "tender transfer '8000 JPY' --from acc_... --to acc_...",
)
def transfer(
    session: Session,
    amount: Amount,
    source: Annotated[str, typer.Option("--from", help="acc_..., world or fees.")],
    destination: Annotated[str, typer.Option("--to", help="acc_..., world or fees.")],
    description: Annotated[str, typer.Option(help="Text of your own.")] = "",
    fail_on_decline: FailOnDecline = False,
    request_id: RequestId = None,
) -> None:
    """Move money between two accounts.

    Money enters from "world" and leaves to it, which needs the operator scope.
    """
    answer = session.client.create_transfer(
        source_account_id=source,
        destination_account_id=destination,
        amount=amount,
        description=description,
        request_id=request_id,
    )
    session.output.one(answer, answer.transfer.id, output.transfer(answer.transfer))
    if fail_on_decline and answer.transfer.state == tender.Transfer.STATE_DECLINED:
        raise typer.Exit(reports.EXIT_DECLINED)

"""Merchants, their fees and where their money goes."""

from typing import Annotated

import typer

import tender
from deploy.local.commands import calling, output
from deploy.local.commands.calling import Region, RequestId, Session

app = typer.Typer(no_args_is_help=True, help="Create, show and update merchants.")

MerchantId = Annotated[str, typer.Argument(metavar="ID", help="mer_...")]
Settle = Annotated[
    list[str] | None,
    typer.Option(metavar="CURRENCY=ACCOUNT", help="Where money of a currency goes; repeatable."),
]
BasisPoints = Annotated[int, typer.Option(min=0, max=10_000, help="Fee: 140 is 1.4 %.")]
Fixed = Annotated[
    list[str] | None,
    typer.Option(metavar="AMOUNT", help="Fee per payment, as in '0.05 EUR'; one per currency."),
]
ReturnFees = Annotated[
    bool, typer.Option("--return-fees", help="Refunds give the fee back in proportion.")
]


def terms(
    accounts: dict[str, str], basis_points: int, fixed: list[str], return_fees: bool
) -> list[tender.SettlementTerms]:
    """Settlement terms for the account of each currency."""
    amounts = [calling.parse_amount(text) for text in fixed]
    for amount in amounts:
        if amount.currency_code not in accounts:
            raise typer.BadParameter(f"no account was named for {amount.currency_code}")
    fixed_by_currency = {amount.currency_code: amount.minor_units for amount in amounts}
    policy = tender.FEE_REFUND_POLICY_RETURN if return_fees else tender.FEE_REFUND_POLICY_KEEP
    return [
        tender.SettlementTerms(
            currency_code=currency,
            account_id=account,
            fee_schedule=tender.FeeSchedule(
                basis_points=basis_points,
                fixed_minor_units=fixed_by_currency.get(currency, 0),
                refund_policy=policy,
            ),
        )
        for currency, account in accounts.items()
    ]


@calling.command(
    app,
    "create",
    "tender merchant create corner-coffee --currency EUR --basis-points 140 --fixed '0.05 EUR'",
    "tender merchant create corner-coffee --settle EUR=acc_...",
)
def create(
    session: Session,
    reference: Annotated[str, typer.Argument(help="Your own reference, unique.")],
    name: Annotated[str, typer.Option(help="Name for people; else the reference.")] = "",
    currency: Annotated[
        list[str] | None, typer.Option(help="Opens a wallet in it; repeatable.")
    ] = None,
    settle: Settle = None,
    basis_points: BasisPoints = 0,
    fixed: Fixed = None,
    return_fees: ReturnFees = False,
    region: Region = "",
    request_id: RequestId = None,
) -> None:
    """Create a merchant, and a wallet in each --currency; needs the operator scope."""
    accounts = calling.parse_pairs(settle or [])
    wanted = [code.upper() for code in currency or ()]
    if not accounts and not wanted:
        raise typer.BadParameter("name at least one --currency or --settle")
    # What is wrong with the fee is found before a wallet is opened.
    terms(dict.fromkeys(wanted, "") | accounts, basis_points, fixed or [], return_fees)
    # Each step has a request_id of its own, derived, so that a repeated command repeats them all.
    key = tender.new_request_id() if request_id is None else request_id
    for code in wanted:
        opened = session.client.create_account(
            user_id=reference,
            currency_code=code,
            kind=tender.Account.KIND_MERCHANT_WALLET,
            region=region,
            request_id=f"{key}-{code}",
        )
        accounts[code] = opened.account.id
    answer = session.client.create_merchant(
        reference=reference,
        display_name=name or reference,
        settlement_terms=terms(accounts, basis_points, fixed or [], return_fees),
        region=region,
        request_id=key,
    )
    session.output.one(answer, answer.merchant.id, output.merchant(answer.merchant))


@calling.command(app, "show", "tender merchant show mer_...")
def show(session: Session, merchant: MerchantId) -> None:
    """Show a merchant, its fees and settlement accounts."""
    answer = session.client.get_merchant(merchant_id=merchant)
    session.output.one(answer, answer.merchant.id, output.merchant(answer.merchant))


@calling.command(
    app,
    "update",
    "tender merchant update mer_... --suspend",
    "tender merchant update mer_... --settle EUR=acc_... --basis-points 120",
)
def update(
    session: Session,
    merchant: MerchantId,
    name: Annotated[str | None, typer.Option(help="New name for people.")] = None,
    suspend: Annotated[
        bool | None, typer.Option("--suspend/--activate", help="Stop or allow new payments.")
    ] = None,
    settle: Settle = None,
    basis_points: BasisPoints = 0,
    fixed: Fixed = None,
    return_fees: ReturnFees = False,
    request_id: RequestId = None,
) -> None:
    """Change what is named; --settle replaces all accounts and fees. Needs the operator scope."""
    if settle is None and (basis_points or fixed or return_fees):
        raise typer.BadParameter("fees are changed together with --settle")
    if name is None and suspend is None and settle is None:
        raise typer.BadParameter("name something to change")
    state = None
    if suspend is not None:
        state = tender.Merchant.STATE_SUSPENDED if suspend else tender.Merchant.STATE_ACTIVE
    accounts = calling.parse_pairs(settle or [])
    answer = session.client.update_merchant(
        merchant_id=merchant,
        display_name=name,
        state=state,
        settlement_terms=terms(accounts, basis_points, fixed or [], return_fees)
        if settle
        else None,
        request_id=request_id,
    )
    session.output.one(answer, answer.merchant.id, output.merchant(answer.merchant))

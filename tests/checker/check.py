"""Compares a history with the databases and says, per request, what does not fit."""

from contextlib import AsyncExitStack
from typing import Any

import asyncpg

from tender.v1 import account_pb2
from tests.checker import chains, crossing, effects, payments
from tests.checker.crossing import ASKED_FOR, Arrivals
from tests.checker.database import Database, Databases, Row, Rows
from tests.checker.effects import Effect
from tests.checker.history import History
from tests.checker.payments import Story

ACCOUNT_STATE = account_pb2.Account.State
POSTED = account_pb2.Transfer.STATE_POSTED


async def check(history: History, *dsns: str) -> list[str]:
    """Return what does not fit.

    Call it with the databases of all shards, when no client is running any more and no money is on
    its way from one shard to another.
    """
    async with AsyncExitStack() as stack:
        shards = []
        for dsn in dsns:
            connection = await asyncpg.connect(dsn)
            stack.push_async_callback(connection.close)
            await stack.enter_async_context(
                connection.transaction(isolation="repeatable_read", readonly=True)
            )
            shards.append(Database(connection))
            await shards[-1].open()
        return await _check(history, Databases(shards))


async def _check(history: History, databases: Databases) -> list[str]:
    request_ids = {operation.request_id for operation in history.operations}
    keys, twice = await databases.keys(history.tenant_id, request_ids)
    happened, problems = effects.find(history, keys)
    problems += twice
    told, more = payments.stories(happened)
    problems += more
    accounts = {one.response.account.id: one for one in happened if one.method == "CREATE_ACCOUNT"}
    merchants = {one.response.merchant.id for one in happened if one.method == "CREATE_MERCHANT"}
    transfers = [one for one in happened if one.method == "CREATE_TRANSFER"]
    rows = await databases.rows(
        history.tenant_id,
        payments=set(told),
        transfers={one.response.transfer.id for one in transfers},
        accounts=accounts.keys() | history.accounts.keys(),
        merchants=merchants | history.merchants,
    )
    problems += rows.problems
    problems += _payments(told, rows)
    arrivals = crossing.find(happened, told, rows)
    problems += arrivals.problems
    problems += _transfers(transfers, rows)
    problems += _accounts(happened, rows)
    problems += _merchants(happened, rows)
    opening = dict.fromkeys(accounts, 0) | history.accounts
    problems += _balances(opening, transfers, told, arrivals, rows)
    problems += chains.compare(rows)
    return problems


def _payments(told: dict[str, Story], rows: Rows) -> list[str]:
    problems = []
    for story in told.values():
        problems += payments.compare(story, rows.payments.get(story.payment_id), rows.refunds)
        problems += payments.compare_refunds(story, rows.refunds)
        row = rows.payments.get(story.payment_id)
        if row is not None and not story.births and row["merchant_id"] in rows.merchants:
            problems.append(f"payment {story.payment_id}: no request that was carried out made it")
    known = {refund_id for story in told.values() for refund_id in story.refunds}
    for payment_id in rows.payments.keys() - told.keys():
        row = rows.payments[payment_id]
        problems.append(
            f"payment {payment_id}: {row['state']} over {row['amount']} {row['currency']}, no"
            " client asked for it"
        )
    for refund_id in rows.refunds.keys() - known:
        row = rows.refunds[refund_id]
        if row["payment_id"] in told:
            problems.append(
                f"refund {refund_id}: {row['amount']} of payment {row['payment_id']}, no client"
                " asked for it"
            )
    return problems


def _transfers(asked: list[Effect], rows: Rows) -> list[str]:
    problems: list[str] = []
    answers: dict[str, Effect] = {}
    for effect in asked:
        transfer = effect.response.transfer
        row = rows.transfers.get(transfer.id)
        if transfer.id in answers:
            problems.append(f"{effect} and {answers[transfer.id]}: have one transfer {transfer.id}")
        answers[transfer.id] = effect
        if transfer.amount != effect.request.amount:
            problems.append(f"{effect}: transfer {transfer.id} is over another amount")
        if transfer.state != POSTED:
            if row is not None:
                problems.append(f"{effect}: was declined, but transfer {transfer.id} moved money")
        elif row is None:
            problems.append(f"{effect}: transfer {transfer.id} is not in the database")
        else:
            problems += _transfer(effect, transfer, row)
    for transfer_id in rows.transfers.keys() - answers.keys():
        row = rows.transfers[transfer_id]
        if row["reason"] in ASKED_FOR and row["debit_account_id"] not in rows.clearing:
            problems.append(
                f"transfer {transfer_id}: {row['reason']} of {row['amount']}, no client asked for"
                " it"
            )
    return problems


def _transfer(effect: Effect, transfer: Any, row: Row) -> list[str]:
    told = (
        transfer.source_account_id,
        transfer.destination_account_id,
        transfer.amount.minor_units,
        transfer.amount.currency_code,
    )
    has = (row["debit_account_id"], row["credit_account_id"], row["amount"], row["currency"])
    if told == has:
        return []
    return [f"{effect}: transfer {transfer.id} was {told}, the database has {has}"]


def _accounts(happened: list[Effect], rows: Rows) -> list[str]:
    problems = []
    latest: dict[str, tuple[int, str]] = {}
    for effect in happened:
        account = getattr(effect.response, "account", None)
        if account is None:
            continue
        if account.id not in rows.accounts:
            if effect.method == "CREATE_ACCOUNT":
                problems.append(f"{effect}: account {account.id} is not in the database")
            continue
        row = rows.accounts[account.id]
        if row["version"] < account.version:
            problems.append(
                f"{effect}: account {account.id} was at version {account.version}, the database"
                f" has {row['version']}"
            )
        if (account.currency_code, account.user_id) != (row["currency"], row["user_id"]):
            problems.append(f"{effect}: account {account.id} has another currency or owner")
        state = ACCOUNT_STATE.Name(account.state).removeprefix("STATE_")
        latest[account.id] = max(latest.get(account.id, (0, "")), (account.version, state))
    for account_id, (_, state) in latest.items():
        if rows.accounts[account_id]["state"] != state:
            problems.append(
                f"account {account_id}: was {state} last, the database has"
                f" {rows.accounts[account_id]['state']}"
            )
    return problems


def _merchants(happened: list[Effect], rows: Rows) -> list[str]:
    problems = []
    for effect in happened:
        merchant = getattr(effect.response, "merchant", None)
        if merchant is None:
            continue
        row = rows.merchants.get(merchant.id)
        if row is None:
            if effect.method == "CREATE_MERCHANT":
                problems.append(f"{effect}: merchant {merchant.id} is not in the database")
        elif row["version"] < merchant.version or row["reference"] != merchant.reference:
            problems.append(
                f"{effect}: merchant {merchant.id} has an older version or another name"
            )
    return problems


def _balances(
    opening: dict[str, int],
    transfers: list[Effect],
    told: dict[str, Story],
    arrivals: Arrivals,
    rows: Rows,
) -> list[str]:
    """Add up by the clients' own arithmetic what each account must have now."""
    posted, held = dict(opening), dict.fromkeys(opening, 0)

    def post(account_id: str, amount: int) -> None:
        if account_id in posted:
            posted[account_id] += amount

    for effect in transfers:
        transfer = effect.response.transfer
        if transfer.state == POSTED:
            post(transfer.source_account_id, -transfer.amount.minor_units)
            post(transfer.destination_account_id, transfer.amount.minor_units)
    for account_id, amount in arrivals.moved:
        post(account_id, amount)
    for story in told.values():
        if not story.answers:
            continue
        _, payment = story.latest
        if not crossing.is_across(payment, rows):
            taken = payment.captured.minor_units - payment.refunded.minor_units
            fee = payment.fee.minor_units - payment.fee_refunded.minor_units
            post(payment.payer_account_id, -taken)
            post(payment.settlement_account_id, taken - fee)
        row = rows.payments.get(story.payment_id)
        expired = row is not None and row["version"] > payment.version
        if payment.payer_account_id in held and not expired:
            held[payment.payer_account_id] += payment.capturable.minor_units
    problems = []
    for account_id, row in rows.accounts.items():
        for name, expected in (("posted", posted[account_id]), ("held", held[account_id])):
            if row[name] != expected:
                problems.append(
                    f"account {account_id}: {name} is {row[name]}, what clients did adds up to"
                    f" {expected}"
                )
    return problems

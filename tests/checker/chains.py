"""Lists that rows chain up: each row names the one before it, and the account names the newest."""

from collections import defaultdict
from collections.abc import Iterable

from tests.checker.database import Row, Rows

SIDES = (("debit_account_id", "debit_previous_id"), ("credit_account_id", "credit_previous_id"))

Links = dict[str, dict[str, str]]
"""By account: its rows, and which one each of them names as the one before."""


def compare(rows: Rows) -> list[str]:
    """Follow the lists of the known accounts from their ends; all of their rows are here."""
    transfers: Links = defaultdict(dict)
    for transfer_id, row in rows.transfers.items():
        for side, previous in SIDES:
            transfers[row[side]][transfer_id] = row[previous]
    payments: Links = defaultdict(dict)
    for payment_id, row in rows.links.items():
        payments[row["payer_account_id"]][payment_id] = row["payer_previous_id"]
    problems = _marks(rows)
    for account in rows.accounts.values():
        problems += _follow("transfer", account, transfers[account["id"]])
        problems += _follow("payment", account, payments[account["id"]])
    return problems


def _follow(what: str, account: Row, links: dict[str, str]) -> list[str]:
    newest = account[f"last_{what}_id"]
    walked = list(_walk(newest, links))
    if walked == sorted(links, reverse=True):
        return []
    return [
        f"account {account['id']}: its list of {what}s from {newest!r} has {len(walked)}, it has"
        f" {len(links)}, or another order"
    ]


def _walk(newest: str, links: dict[str, str]) -> Iterable[str]:
    """Yield the ids of a list; one that goes round ends when it is too long."""
    for _ in range(len(links) + 1):
        if not newest:
            return
        yield newest
        newest = links.get(newest, "")


def _marks(rows: Rows) -> list[str]:
    return [
        f"account {mark['account_id']}: mark {mark['transfer_id']} is not one of its transfers"
        for mark in rows.marks
        if not _touches(rows.transfers.get(mark["transfer_id"]), mark["account_id"])
    ]


def _touches(row: Row | None, account_id: str) -> bool:
    return row is not None and account_id in (row["debit_account_id"], row["credit_account_id"])

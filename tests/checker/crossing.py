"""Money between shards: what clients sent must have arrived, once, by their own arithmetic."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from tender.v1 import account_pb2
from tests.checker.database import Row, Rows
from tests.checker.effects import Effect
from tests.checker.payments import Story

ASKED_FOR = frozenset({"TOP_UP", "PAYOUT", "PERSON_TO_PERSON"})
"""Reasons of transfers that exist only because a client asked for them."""

STOPS = frozenset({"FREEZE_ACCOUNT", "CLOSE_ACCOUNT"})
POSTED = account_pb2.Transfer.STATE_POSTED


@dataclass
class Arrivals:
    """By how much what came from other shards, or went to them, changed each account."""

    moved: list[tuple[str, int]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass
class _Pool:
    """What may explain that money is not where it was sent, each row once."""

    stopped: set[str]
    rows: Rows
    suspended: list[Row]

    def takes(self, account_id: str, amount: int, **also: object) -> bool:
        """Say whether an amount for an account lies in suspense, for a reason that clients gave."""
        if account_id in self.rows.accounts and account_id not in self.stopped:
            return False
        wanted: dict[str, object] = {"amount": amount} | also
        for row in self.suspended:
            if all(row[name] == value for name, value in wanted.items()):
                self.suspended.remove(row)
                return True
        return False


def is_across(payment: Any, rows: Rows) -> bool:
    """Say whether the payer and the merchant's account are on different shards."""
    return rows.are_apart(payment.id, payment.settlement_account_id)


def find(happened: list[Effect], told: dict[str, Story], rows: Rows) -> Arrivals:
    """Return what moved between shards, and what of it was lost or doubled."""
    stopped = {one.request.account_id for one in happened if one.method in STOPS}
    arrivals, pool = Arrivals(), _Pool(stopped, rows, list(rows.suspended.values()))
    by_payment: dict[str, list[Row]] = defaultdict(list)
    for row in rows.transfers.values():
        by_payment[row["payment_id"] or ""].append(row)
    for story in told.values():
        if story.answers and is_across(story.latest[1], rows):
            found = by_payment[story.payment_id]
            _captures(story, found, pool, arrivals)
            _refunds(story, found, pool, arrivals)
    sent = [one.response.transfer for one in happened if one.method == "CREATE_TRANSFER"]
    _transfers([one for one in sent if one.remote_account_id], pool, arrivals)
    arrivals.problems += _pairs(rows)
    return arrivals


def _parts(story: Story) -> list[tuple[int, int]]:
    """Return the amount and the fee of each capture, as the answers grew."""
    parts, captured, fee = [], 0, 0
    for _, (_, payment) in sorted(story.answers.items()):
        amount = payment.captured.minor_units - captured
        if amount:
            parts.append((amount, payment.fee.minor_units - fee))
        captured, fee = payment.captured.minor_units, payment.fee.minor_units
    return parts


def _captures(story: Story, found: list[Row], pool: _Pool, arrivals: Arrivals) -> None:
    effect, payment = story.latest
    settlement_id = payment.settlement_account_id
    arrived = _amounts(found, "CAPTURE", "credit_account_id", settlement_id)
    fees = _amounts(found, "FEE", "debit_account_id", settlement_id)
    for amount, fee in _parts(story):
        arrivals.moved.append((payment.payer_account_id, -amount))
        if arrived[amount]:
            arrived[amount] -= 1
            fees[fee] -= bool(fee)
            arrivals.moved.append((settlement_id, amount - fee))
        elif not pool.takes(settlement_id, amount, reason="CAPTURE", payment_id=payment.id):
            arrivals.problems.append(f"{effect}: {amount} of {payment.id} was not credited")
    for amount, count in arrived.items():
        if count:
            arrivals.problems.append(f"{effect}: {amount} of {payment.id} was credited twice")
    for fee, count in fees.items():
        if count:
            arrivals.problems.append(f"{effect}: fee {fee} of {payment.id} was charged wrongly")


def _refunds(story: Story, found: list[Row], pool: _Pool, arrivals: Arrivals) -> None:
    _, payment = story.latest
    payer_id, settlement_id = payment.payer_account_id, payment.settlement_account_id
    for refund_id, (effect, refund) in story.refunds.items():
        row = pool.rows.refunds.get(refund_id)
        succeeded = row is not None and row["state"] == "SUCCEEDED"
        amount = refund.amount.minor_units
        of_it = [one for one in found if one["refund_id"] == refund_id]
        given = _amounts(of_it, "REFUND", "debit_account_id", settlement_id)
        taken = _amounts(of_it, "REFUND", "credit_account_id", payer_id)
        if succeeded and not taken and pool.takes(payer_id, amount, refund_id=refund_id):
            taken = given
        elif succeeded:
            arrivals.moved.append((payer_id, amount))
        if succeeded:
            fee = refund.fee_refunded.minor_units
            arrivals.moved.append((settlement_id, fee - amount))
        expected = Counter([amount] if succeeded else [])
        if given != expected or taken != expected:
            arrivals.problems.append(
                f"{effect}: of refund {refund_id} the merchant gave {dict(given)} and the payer got"
                f" {dict(taken)}"
            )


def _transfers(sent: list[Any], pool: _Pool, arrivals: Arrivals) -> None:
    """Match what was sent with what arrived: as many of each amount for each account."""
    rows = pool.rows
    arrived = Counter(
        (row["credit_account_id"], row["amount"], row["currency"], row["description"])
        for row in rows.transfers.values()
        if row["reason"] in ASKED_FOR and row["debit_account_id"] in rows.clearing
    )
    for transfer in sent:
        if transfer.state != POSTED:
            continue
        amount, currency = transfer.amount.minor_units, transfer.amount.currency_code
        account_id, description = transfer.remote_account_id, transfer.description
        if arrived[account_id, amount, currency, description]:
            arrived[account_id, amount, currency, description] -= 1
            arrivals.moved.append((account_id, amount))
        elif not pool.takes(account_id, amount, currency=currency, description=description):
            arrivals.problems.append(f"transfer {transfer.id}: {amount} did not arrive")
    for (account_id, amount, *_), count in arrived.items():
        if count:
            arrivals.problems.append(
                f"account {account_id}: got {amount} from another shard, no client sent it"
            )


def _pairs(rows: Rows) -> list[str]:
    """At rest the two clearing accounts of each pair of shards cancel."""
    sums: Counter[tuple[str, ...]] = Counter()
    for row in rows.clearing.values():
        head, _, tail = row["id"].partition("_clearing.")
        pair = sorted((head.split("_")[2], tail.split("_")[0]))
        sums[*pair, row["currency"]] += row["posted"]
    return [
        f"clearing between {one} and {other} in {currency} adds up to {total}, not to 0"
        for (one, other, currency), total in sums.items()
        if total
    ]


def _amounts(found: list[Row], reason: str, side: str, account_id: str) -> Counter[int]:
    return Counter(
        row["amount"] for row in found if row["reason"] == reason and row[side] == account_id
    )

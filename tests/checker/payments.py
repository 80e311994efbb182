"""Payments and refunds: what clients were told against the rows, and against what they asked."""

from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from typing import Any

from tender.v1 import merchant_pb2, payment_pb2
from tests.checker.database import Row
from tests.checker.effects import Effect

State = payment_pb2.Payment.State
TERMINAL = frozenset({"VOIDED", "EXPIRED", "DECLINED", "FAILED"})

AMOUNTS = ("captured", "capturable", "refunded", "refund_pending", "fee", "fee_refunded")
REFUSES_TO_GIVE = frozenset({"ACCOUNT_FROZEN", "ACCOUNT_CLOSED", "MERCHANT_FUNDS_INSUFFICIENT"})
"""Why a refund that was pending may fail: the merchant, on another shard, does not give."""
FIXED = ("merchant_id", "payer_account_id", "settlement_account_id", "description")


@dataclass
class Story:
    """One payment: the answers about it by version, and what was asked of it."""

    payment_id: str
    answers: dict[int, tuple[Effect, Any]] = field(default_factory=dict)
    births: list[Effect] = field(default_factory=list)
    captures: list[Effect] = field(default_factory=list)
    refunds: dict[str, tuple[Effect, Any]] = field(default_factory=dict)

    @property
    def latest(self) -> tuple[Effect, Any]:
        return self.answers[max(self.answers)]


def stories(effects: list[Effect]) -> tuple[dict[str, Story], list[str]]:
    """Return each payment's story, and what in it cannot be."""
    found: dict[str, Story] = {}
    problems: list[str] = []
    for effect in effects:
        payment = getattr(effect.response, "payment", None)
        if payment is None or not payment.id:
            continue
        story = found.setdefault(payment.id, Story(payment.id))
        problems += _add(story, effect, payment)
    for story in found.values():
        if len(story.births) > 1:
            both = " and ".join(str(effect) for effect in story.births)
            problems.append(f"payment {story.payment_id}: is the answer to {both}")
    return found, problems


def _add(story: Story, effect: Effect, payment: Any) -> list[str]:
    if effect.method == "AUTHORIZE_PAYMENT":
        story.births.append(effect)
    if effect.method == "CAPTURE_PAYMENT":
        story.captures.append(effect)
    changes = effect.method != "REVERSE_PAYMENT" or effect.response.result in (
        payment_pb2.ReversePaymentResponse.RESULT_VOIDED,
        payment_pb2.ReversePaymentResponse.RESULT_REFUNDED,
    )
    refund = getattr(effect.response, "refund", None)
    problems = []
    if refund is not None and refund.id:
        if refund.id in story.refunds:
            other = story.refunds[refund.id][0]
            problems.append(f"refund {refund.id}: is the answer to {other} and {effect}")
        story.refunds[refund.id] = (effect, refund)
    if not changes:
        return problems
    if payment.version in story.answers:
        other = story.answers[payment.version][0]
        problems.append(
            f"{effect} and {other}: both made version {payment.version} of {payment.id}"
        )
    story.answers[payment.version] = (effect, payment)
    return problems


def compare(story: Story, row: Row | None, refunds: dict[str, Row]) -> list[str]:
    """Compare a story with the payment's row and the refunds' rows."""
    if not story.answers:
        return []
    if row is None:
        return [
            f"{effect}: payment {story.payment_id} is not in the database"
            for effect, _ in story.answers.values()
        ]
    problems: list[str] = []
    for version, (effect, payment) in sorted(story.answers.items()):
        problems += _fixed(effect, payment, row)
        if row["version"] < version:
            problems.append(
                f"{effect}: payment {row['id']} was at version {version}, the database has"
                f" {row['version']}"
            )
        elif row["version"] == version:
            problems += _equal(effect, payment, row)
        elif _state(payment) in TERMINAL:
            problems.append(
                f"{effect}: payment {row['id']} was {_state(payment)} for good, the database has"
                f" {row['state']} at version {row['version']}"
            )
    return problems + _beyond(story, row, refunds) + _asked(story, refunds)


def compare_refunds(story: Story, rows: dict[str, Row]) -> list[str]:
    """Compare the refunds that clients know with their rows."""
    problems = []
    for refund_id, (effect, refund) in story.refunds.items():
        row = rows.get(refund_id)
        if row is None:
            problems.append(f"{effect}: refund {refund_id} is not in the database")
            continue
        failed = row["state"] == "FAILED"
        fee = 0 if failed else refund.fee_refunded.minor_units
        told = (story.payment_id, refund.amount.minor_units, fee)
        has = (row["payment_id"], row["amount"], row["fee_refunded"])
        if told != has:
            problems.append(f"{effect}: refund {refund_id} was {told}, the database has {has}")
        may_fail = _is_pending(refund) and row["failure_reason"] in REFUSES_TO_GIVE
        done = row["state"] == "SUCCEEDED" or (failed and may_fail)
        if not done or refund.amount.currency_code != row["currency"]:
            problems.append(f"{effect}: refund {refund_id} is {row['state']} {row['currency']}")
    return problems


def _is_pending(refund: Any) -> bool:
    """Say whether a refund, as it was answered, waits for the merchant's shard."""
    return bool(refund.state == payment_pb2.Refund.STATE_PENDING)


def _fixed(effect: Effect, payment: Any, row: Row) -> list[str]:
    problems = [
        f"{effect}: payment {row['id']} had {name} {getattr(payment, name)!r}, the database has"
        f" {row[name]!r}"
        for name in FIXED
        if getattr(payment, name) != row[name]
    ]
    told = (payment.amount.minor_units, payment.amount.currency_code)
    if told != (row["amount"], row["currency"]):
        problems.append(
            f"{effect}: payment {row['id']} was over {told}, the database has"
            f" {row['amount']} {row['currency']}"
        )
    return problems


def _equal(effect: Effect, payment: Any, row: Row) -> list[str]:
    told = {"state": _state(payment)} | {
        name: getattr(payment, name).minor_units for name in AMOUNTS
    }
    return [
        f"{effect}: payment {row['id']} had {name} {value}, the database has {row[name]}"
        for name, value in told.items()
        if value != row[name]
    ]


def _beyond(story: Story, row: Row, refunds: dict[str, Row]) -> list[str]:
    """A version that no client made can only be the end of a refund, or the expiry of the hold."""
    version, (_, payment) = max(story.answers), story.latest
    pending = [name for name, (_, refund) in story.refunds.items() if _is_pending(refund)]
    if row["version"] <= version:
        return []
    expires = payment.capturable.minor_units > row["capturable"]
    expected = {name: getattr(payment, name).minor_units for name in AMOUNTS}
    if pending:
        known = [refunds[name] for name in story.refunds if name in refunds]
        given = [one for one in known if one["state"] == "SUCCEEDED"]
        expected["refund_pending"] = 0
        expected["refunded"] = sum(one["amount"] for one in given)
        expected["fee_refunded"] = sum(one["fee_refunded"] for one in given)
    if expires:
        expected["capturable"] = 0
    kept = all(row[name] == amount for name, amount in expected.items())
    state = ("CAPTURED" if row["captured"] else "EXPIRED") if expires else _state(payment)
    expired = not expires or (
        row["hold_expires_at"] is not None and row["hold_expires_at"] <= row["updated_at"]
    )
    # A reversal may take two steps in one answer; each refund that was pending takes one by itself.
    steps = len(story.answers) + len(pending) + expires
    reversals = sum(effect.method == "REVERSE_PAYMENT" for effect, _ in story.answers.values())
    counted = not pending or steps <= row["version"] <= steps + reversals
    beyond = row["version"] - version <= len(pending) + expires
    if kept and expired and counted and beyond and row["state"] == state:
        return []
    return [
        f"payment {row['id']}: the database has version {row['version']} ({row['state']}), but the"
        f" last that a client asked for is {version} ({_state(payment)})"
    ]


def _asked(story: Story, refunds: dict[str, Row]) -> list[str]:
    """Add up what was asked and compare it with the latest answer."""
    if len(story.births) != 1:
        return []
    birth, (effect, payment) = story.births[0], story.latest
    problems = []
    request, born = birth.request, birth.response.payment
    told = (born.payer_account_id, born.merchant_id, born.amount)
    if told != (request.payer_account_id, request.merchant_id, request.amount):
        problems.append(f"{birth}: was answered with another payer, merchant or amount")
    captured = request.amount.minor_units if _state(born) == "CAPTURED" else 0
    explicit = [one for one in story.captures if one.request.HasField("amount")]
    captured += sum(one.request.amount.minor_units for one in explicit)
    if len(explicit) < len(story.captures):
        captured = request.amount.minor_units  # A capture without an amount takes all that is left.
    refunded = failed = 0
    for name, (one, refund) in story.refunds.items():
        refunded += refund.amount.minor_units
        if name in refunds and refunds[name]["state"] == "FAILED":
            failed += refund.amount.minor_units
        asked = one.method == "REFUND_PAYMENT" and one.request.HasField("amount")
        if asked and one.request.amount != refund.amount:
            problems.append(f"{one}: another amount was refunded, {refund.amount.minor_units}")
    expected = {"captured": captured, "fee": _fee(payment, captured)}
    back = payment.refunded.minor_units + payment.refund_pending.minor_units
    if not refunded - failed <= back <= refunded:
        problems.append(
            f"{effect}: payment {payment.id} has refunded {back}, what was asked adds up to"
            f" {refunded}"
        )
    for name, value in expected.items():
        told_value = getattr(payment, name).minor_units
        if told_value != value:
            problems.append(
                f"{effect}: payment {payment.id} has {name} {told_value}, what was asked adds up to"
                f" {value}"
            )
    return problems + _fee_returned(effect, payment)


def _fee(payment: Any, captured: int) -> int:
    """Return the fee by the schedule, halves up, never more than the capture."""
    if not captured:
        return 0
    schedule = payment.fee_schedule
    share = floor(Fraction(captured * schedule.basis_points, 10_000) + Fraction(1, 2))
    fixed: int = schedule.fixed_minor_units
    return min(captured, fixed + share)


def _fee_returned(effect: Effect, payment: Any) -> list[str]:
    """What is given back of the fee: nothing, all of it, or something between."""
    least, most = 0, payment.fee.minor_units
    if payment.fee_schedule.refund_policy != merchant_pb2.FEE_REFUND_POLICY_RETURN:
        most = 0
    elif payment.captured.minor_units == (
        payment.refunded.minor_units + payment.refund_pending.minor_units
    ):
        least = most
    if least <= payment.fee_refunded.minor_units <= most:
        return []
    return [f"{effect}: payment {payment.id} has fee_refunded {payment.fee_refunded.minor_units}"]


def _state(payment: Any) -> str:
    return State.Name(payment.state).removeprefix("STATE_")

"""What the benchmark of a spike counts as missed."""

from typing import Any

import pytest

from benchmarks import spike
from benchmarks.load import commands
from benchmarks.load.plan import AMOUNT_MIN
from benchmarks.load.world import Merchant, World
from tender.v1 import payment_pb2

GOOD: dict[str, Any] = {
    "p99_ratio": 1.5,
    **{phase: {"errors": 0} for phase in ("calm", "beside", "after")},
    "asked_per_second": 1_000.0,
    "written_per_second": 990.0,
    "not_written": 0,
    "outcomes_refused": 0,
    **dict.fromkeys(("written", "decided", "paid", "outcomes"), 10_000),
    "verify": True,
}


def test_a_run_in_which_all_is_as_asked_has_nothing_missed() -> None:
    assert spike.failures(GOOD) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"p99_ratio": spike.RATIO_MAX}, "2.00 times"),
        ({"beside": {"errors": 3}}, "3 calls failed"),
        ({"written_per_second": 500.0}, "500/s written"),
        ({"not_written": 1}, "not written"),
        ({"outcomes_refused": 2}, "2 commands were refused"),
        ({"paid": 10_001}, "10001 paid"),
        ({"outcomes": 9_999}, "9999 outcomes"),
        ({"verify": False}, "verify"),
    ],
)
def test_what_is_missed_is_said(changed: dict[str, Any], said: str) -> None:
    (missed,) = spike.failures(GOOD | changed)

    assert said in missed


def test_commands_of_a_spike_are_told_from_callers_payments() -> None:
    world = World(b"acc_1acc_2", 5, [Merchant("mer_1", "acc_9")], 1_000, 0, 0)

    made = commands.made(world, 50)

    asked = [payment_pb2.PaymentCommand.FromString(value).authorize for _, value in made]
    assert len({one.request_id for one in asked}) == 50
    assert all(one.request_id.startswith(commands.REQUEST_ID_START) for one in asked)
    assert {one.amount.minor_units for one in asked} == {commands.AMOUNT}
    assert commands.AMOUNT < AMOUNT_MIN
    assert all(
        one.payer_account_id.encode() == key for one, (key, _) in zip(asked, made, strict=True)
    )

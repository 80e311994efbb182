"""What a merchant pays: parts cost what the whole costs, and what comes back never exceeds it."""

from hypothesis import given
from hypothesis import strategies as st

from processor.domain.fees import BASIS, FeeSchedule, RefundPolicy, divide_half_up
from processor.domain.rules.checks import AMOUNT_MAX

schedules = st.builds(
    FeeSchedule,
    basis_points=st.integers(0, BASIS),
    fixed=st.integers(0, 10**9),
    refund_policy=st.sampled_from(RefundPolicy),
)
amounts = st.integers(1, AMOUNT_MAX // 10)
parts = st.lists(amounts, min_size=1, max_size=8)


@given(schedules, parts)
def test_fees_of_parts_equal_the_fee_of_the_whole(
    schedule: FeeSchedule, captures: list[int]
) -> None:
    charged = captured = 0

    for part in captures:
        captured += part
        charged += schedule.fee(captured) - charged

    assert charged == schedule.fee(sum(captures))


@given(schedules, parts)
def test_a_capture_always_covers_the_fee_that_is_charged_with_it(
    schedule: FeeSchedule, captures: list[int]
) -> None:
    captured = 0

    for part in captures:
        growth = schedule.fee(captured + part) - schedule.fee(captured)
        assert 0 <= growth <= part
        captured += part


@given(schedules, amounts)
def test_a_fee_never_exceeds_what_is_captured(schedule: FeeSchedule, captured: int) -> None:
    assert 0 <= schedule.fee(captured) <= captured


@given(schedules, parts)
def test_fees_returned_in_parts_never_exceed_the_fee_and_equal_it_in_the_end(
    schedule: FeeSchedule, refunds: list[int]
) -> None:
    captured = sum(refunds)
    fee = schedule.fee(captured)
    returned, refunded = 0, 0

    for part in refunds:
        refunded += part
        total = schedule.returned(fee, captured, refunded)
        assert returned <= total <= fee
        returned = total

    assert returned == (fee if schedule.refund_policy == RefundPolicy.RETURN else 0)


@given(st.integers(0, 10**30), st.integers(1, 10**12))
def test_division_rounds_halves_up(dividend: int, divisor: int) -> None:
    quotient = divide_half_up(dividend, divisor)

    assert 2 * dividend - divisor < 2 * quotient * divisor <= 2 * dividend + divisor


def test_nothing_captured_costs_nothing() -> None:
    assert FeeSchedule(100, 50, RefundPolicy.KEEP).fee(0) == 0


def test_a_fee_of_half_a_unit_is_rounded_up() -> None:
    schedule = FeeSchedule(100, 0, RefundPolicy.KEEP)

    assert [schedule.fee(amount) for amount in (49, 50, 149, 150)] == [0, 1, 1, 2]

"""What a merchant pays for a payment."""

from typing import Final, NamedTuple

from processor.domain.names import Name

BASIS: Final = 10_000
"""Basis points in a whole."""


class RefundPolicy(Name):
    """What becomes of the fee on a refund."""

    KEEP = "KEEP"
    RETURN = "RETURN"


class FeeSchedule(NamedTuple):
    """Fixed minor units once per payment, and basis points of what is captured."""

    basis_points: int
    fixed: int
    refund_policy: str

    def fee(self, captured: int) -> int:
        """Return the fee for a total captured; the fee of parts is the difference of totals.

        Never above the total, and never growing faster than it, so a capture always covers the
        part of the fee that is charged with it.
        """
        if captured == 0:
            return 0
        return min(captured, self.fixed + divide_half_up(captured * self.basis_points, BASIS))

    def returned(self, fee: int, captured: int, refunded: int) -> int:
        """Return how much of a fee is given back once this much of a payment is refunded.

        Rounded down until everything is refunded, so what is returned never exceeds the fee.
        """
        if self.refund_policy != RefundPolicy.RETURN or captured == 0:
            return 0
        return fee * refunded // captured


def divide_half_up(dividend: int, divisor: int) -> int:
    """Divide non-negative integers and round halves up."""
    return (2 * dividend + divisor) // (2 * divisor)

"""A page ends before its message grows beyond what callers take."""

from processor import pages
from processor.domain.payments import Payment
from processor.domain.reads import Page


def payment(number: int, text: str) -> Payment:
    blank = Payment._make([""] * len(Payment._fields))
    return blank._replace(id=f"pay_{number:03}", metadata=text, description="")


def test_a_page_of_large_payments_is_cut_and_goes_on_where_it_was_cut() -> None:
    large = "x" * (pages.TEXT_BYTES_MAX // 10)
    rows = [payment(number, large) for number in range(200, 0, -1)]

    cut = pages.bounded(Page(rows, "pay_001"))

    assert len(cut.rows) == 10
    assert cut.next_before == cut.rows[-1].id


def test_a_page_of_small_payments_stays_whole() -> None:
    whole = Page([payment(number, "{}") for number in range(200, 0, -1)], "")

    assert pages.bounded(whole) is whole

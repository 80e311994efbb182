"""What leaves the lane's memory when it is full: what the next commands need least."""

import random
from collections.abc import Iterable

import pytest

from processor import cache
from processor.cache import Cache
from processor.domain.accounts import Account, Kind, State
from processor.domain.payments import Payment
from processor.domain.payments import State as PaymentState
from processor.domain.view import Item, Key

BOUND = 8_000
PAYERS = 2_000
BATCH = 100


def account(number: int, version: int = 1) -> Account:
    return Account(
        id=f"acc_{number}",
        tenant_id="dev",
        user_id=f"u{number}",
        kind=Kind.CONSUMER_WALLET,
        currency="EUR",
        state=State.OPEN,
        posted=0,
        held=0,
        floor=0,
        version=version,
        created_at=1,
        updated_at=1,
        last_transfer_id="",
        last_payment_id="",
    )


def payment(number: int) -> Payment:
    nothing = dict.fromkeys(Payment._fields, 0) | {
        "id": f"pay_{number}",
        "state": PaymentState.CAPTURED,
    }
    return Payment(**nothing)  # type: ignore[arg-type]


def key(number: int) -> Key:
    return Key("dev", f"request-{number}", "AUTHORIZE_PAYMENT", b"f", b"o", f"pay_{number}")


def pay(kept: Cache, numbers: Iterable[int], dice: random.Random) -> int:
    """Write what payments write; return how many of them had to look their payer up."""
    missed = 0
    for number in numbers:
        payer = dice.randrange(PAYERS)
        missed += not kept.knows(Item("account", f"acc_{payer}"))
        kept.put_account(account(payer, number))
        kept.put_payment(payment(number))
        kept.put_key(key(number))
    return missed


def full(bound: int = BOUND) -> Cache:
    kept = Cache(bound)
    dice = random.Random(7)
    for first in range(0, 10 * bound, BATCH):
        pay(kept, range(first, first + BATCH), dice)
        kept.evict(set)
    return kept


def test_payments_that_are_done_do_not_push_out_the_accounts_of_the_next_ones() -> None:
    kept = full()

    assert len(kept) <= BOUND
    assert pay(kept, range(1_000_000, 1_000_000 + 5 * BATCH), random.Random(8)) == 0


def test_accounts_beyond_their_share_make_room_themselves() -> None:
    kept = full()
    for number in range(BOUND):
        kept.put_account(account(number))
    kept.evict(set)

    assert kept.payment(f"pay_{10 * BOUND - 1}") is not None
    assert kept.account(f"acc_{BOUND - 1}") is not None


def test_few_leave_at_a_time() -> None:
    kept = full()
    batch = 300
    pay(kept, range(2_000_000, 2_000_000 + batch), random.Random(9))
    before = len(kept)
    kept.evict(set)

    # Two for each payment, for every payer is known, and what makes the next time later.
    assert before - len(kept) <= 2 * batch + cache.EVICTED_AT_ONCE


@pytest.mark.parametrize(
    ("keys", "needed_keys", "payments"),
    [(100, 3, 50), (90, 90, 30)],
    ids=["the oldest of a kind", "all of the kind that leaves first"],
)
def test_what_is_needed_stays_and_something_else_makes_room(
    keys: int, needed_keys: int, payments: int
) -> None:
    kept = Cache(100)
    for number in range(keys):
        kept.put_key(key(number))
    needed = {Item("key", f"request-{number}", "dev") for number in range(needed_keys)}
    for number in range(payments):
        kept.put_payment(payment(number))
    kept.evict(lambda: needed)

    assert len(kept) <= 100
    assert all(kept.knows(item) for item in needed)
    assert needed_keys == keys or not kept.knows(Item("key", f"request-{needed_keys}", "dev"))

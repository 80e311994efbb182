"""Every state and every command: the cases come from the table of allowed transitions."""

from collections.abc import Callable

import pytest

from processor.domain import refusals
from processor.domain.fees import RefundPolicy
from processor.domain.payments import FIRST, HOLDING, NEXT, UNDECIDED, Payment, State
from processor.domain.view import Item
from tests.domain.shop import MULTIPLE, Shop

CAPTURED = frozenset({State.PARTIALLY_CAPTURED, State.CAPTURED})
"""States of a payment with captured money."""

Ask = Callable[[Shop, Payment], object]
COMMANDS: dict[str, tuple[Ask, frozenset[State]]] = {
    "capture": (
        lambda shop, payment: shop.capture(payment),
        frozenset(state for state in HOLDING if State.CAPTURED in NEXT[state]),
    ),
    "void": (
        lambda shop, payment: shop.void(payment),
        frozenset(state for state in HOLDING if State.VOIDED in NEXT[state]),
    ),
    "refund": (
        lambda shop, payment: shop.refund(payment),
        frozenset(state for state in CAPTURED if state in NEXT[state]),
    ),
    "reverse": (
        lambda shop, payment: shop.reverse("original"),
        frozenset(state for state in State if state not in UNDECIDED),
    ),
}
"""Each command on an existing payment, and the states in which it is carried out."""


def in_state(state: State) -> tuple[Shop, Payment]:
    """Return a payment in a state, as nothing but the table says it could be."""
    shop = Shop(1_000, basis_points=100, policy=RefundPolicy.RETURN)
    payment = shop.authorize(100, MULTIPLE, request_id="original")
    if state is State.PARTIALLY_CAPTURED:
        return shop, shop.capture(payment, 40)
    if state is State.CAPTURED:
        return shop, shop.capture(payment)
    if state is State.AUTHORIZED:
        return shop, payment
    payment = shop.void(payment)
    crafted = payment._replace(state=state)
    shop.ledger.payments[payment.id] = crafted
    return shop, crafted


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_carried_out_in_the_table_s_states_and_refused_in_all_others(
    name: str, state: State
) -> None:
    ask, allowed = COMMANDS[name]
    shop, payment = in_state(state)

    if state in allowed:
        ask(shop, payment)
        return

    with pytest.raises(refusals.PaymentState) as refused:
        ask(shop, payment)
    assert refused.value.metadata == {"state": state, "payment_id": payment.id}
    assert shop.payment(payment) == payment


@pytest.mark.parametrize("before", State)
@pytest.mark.parametrize("after", State)
def test_a_draft_takes_only_the_table_s_transitions(before: State, after: State) -> None:
    shop, payment = in_state(before)
    changed = as_state(payment, after)
    draft = shop.ledger.draft(Item("payment", payment.id))

    if after in NEXT[before]:
        draft.put_payment(changed, "payment_changed")
        assert draft.changes().payments == (changed,)
        return

    with pytest.raises(AssertionError):
        draft.put_payment(changed, "payment_changed")


@pytest.mark.parametrize("state", State)
def test_a_payment_is_born_only_in_a_first_state(state: State) -> None:
    shop, payment = in_state(state)
    newborn = as_state(payment, state)._replace(
        id="pay_eu_new", version=1, payer_previous_id=payment.id
    )
    draft = shop.ledger.draft(Item("account", shop.payer_id))

    if state in FIRST:
        draft.put_payment(newborn, "payment_born")
        return

    with pytest.raises(AssertionError):
        draft.put_payment(newborn, "payment_born")


@pytest.mark.parametrize("version_steps", [0, 2])
def test_a_transition_is_one_step_of_the_version(version_steps: int) -> None:
    shop, payment = in_state(State.AUTHORIZED)
    changed = as_state(payment, State.VOIDED)
    draft = shop.ledger.draft(Item("payment", payment.id))

    with pytest.raises(AssertionError):
        draft.put_payment(
            changed._replace(version=payment.version + version_steps), "payment_voided"
        )


def test_terminal_states_are_those_that_nothing_follows() -> None:
    terminal = {state for state in State if not NEXT[state]}

    assert terminal == {State.VOIDED, State.EXPIRED, State.DECLINED, State.FAILED}


def as_state(payment: Payment, state: State) -> Payment:
    """Return the payment a version later, with amounts that fit the state."""
    captured = 40 if state in CAPTURED else 0
    return payment._replace(
        state=state,
        version=payment.version + 1,
        captured=captured,
        capturable=60 if state in HOLDING else 0,
        fee=0,
        fee_refunded=0,
    )

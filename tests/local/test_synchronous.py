"""With synchronous standbys: nothing that was acknowledged is lost, and alone nothing is."""

import time
from collections.abc import Iterator

import grpc
import pytest

import tender
from deploy.local.layout import BadLayout
from deploy.local.stack import Stack, StackOptions
from tests.local.test_failover import (
    Shop,
    await_promotion,
    await_whole,
    eventually,
    options,
    primary_of,
)

ALONE_SECONDS = 12.0
"""Longer than a batch waits for its commit, and than a takeover does."""
CALL_SECONDS = 2.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(options(tmp_path_factory.mktemp("synchronous"), synchronous=True)) as running:
        running.supervise_in_background()
        yield running


@pytest.fixture(scope="module")
def shop(stack: Stack) -> Shop:
    return Shop(stack)


def test_what_was_acknowledged_is_there_after_promotions(stack: Stack, shop: Shop) -> None:
    for _ in range(2):  # The second time from what was promoted the first time.
        await_whole(stack)
        old = primary_of(stack)
        with shop.open(callers=8):
            shop.await_answers(100)
            stack.kill(old)
            await_promotion(stack, old)
            shop.await_answers()

    assert shop.missing() == set()
    assert not list(stack.options.data_dir.glob("lost-*"))


def test_without_a_standby_the_shard_says_that_it_is_unavailable(stack: Stack, shop: Shop) -> None:
    await_whole(stack)
    standbys = {"postgres", "replica1", "replica2"} - {primary_of(stack)}
    for name in standbys:
        stack.stop_one(name)
    codes = []
    deadline = time.monotonic() + ALONE_SECONDS
    while time.monotonic() < deadline:
        with pytest.raises(tender.TenderError) as refused:
            # The same request every time: it is committed here, and must not be found so.
            shop.client.authorize_payment(
                request_id="alone",
                payer_account_id=shop.ada_id,
                merchant_id=shop.shop_id,
                amount=tender.money("EUR", 1),
                timeout=CALL_SECONDS,
            )
        codes.append(refused.value.code)

    for name in standbys:
        stack.start_one(name)
    # Aborted: the first call is still under way. None of them says that nothing has happened.
    assert set(codes) <= {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
    }
    assert grpc.StatusCode.UNAVAILABLE in codes

    def is_paid() -> bool:
        try:
            shop.pay("alone")
        except tender.TenderError:
            return False
        return True

    eventually(is_paid, "the payment, with a standby")
    assert shop.missing() == set()


def test_a_promotion_needs_every_standby_that_may_have_confirmed_something(
    stack: Stack, shop: Shop
) -> None:
    await_whole(stack)
    primary = primary_of(stack)
    absent = sorted({"postgres", "replica1", "replica2"} - {primary})[0]
    stack.stop_one(absent)

    with shop.open():
        shop.await_answers()
        stack.kill(primary)
        shop.await_answers()

    assert primary_of(stack) == primary
    assert shop.missing() == set()
    stack.start_one(absent)


@pytest.mark.parametrize(
    "given", [{"synchronous": True, "replicas": 1}, {"failover": True, "replicas": 0}]
)
def test_a_stack_that_could_not_keep_its_promise_is_refused(
    given: dict[str, int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.raises(BadLayout):
        StackOptions(tmp_path_factory.getbasetemp(), **given)  # type: ignore[arg-type]

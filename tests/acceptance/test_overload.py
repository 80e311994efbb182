"""More calls than the lane takes: refused with a hint, nothing lost, and no memory eaten.

Commands of a stream wait instead, and keep their order.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import tender
from deploy.local.stack import Stack, StackOptions
from tests.acceptance.conftest import agree, connect, gauge, measured
from tests.acceptance.load import Recorder, open_shop
from tests.checker import History

QUEUE_MAX = 20
CALLERS = 800
ROUNDS = 4
GROWTH_BYTES_MAX = 40 << 20
STREAMED = 300
STREAMED_PAYERS = 3
SENT_AGAIN = "tender_gateway_sent_again_total"
PATIENT = tender.RetryPolicy(attempts_max=200, delay_max=0.5)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose lane takes few commands and decides few at a time."""
    options = StackOptions(
        data_dir=Path(tmp_path_factory.mktemp("narrow")),
        replicas=0,
        processor_env={
            "TENDER_QUEUE_COMMANDS_MAX": str(QUEUE_MAX),
            "TENDER_BATCH_COMMANDS_MAX": "5",
        },
    )
    with Stack(options) as stack:
        yield stack


def memory(stack: Stack) -> int:
    """Return what gateway and processor occupy together."""
    return sum(
        psutil.Process(stack.child(name).pid).memory_info().rss for name in ("gateway", "processor")
    )


async def test_what_the_queue_cannot_hold_is_refused_with_a_hint_and_nothing_is_lost(
    narrow: Stack,
) -> None:
    history = History()
    async with (
        connect(narrow.endpoints, retry=PATIENT) as patient,
        connect(narrow.endpoints, retry=tender.NO_RETRIES) as impatient,
    ):
        shop = await open_shop(Recorder(patient, history), customers=20)
        once = Recorder(impatient, history).once

        async def crowd() -> list[Any]:
            calls = (once(shop.pay(number)) for number in range(CALLERS))
            return await asyncio.gather(*calls, return_exceptions=True)

        first = await crowd()
        before = memory(narrow)
        rounds = [first] + [await crowd() for _ in range(ROUNDS)]
        growth = memory(narrow) - before

        refused = [one for all_ in rounds for one in all_ if isinstance(one, tender.TenderError)]
        paid = (ROUNDS + 1) * CALLERS - len(refused)
        measured(
            f"overload: {paid} of {(ROUNDS + 1) * CALLERS} calls paid, {len(refused)} refused,"
            f" memory {growth / 1e6:+.1f} MB"
        )
        assert {(type(one), one.reason) for one in refused} == {
            (tender.Overloaded, "LANE_QUEUE_FULL")
        }
        assert all(one.retry_delay for one in refused)
        assert paid > 0
        assert growth < GROWTH_BYTES_MAX
    await agree(history, narrow.endpoints)


async def test_a_crowd_that_comes_again_is_served_to_the_last(narrow: Stack) -> None:
    history = History()
    async with connect(narrow.endpoints, retry=PATIENT) as patient:
        recorder = Recorder(patient, history)
        shop = await open_shop(recorder, customers=20)

        answers = await asyncio.gather(
            *(recorder.surely(shop.pay(number)) for number in range(CALLERS))
        )

    assert {answer.payment.state for answer in answers} == {tender.Payment.STATE_CAPTURED}
    assert gauge(narrow.endpoints.gateway_metrics, "tender_gateway_in_flight") == 0
    await agree(history, narrow.endpoints)


async def test_commands_of_a_stream_wait_for_room_and_keep_their_order(narrow: Stack) -> None:
    history = History()
    async with connect(narrow.endpoints, retry=PATIENT) as patient:
        shop = await open_shop(Recorder(patient, history), customers=STREAMED_PAYERS)
        calls = [shop.pay(number) for number in range(STREAMED)]
        before = gauge(narrow.endpoints.gateway_metrics, SENT_AGAIN)

        async with patient.payments.stream() as stream:
            waiting = [await stream.submit(call) for call in calls]
            answers = await asyncio.gather(*waiting)

        assert gauge(narrow.endpoints.gateway_metrics, SENT_AGAIN) > before
    # Ids are given in the order of the decisions.
    for payer in range(STREAMED_PAYERS):
        decided = [answer.payment.id for answer in answers[payer::STREAMED_PAYERS]]
        assert decided == sorted(decided)
